"""A job that needs no network, for tests of engines."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from convfe_core.base.errors import SpecError, WeightsError
from convfe_core.jobs.shards import Row, Shard, ShardImage, cut_shards


@dataclass(frozen=True)
class Squares:
    """The square of each place, in batches of four.

    Attributes
    ----------
    log : a folder; every attempt at a shard leaves a file there
    bad : by the number of a shard, what happens to it: ``raise``, ``die``, or ``die once``
    damaged, unknown : backbones that cannot be loaded, or that do not exist
    """

    log: Path
    bad: tuple[tuple[int, str], ...] = ()
    damaged: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    schema = pa.schema([("place", pa.int64()), ("square", pa.int64())])
    megabytes = 100

    def called(self, backbone: str) -> tuple[str, str]:
        return backbone, "squaring"

    def load(self, backbone: str, tell: Callable[[str], None]) -> str:
        if backbone in self.damaged:
            raise WeightsError(f"{backbone} is damaged")
        if backbone in self.unknown:
            raise SpecError(f"no layer seven in {backbone}")
        tell("opening")
        return backbone

    def remark(self, loaded: str) -> str | None:
        return "is odd" if loaded == "Odd" else None

    def rows(self, loaded: str, shard: Shard, first: int) -> Iterator[tuple[int, list[Row]]]:
        assert loaded == shard.backbone
        attempt = len(list(self.log.glob(f"{shard.number}-*")))
        (self.log / f"{shard.number}-{attempt}").touch()
        what = dict(self.bad).get(shard.number, "")
        if what == "die" or (what == "die once" and attempt == 0):
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "raise":
            raise ValueError("seven is no number")
        for start in range(first, len(shard.images), 4):
            batch = shard.images[start : start + 4]
            yield start + len(batch), [{"place": image.place, "square": image.place**2} for image in batch]


def shards(count: int, *backbones: str) -> list[Shard]:
    """Shards of ten images each."""
    images = [ShardImage(f"{n}.png", n) for n in range(count * 10)]
    return cut_shards(images, backbones or ("Square",), {}, Squares.schema, per_shard=10)
