"""A real S3 server on a free port of this machine: moto's."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from convfe_core.base.folders import RemoteFolder
from tests.support.servers import free_port, wait_for

BUCKET = "pictures"


@contextmanager
def object_store(folder: Path) -> Iterator[str]:
    """Serve an empty bucket, point this process and those it starts to it, and yield the bucket's address.

    Parameters
    ----------
    folder : where the server's log goes
    """
    address = f"http://127.0.0.1:{free_port()}"
    log = folder / "moto.log"
    host, port = address.removeprefix("http://").split(":")
    command = [sys.executable, "-m", "moto.server", "-H", host, "-p", port]
    with log.open("wb") as output, pytest.MonkeyPatch.context() as environment:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            wait_for(f"{address}/moto-api/", process, log)
            environment.setenv("AWS_ENDPOINT_URL", address)
            environment.setenv("AWS_ACCESS_KEY_ID", "nobody")
            environment.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
            environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
            environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
            urllib.request.urlopen(urllib.request.Request(f"{address}/{BUCKET}", method="PUT")).close()
            yield f"s3://{BUCKET}"
        finally:
            process.terminate()
            process.wait(30)


def filled(address: str, files: dict[str, bytes]) -> str:
    """Write files to a folder of it and give the folder's address back."""
    folder = RemoteFolder(address)
    for name, data in files.items():
        folder.write(name, data)
    return address
