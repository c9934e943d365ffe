"""Long runs cut into shards: each becomes one Parquet part, written whole, so that a killed run goes on where it was.

A shard is a few hundred consecutive images of a request under one backbone. What it gives depends on the shard alone,
never on other shards or their order, so any engine may compute them. Within a shard the rows of every finished batch
are kept as a piece, from which a run that was killed in the middle goes on; the part replaces them. At an address, such
as ``s3://bucket/folder``, there are no pieces: a finished part is the unit.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as parquet

from convfe_core.base.folders import Folder, LocalFolder, open_folder
from convfe_core.base.wording import file_stem

SHARD_IMAGES = 256
LAYOUT = 1
"""Raised when what a part holds changes, so that parts of older versions are not taken for finished."""

Row = dict[str, Any]

_PART, _PIECE = ".parquet", ".piece"
_PIECE_NAME = re.compile(r"(?P<shard>.+)\.(?P<first>\d+)-(?P<after>\d+)\.piece")


@dataclass(frozen=True, slots=True)
class ShardImage:
    """One image of a request.

    Attributes
    ----------
    path : where it is
    place : its place in the request
    name : what its results are called, if they have a name
    stamp : changes when the file does, see `convfe_core.base.folders.file_stamp`
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

    @property
    def words(self) -> str:
        """What it is called in messages: the backbone, and the images by their places in the request, from 1."""
        return f"{self.backbone}, images {self.images[0].place + 1} to {self.images[-1].place + 1}"


ComputeRows = Callable[[Shard, int], Iterator[tuple[int, list[Row]]]]
"""Takes a shard and the first image to compute, yields after each batch the next image and the rows of those before it.

To begin at a yielded image must give the very rows that would have followed.
"""


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
            told = [(image.path, image.place, image.name, image.stamp) for image in members]
            facts = [LAYOUT, backbone, dict(request), told]
            digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
            shards.append(Shard(backbone, number, members, digest))
    return shards


class Job(Protocol):
    """What an engine maps over shards: everything that is the same for all of them; it pickles.

    Attributes
    ----------
    schema : of the rows
    """

    @property
    def schema(self) -> pa.Schema:
        """Of the rows."""

    def load(self, backbone: str) -> Any:
        """Make ready what the shards of one backbone share, above all its weights.

        Parameters
        ----------
        backbone : as shards name it
        """

    def rows(self, loaded: Any, shard: Shard, first: int) -> Iterator[tuple[int, list[Row]]]:
        """Compute a shard with what `load` gave; see `ComputeRows`."""


def shard_table(shard: Shard, compute: ComputeRows, schema: pa.Schema) -> pa.Table:
    """Compute a shard in memory, as an engine does that keeps its own record of what is finished."""
    rows = [row for _, batch in compute(shard, 0) for row in batch]
    return pa.Table.from_pylist(rows, schema)


class Parts:
    """The finished parts of a run in a folder.

    Parameters
    ----------
    folder : or its path or address
    schema : of the rows
    """

    def __init__(self, folder: Folder | str | Path, schema: pa.Schema) -> None:
        self.folder = folder if isinstance(folder, Folder) else open_folder(folder)
        self.schema = schema

    def keep_only(self, shards: Iterable[Shard]) -> None:
        """Remove parts and pieces of other requests: what they tell of may be overwritten by this one."""
        names = {shard.name for shard in shards}
        for name in self.folder.names():
            piece = _PIECE_NAME.fullmatch(name)
            owner = piece["shard"] if piece else name.removesuffix(_PART)
            if name.endswith((_PART, _PIECE)) and owner not in names:
                self.folder.remove(name)

    def has(self, shard: Shard) -> bool:
        """Whether a shard is finished."""
        return self.folder.has(_part(shard))

    def finished(self, shards: Iterable[Shard]) -> set[str]:
        """The names of those shards that are finished, for one question to the folder."""
        there = self.folder.names()
        return {shard.name for shard in shards if _part(shard) in there}

    def begun(self, shards: Iterable[Shard]) -> int:
        """How many images of unfinished shards an earlier run has finished, for one question to the folder."""
        there = self._all_pieces()
        return sum(_following(there.get(shard.name, {}))[1] for shard in shards)

    def read(self, shard: Shard) -> pa.Table:
        """The rows of a finished shard."""
        return self._read(_part(shard))

    def drop(self, shard: Shard) -> None:
        """Forget that a shard is finished."""
        self.folder.remove(_part(shard))

    def write(self, shard: Shard, table: pa.Table) -> None:
        """Finish a shard."""
        self.write_packed(shard, packed(table))

    def write_packed(self, shard: Shard, part: bytes) -> None:
        """Finish a shard with what `packed` made of its rows, somewhere else perhaps."""
        self.folder.write(_part(shard), part)

    def compute(self, shard: Shard, compute: ComputeRows) -> Iterator[list[Row]]:
        """Finish a shard, going on where it was begun, and yield the rows of every new batch once they are kept."""
        pieces, first = _following(self._all_pieces().get(shard.name, {}))
        tables = [self._read(piece) for piece in pieces]
        for after, rows in compute(shard, first):
            tables.append(pa.Table.from_pylist(rows, self.schema))
            if isinstance(self.folder, LocalFolder):
                pieces.append(f"{shard.name}.{first:05d}-{after:05d}{_PIECE}")
                self.folder.write(pieces[-1], packed(tables[-1]))
            first = after
            yield rows
        self.write(shard, pa.concat_tables(tables) if tables else self.schema.empty_table())
        for piece in pieces:
            self.folder.remove(piece)

    def _read(self, name: str) -> pa.Table:
        return parquet.read_table(pa.BufferReader(self.folder.read(name)), schema=self.schema)

    def _all_pieces(self) -> dict[str, dict[int, tuple[str, int]]]:
        """By shard and first image, the piece that begins there, and the first image after it."""
        found: dict[str, dict[int, tuple[str, int]]] = {}
        for name in self.folder.names() if isinstance(self.folder, LocalFolder) else ():
            if match := _PIECE_NAME.fullmatch(name):
                found.setdefault(match["shard"], {})[int(match["first"])] = name, int(match["after"])
        return found


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


def packed(table: pa.Table) -> bytes:
    """Rows as the bytes of a part."""
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def _following(pieces: Mapping[int, tuple[str, int]]) -> tuple[list[str], int]:
    """The pieces that follow each other from a shard's first image on, and the first image after them."""
    names, first = [], 0
    while first in pieces:
        name, first = pieces[first]
        names.append(name)
    return names, first


def _part(shard: Shard) -> str:
    return f"{shard.name}{_PART}"
