"""Long runs cut into shards: each becomes one Parquet part, written whole, so that a killed run goes on where it was.

A shard is a few hundred consecutive images of a request under one backbone. What it gives depends on the shard alone,
never on other shards or their order, so any engine may compute them. Within a shard the rows of every finished batch
are kept as a piece, from which a run that was killed in the middle goes on; the part replaces them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from convfe_core.catalog import file_stem
from convfe_core.files import write_whole

SHARD_IMAGES = 256
LAYOUT = 1
"""Raised when what a part holds changes, so that parts of older versions are not taken for finished."""

Row = dict[str, Any]

_PART, _PIECE = ".parquet", ".piece"
_PIECE_NAME = re.compile(r"(?P<shard>.+)\.(?P<first>\d+)-(?P<after>\d+)\.piece")


@dataclass(frozen=True)
class ShardImage:
    """One image of a request.

    Attributes
    ----------
    path : where it is
    place : its place in the request
    name : what its results are called, if they have a name
    stamp : changes when the file does, see `file_stamp`
    """

    path: str
    place: int
    name: str = ""
    stamp: str = ""


@dataclass(frozen=True)
class Shard:
    """Consecutive images under one backbone.

    Attributes
    ----------
    backbone : its spec, as text
    number : place among this backbone's shards
    images : in the order of the request
    digest : SHA-256 of everything that its rows depend on, hex
    """

    backbone: str
    number: int
    images: tuple[ShardImage, ...]
    digest: str

    @property
    def name(self) -> str:
        """A file name without its ending."""
        return f"{file_stem(self.backbone)}-{self.number:05d}-{self.digest[:16]}"


ComputeRows = Callable[[Shard, int], Iterator[tuple[int, list[Row]]]]
"""Takes a shard and the first image to compute, yields after each batch the next image and the rows of those before it.

To begin at a yielded image must give the very rows that would have followed.
"""


def file_stamp(path: Path) -> str:
    """Size and time of the last change, or nothing for a file that cannot be asked."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return ""
    return f"{found.st_size}:{found.st_mtime_ns}"


def cut_shards(
    images: Sequence[ShardImage],
    backbones: Sequence[str],
    request: Mapping[str, Any],
    per_shard: int | None = None,
) -> list[Shard]:
    """Cut a request into shards, all of one backbone before those of the next.

    Parameters
    ----------
    request : everything else that rows depend on, fit for JSON
    per_shard : None for `SHARD_IMAGES`
    """
    per_shard = per_shard or SHARD_IMAGES
    shards = []
    for backbone in backbones:
        for number, start in enumerate(range(0, len(images), per_shard)):
            members = tuple(images[start : start + per_shard])
            facts = [LAYOUT, backbone, dict(request), [astuple(image) for image in members]]
            digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
            shards.append(Shard(backbone, number, members, digest))
    return shards


def shard_table(shard: Shard, compute: ComputeRows, schema: pa.Schema) -> pa.Table:
    """Compute a shard in memory, as an engine does that keeps its own record of what is finished."""
    rows = [row for _, batch in compute(shard, 0) for row in batch]
    return pa.Table.from_pylist(rows, schema)


class Parts:
    """The finished parts of a run in a folder.

    Parameters
    ----------
    folder : made when it is missing
    schema : of the rows
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.folder = folder
        self.schema = schema
        folder.mkdir(parents=True, exist_ok=True)

    def keep_only(self, shards: Iterable[Shard]) -> None:
        """Remove parts and pieces of other requests: what they tell of may be overwritten by this one."""
        names = {shard.name for shard in shards}
        for path in self.folder.iterdir():
            piece = _PIECE_NAME.fullmatch(path.name)
            owner = piece["shard"] if piece else path.name.removesuffix(_PART)
            if path.suffix in {_PART, _PIECE} and owner not in names:
                path.unlink()

    def has(self, shard: Shard) -> bool:
        """Whether a shard is finished."""
        return self._part(shard).is_file()

    def begun(self, shard: Shard) -> int:
        """How many images of an unfinished shard an earlier run has finished."""
        return self._pieces(shard)[1]

    def read(self, shard: Shard) -> pa.Table:
        """The rows of a finished shard."""
        return parquet.read_table(self._part(shard), schema=self.schema)

    def drop(self, shard: Shard) -> None:
        """Forget that a shard is finished."""
        self._part(shard).unlink(missing_ok=True)

    def write(self, shard: Shard, table: pa.Table) -> None:
        """Finish a shard."""
        write_whole(self._part(shard), _packed(table))

    def compute(self, shard: Shard, compute: ComputeRows) -> Iterator[list[Row]]:
        """Finish a shard, going on where it was begun, and yield the rows of every new batch once they are kept."""
        pieces, first = self._pieces(shard)
        tables = [parquet.read_table(piece, schema=self.schema) for piece in pieces]
        for after, rows in compute(shard, first):
            tables.append(pa.Table.from_pylist(rows, self.schema))
            pieces.append(self.folder / f"{shard.name}.{first:05d}-{after:05d}{_PIECE}")
            write_whole(pieces[-1], _packed(tables[-1]))
            first = after
            yield rows
        self.write(shard, pa.concat_tables(tables) if tables else self.schema.empty_table())
        for piece in pieces:
            piece.unlink(missing_ok=True)

    def _part(self, shard: Shard) -> Path:
        return self.folder / f"{shard.name}{_PART}"

    def _pieces(self, shard: Shard) -> tuple[list[Path], int]:
        """The pieces that follow each other from the shard's first image on, and the first image after them."""
        found = {}
        for path in self.folder.glob(f"*{_PIECE}"):
            match = _PIECE_NAME.fullmatch(path.name)
            if match and match["shard"] == shard.name:
                found[int(match["first"])] = (path, int(match["after"]))
        pieces, first = [], 0
        while first in found:
            path, first = found[first]
            pieces.append(path)
        return pieces, first


def shard_rows(shard: Shard, compute: ComputeRows, parts: Parts | None) -> Iterator[Row]:
    """The rows of a shard: from its part, computed first if there is none; straight from `compute` without parts."""
    if parts is None:
        for _, rows in compute(shard, 0):
            yield from rows
        return
    if not parts.has(shard):
        for _ in parts.compute(shard, compute):
            pass
    yield from parts.read(shard).to_pylist()


def _packed(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())
