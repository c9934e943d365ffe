"""How far a long run is, how fast it goes and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

ENOUGH = 0.02
"""Share of a run that must be computed before its whole time says how long the rest takes."""


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes
    ----------
    who : what is at work, for instance a backbone
    doing : what it does, for instance ``image 12 of 80``
    share : of the whole run, 0..1
    seconds_left : estimate, None at the beginning
    step : share of what is done now, 0..1; None where nobody knows
    images_per_second : of this step, None where it has no images or none of them is done
    """

    who: str
    doing: str
    share: float = 0.0
    seconds_left: float | None = None
    step: float | None = 0.0
    images_per_second: float | None = None

    @property
    def line(self) -> str:
        """``VGG16: image 12 of 80, 31.2 images/s, 2 min 38 s left``, as far as it is known."""
        rate = "" if self.images_per_second is None else f", {self.images_per_second:.3g} images/s"
        left = f", {duration(self.seconds_left)} left" if self.seconds_left else ""
        return f"{self.who}: {self.doing}{rate}{left}"


Tell = Callable[[Progress], None]
"""Takes what is to be said of a run; may raise to end it."""


def tell_nobody(_progress: Progress) -> None:
    """Say nothing."""


LoadProgress = Callable[[str, float | None], None]
"""Called with a phrase such as ``"downloading, 12 of 94 MB"`` and the share done (0..1), or None if unknown."""


def ignore_progress(_phrase: str, _share: float | None) -> None:
    """Take a progress report and show it to nobody."""


class Pace:
    """Counts the images of a run.

    Parameters
    ----------
    total : images to do, once for every backbone and control
    clock : seconds
    """

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.done = 0
        self._clock = clock
        self._computed = self._in_step = 0
        self._begin = self._step = clock()

    def restart(self) -> None:
        """Measure the rate from now on, for instance because another backbone begins."""
        self._in_step = 0
        self._step = self._clock()

    def skip(self, images: int) -> None:
        """Count images that were there already, or that nobody will compute."""
        self.done += images

    def count(self, images: int) -> None:
        """Count images that were just done."""
        self.done += images
        self._computed += images
        self._in_step += images

    @property
    def share(self) -> float:
        """Of the images that are done, 0..1."""
        return self.done / self.total if self.total else 1.0

    @property
    def images_per_second(self) -> float | None:
        """Since the last restart; None as long as nothing is known."""
        elapsed = self._clock() - self._step
        return self._in_step / elapsed if self._in_step and elapsed > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """At the rate of this step, or else of the whole run with all that lay between; None at the beginning."""
        rate = self.images_per_second
        if rate is None and self._computed > ENOUGH * self.total:
            rate = self._computed / max(self._clock() - self._begin, 1e-9)
        return None if rate is None else (self.total - self.done) / rate

    def progress(self, who: str, doing: str, step: float = 0.0) -> Progress:
        """What to tell now; see `Progress`."""
        return Progress(who, doing, self.share, self.seconds_left, step, self.images_per_second)


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
