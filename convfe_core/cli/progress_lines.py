"""How far a command is, in lines on standard error."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from convfe_core.base.pace import SECONDS_BETWEEN_LINES, duration

if TYPE_CHECKING:
    from convfe_core.ranking.results import Progress


class ReadProgress:
    """Prints once a second how many pictures' boxes are read; nothing where that is sooner done."""

    def __init__(self) -> None:
        self._when = time.monotonic()

    def __call__(self, count: int) -> None:
        now = time.monotonic()
        if now - self._when >= SECONDS_BETWEEN_LINES:
            self._when = now
            print(f"reading boxes: {count:,} pictures", file=sys.stderr)


class RankProgress:
    """Prints where each step of a ranking begins and ends and, once a second, how far it is."""

    def __init__(self) -> None:
        self._said = ""
        self._when = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        line = f"{progress.backbone}: {progress.doing}"
        if line == self._said or (0 < progress.step < 1 and now - self._when < SECONDS_BETWEEN_LINES):
            return
        self._said, self._when = line, now
        rate = "" if progress.images_per_second is None else f", {progress.images_per_second:.3g} images/s"
        left = "" if not progress.seconds_left else f", {duration(progress.seconds_left)} left"
        print(f"{line}{rate}{left}", file=sys.stderr)


class DownloadProgress:
    """Shows the progress of a download; `began` says whether there was one."""

    def __init__(self, name: str) -> None:
        self.began = False
        self._name = name

    def __call__(self, done_mb: float, total_mb: float) -> None:
        self.began = True
        end = "\n" if done_mb >= total_mb else "\r"
        print(f"{self._name}: {done_mb:.0f} of {total_mb:.0f} MB", end=end, file=sys.stderr, flush=True)
