"""What a small data set gave while a cell probe learned from it, so that no second pass is needed to score it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from convfe_core.jobs.shards import SHARD_IMAGES, Row, ShardImage
from convfe_core.machine.memory import RoomToKeep
from convfe_core.scoring.scoring_graph import Scored

MOST_IMAGES = SHARD_IMAGES
"""Of larger data sets nothing is kept, so that memory does not grow with them, and all of a kept one is one shard."""


class FirstPass:
    """Maps, features and averages of all photographs of a data set, or of none where they are too many or too large.

    Parameters
    ----------
    images : how many have boxes

    Attributes
    ----------
    scored : by place, components being the features; the columns of a batch's padding are let go
    unreadable : by place, why a photograph could not be read
    room : whether anything is kept
    """

    def __init__(self, images: int) -> None:
        self.scored: dict[int, Scored] = {}
        self.unreadable: dict[int, str] = {}
        self.room = images <= MOST_IMAGES
        self._memory = RoomToKeep()

    def keep(self, place: int, scored: Scored) -> None:
        """Keep a photograph, or if there is no more room let go of all."""
        self.room = self.room and self._memory.take(scored.components.nbytes)
        if self.room:
            self.scored[place] = replace(scored, components=scored.components.copy())
        else:
            self.scored.clear()

    def note_unreadable(self, images: Sequence[ShardImage], rows: Iterable[Row]) -> None:
        """Note which of some photographs have a row that says why there is nothing of them."""
        for image, row in zip(images, rows, strict=True):
            if row.get("reason") is not None:
                self.unreadable[image.place] = row["reason"]

    def covers(self, images: Iterable[ShardImage]) -> bool:
        """Whether everything is known of these photographs."""
        return self.room and all(one.place in self.scored or one.place in self.unreadable for one in images)
