"""A real server of the app on a free port of this machine, for tests and for the soak."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.conftest import ROOT

START_LIMIT_S = 180
STOP_LIMIT_S = 30


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes
    ----------
    address : of its first page
    process : the server
    log : what it wrote to its standard output and error
    """

    address: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def resident_mb(self) -> float:
        """Resident memory of the server, in MB."""
        return float(psutil.Process(self.process.pid).memory_info().rss / 2**20)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serve(
    folder: Path,
    environ: Mapping[str, str] | None = None,
    *,
    script: Path = ROOT / "dashboard.py",
    working_directory: Path = ROOT,
    python: Path | str = sys.executable,
    address: str = "127.0.0.1",
) -> Iterator[Server]:
    """Serve the app with empty caches and no way to a network, and stop it in the end.

    Parameters
    ----------
    folder : where the log and the caches lie
    environ : environment variables on top of those
    address : where it listens
    """
    port = free_port()
    environment = {
        **os.environ,
        "KERAS_HOME": str(folder / "keras"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "CONVFE_WEIGHTS_MIRROR": "http://127.0.0.1:9",
        **(environ or {}),
    }
    command = [str(python), "-X", "faulthandler", "-m", "streamlit", "run", str(script)]
    command += ["--server.port", str(port), "--server.address", address, "--server.headless", "true"]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, cwd=working_directory, stdout=output, stderr=output)
        try:
            page = f"http://127.0.0.1:{port}"
            wait_for(f"{page}/_stcore/health", process, log)
            yield Server(page, process, log)
        finally:
            ended = process.poll()
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            if ended not in (None, 0, -signal.SIGTERM) or process.returncode not in (0, -signal.SIGTERM):
                raise RuntimeError(f"the server ended with status {process.returncode}:\n{log.read_text()}")


def let_run(process: subprocess.Popen[bytes]) -> None:
    """Leave the processor to a process for a moment: who asks without a pause takes half of it."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(0.05)


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Ask until the server answers."""
    end = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            let_run(process)
    raise RuntimeError(f"the server did not start:\n{log.read_text()}")
