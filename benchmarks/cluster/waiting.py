"""Shards without work: what a cluster takes for them is its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from convfe_core.jobs.shards import Row, Shard


@dataclass(frozen=True)
class Waiting:
    """A job whose shards wait.

    Attributes
    ----------
    seconds : of each shard; none of any where nothing is said
    """

    seconds: tuple[float, ...] = ()
    schema = pa.schema([("place", pa.int64())])
    megabytes = 300.0

    def called(self, backbone: str) -> tuple[str, str]:
        """Its name."""
        return backbone, ""

    def load(self, backbone: str, _tell: Callable[[str], None]) -> str:
        """Nothing to load."""
        return backbone

    def remark(self, _loaded: str) -> str | None:
        """Nothing to say."""
        return None

    def rows(self, _loaded: str, shard: Shard, _first: int) -> Iterator[tuple[int, list[Row]]]:
        """One row, after a while."""
        if self.seconds:
            time.sleep(self.seconds[shard.number])
        yield len(shard.images), [{"place": shard.number}]
