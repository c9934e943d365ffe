"""The end of a server: Python stops under its threads, and one that is inside TensorFlow then aborts the process."""

from __future__ import annotations

import os
import sys
import threading
from functools import cache

from convfe_core.machine.machine_queue import MACHINE

PATIENCE_S = 10.0
"""Seconds that the end waits for whoever computes."""


@cache
def end_in_order() -> None:
    """Have this process end while nobody computes: it waits for who does, and lets nobody begin.

    Whoever takes longer is left behind. Nothing is lost by it: files are written whole, or not at all.
    """
    threading.Thread(target=_end, name="convfe-end", daemon=False).start()


def _end() -> None:
    """Python waits for this thread before it takes anything down, unlike for functions of `atexit`."""
    threading.main_thread().join()
    if not MACHINE.close(PATIENCE_S):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
