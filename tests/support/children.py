"""Python in a process of its own. Where it ends otherwise than a test expects, the test shows all that it said."""

from __future__ import annotations

import contextlib
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import ROOT

PYTHON = (sys.executable, "-X", "faulthandler")
"""A Python that says where it was when a signal ends it."""


def python(*arguments: object, status: int = 0, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run Python to its end.

    Parameters
    ----------
    arguments : ``-c`` with lines of code, or ``-m`` with a module, and what these are given
    status : how it is to end
    options : for `subprocess.run`; without others it runs in the checkout, and what it says is caught as text
    """
    call = [*PYTHON, *map(str, arguments)]
    caught: dict[str, Any] = {"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    done: subprocess.CompletedProcess[str] = subprocess.run(call, check=False, **{**caught, **options})
    require_status(done, status)
    return done


def require_status(done: subprocess.CompletedProcess[str], status: int) -> None:
    """Fail with all that a process said unless it ended with this status, or minus the number of a signal."""
    if done.returncode != status:
        said = "".join(f"\n--- {name}\n{text}" for name, text in (("out", done.stdout), ("err", done.stderr)) if text)
        pytest.fail(f"expected status {status}, got {done.returncode} of {shlex.join(done.args)}{said}", pytrace=False)


def kill_when(ready: Callable[[], bool], *arguments: object) -> None:
    """Start Python and kill it once `ready` says so, which is asked every five milliseconds."""
    call = [*PYTHON, *map(str, arguments)]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(call, cwd=ROOT, stdout=said, stderr=said)
        try:
            while process.poll() is None and not ready():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.005)
        finally:
            process.kill()
            process.wait()
        said.seek(0)
        require_status(subprocess.CompletedProcess(call, process.returncode, said.read()), -signal.SIGKILL)
