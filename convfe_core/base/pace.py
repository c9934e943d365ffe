"""How fast a long run goes and how long it will take, in words."""

from __future__ import annotations

import time
from collections.abc import Callable

SECONDS_BETWEEN_LINES = 1.0


class Pace:
    """Counts images and says how many a second, and when the run will be done.

    Parameters
    ----------
    total : images to do, once for every backbone
    clock : seconds
    """

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.done = 0
        self._clock = clock
        self._counted = 0
        self._start = self._told = clock()

    def restart(self) -> None:
        """Measure the rate from now on, for instance because another backbone begins."""
        self._counted = 0
        self._start = self._clock()

    def skip(self, images: int) -> None:
        """Count images that were there already."""
        self.done += images

    def count(self, images: int) -> None:
        """Count images that were just done."""
        self.done += images
        self._counted += images

    @property
    def images_per_second(self) -> float | None:
        """Since the last restart; None as long as nothing is known."""
        elapsed = self._clock() - self._start
        return self._counted / elapsed if self._counted and elapsed > 0 else None

    def due(self) -> bool:
        """Whether it is time for another line; the first image and the last are always worth one."""
        now = self._clock()
        if now - self._told < SECONDS_BETWEEN_LINES and self.done < self.total and self._counted > 1:
            return False
        self._told = now
        return True

    def words(self) -> str:
        """``31.2 images/s, 2 min 38 s left``, or nothing as long as nothing is known."""
        rate = self.images_per_second
        if rate is None:
            return ""
        left = (self.total - self.done) / rate
        return f"{rate:.3g} images/s" + (f", {duration(left)} left" if self.done < self.total else "")


def duration(seconds: float) -> str:
    """Two units at most.

    Examples
    --------
    >>> duration(158), duration(7384)
    ('2 min 38 s', '2 h 3 min')
    """
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
