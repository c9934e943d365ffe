"""How far a command is, in lines on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from convfe_core.base.pace import Progress

SECONDS_BETWEEN_LINES = 1.0


class ProgressLines:
    """Prints where each step of a run begins and ends and, once a second, how far it is.

    Parameters
    ----------
    clock : seconds
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._when = clock()
        self._said = "", ""

    def __call__(self, progress: Progress) -> None:
        now, said = self._clock(), (progress.who, progress.doing)
        due = progress.step in (0, 1) or now - self._when >= SECONDS_BETWEEN_LINES
        if due and said != self._said:
            self._when, self._said = now, said
            print(progress.line, file=sys.stderr)


class DownloadProgress:
    """Shows the progress of a download; `began` says whether there was one."""

    def __init__(self, name: str) -> None:
        self.began = False
        self._name = name

    def __call__(self, done_mb: float, total_mb: float) -> None:
        self.began = True
        end = "\n" if done_mb >= total_mb else "\r"
        print(f"{self._name}: {done_mb:.0f} of {total_mb:.0f} MB", end=end, file=sys.stderr, flush=True)
