"""How far a ranking is over its backbones and their passes, what it tells of that, and the wish to stop it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from convfe_core.base.machine_queue import MACHINE, waiting_words
from convfe_core.base.pace import Pace
from convfe_core.ranking.results import Progress

ENOUGH = 0.02
"""Share of the run that must be computed before the time left is estimated."""


class Stopped(Exception):  # noqa: N818 - a wish, not an error
    """The user wants no more."""


class RankPace:
    """Counts the passes of a ranking and tells how far it is.

    Parameters
    ----------
    backbones, passes : how many there are, and how many each backbone has
    on_progress : told what is happening
    should_stop : asked often; once true, whatever is asked of this raises `Stopped`
    clock : seconds
    """

    def __init__(
        self,
        backbones: int,
        passes: int,
        on_progress: Callable[[Progress], None],
        should_stop: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self.clock = clock
        self._backbones = backbones
        self._passes = passes
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._start = clock()
        self._at = (0, 0)  # backbones begun, passes done of the one at work
        self._found = 0.0  # share of the run that an earlier one had finished

    def begin(self, number: int) -> None:
        """Go on to a backbone, counted from 0."""
        self._at = (number, 0)

    def next_pass(self) -> None:
        """Go on to the next pass of the backbone at work."""
        self._at = (self._at[0], self._at[1] + 1)

    def skip(self, share: float) -> None:
        """Note the share of one pass that an earlier run had finished."""
        self._found += share / self._passes / self._backbones

    def stop_if_asked(self) -> None:
        """Raise `Stopped` if that is what the user wants."""
        if self._should_stop():
            raise Stopped

    def tell(self, name: str, doing: str, pace: Pace | None = None) -> None:
        """Tell what is done with a backbone, and how far its pass is."""
        self.stop_if_asked()
        step, rate = (pace.done / pace.total, pace.images_per_second) if pace else (0.0, None)
        share = (self._at[0] + (self._at[1] + step) / self._passes) / self._backbones
        computed = share - self._found
        left = (self.clock() - self._start) * (1 - share) / computed if computed > ENOUGH else None
        self._on_progress(Progress(name, doing, min(share, 1.0), left, step, rate))

    def report(self, progress: Progress) -> None:
        """Hand on what somebody else tells."""
        self.stop_if_asked()
        self._on_progress(progress)

    @contextmanager
    def my_turn(self, name: str, doing: str) -> Iterator[None]:
        """Wait until nobody else of this process loads or runs anything."""
        self.tell(name, doing)
        with MACHINE.passing(lambda before: self.tell(name, waiting_words(before))):
            yield
