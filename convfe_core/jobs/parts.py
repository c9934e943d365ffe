"""What a long run has finished: one Parquet part a shard, written whole, so that a killed run resumes there.

While a shard is computed, the rows of every finished batch are kept as a piece, from which a run that was killed in
the middle resumes; the part replaces them. At an address, such as ``s3://bucket/folder``, there are no pieces: only
finished parts count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

from convfe_core.base.folders import Folder, LocalFolder, open_folder
from convfe_core.jobs.shards import ComputeRows, Row, Shard, ShardImage

_PART, _PIECE = ".parquet", ".piece"
_PIECE_NAME = re.compile(r"(?P<shard>.+)\.(?P<first>\d+)-(?P<after>\d+)\.piece")


class Parts:
    """The finished parts of a run in a folder.

    Parameters
    ----------
    folder : or its path or address; None for the memory of this process
    schema : of the rows
    """

    def __init__(self, folder: Folder | str | Path | None, schema: pa.Schema) -> None:
        self.folder = InMemory() if folder is None else folder if isinstance(folder, Folder) else open_folder(folder)
        self.schema = schema

    def keep_only(self, shards: Iterable[Shard]) -> None:
        """Remove parts and pieces of other requests, because this one may overwrite the files that they describe."""
        names = {shard.name for shard in shards}
        for name in self.folder.names():
            piece = _PIECE_NAME.fullmatch(name)
            owner = piece["shard"] if piece else name.removesuffix(_PART)
            if name.endswith((_PART, _PIECE)) and owner not in names:
                self.folder.remove(name)

    def missing(self, shards: Iterable[Shard]) -> list[Shard]:
        """Those shards that are not finished; lists the folder once."""
        there = self.folder.names()
        return [shard for shard in shards if _part(shard) not in there]

    def begun(self, shards: Iterable[Shard]) -> int:
        """How many images of unfinished shards an earlier run has finished; lists the folder once."""
        there = self._all_pieces()
        return sum(_following(there.get(shard.name, {}))[1] for shard in shards)

    def rows(self, shard: Shard) -> Iterator[tuple[ShardImage, Row]]:
        """The images of a finished shard, each with its row."""
        yield from zip(shard.images, self.read(shard).to_pylist(), strict=True)

    def read(self, shard: Shard) -> pa.Table:
        """The rows of a finished shard."""
        return self._read(_part(shard))

    def drop(self, shard: Shard) -> None:
        """Forget that a shard is finished."""
        self.folder.remove(_part(shard))

    def write(self, shard: Shard, part: bytes) -> None:
        """Finish a shard with the bytes that `packed` made of its rows."""
        self.folder.write(_part(shard), part)

    def compute(self, shard: Shard, compute: ComputeRows) -> Iterator[list[Row]]:
        """Finish a shard, resuming where it was begun, and yield the rows of every new batch once they are kept."""
        pieces, first = _following(self._all_pieces().get(shard.name, {}))
        tables = [self._read(piece) for piece in pieces]
        for after, rows in compute(shard, first):
            tables.append(pa.Table.from_pylist(rows, self.schema))
            if isinstance(self.folder, LocalFolder):
                pieces.append(f"{shard.name}.{first:05d}-{after:05d}{_PIECE}")
                self.folder.write(pieces[-1], packed(tables[-1]))
            first = after
            yield rows
        self.write(shard, packed(pa.concat_tables(tables) if tables else self.schema.empty_table()))
        for piece in pieces:
            self.folder.remove(piece)

    def _read(self, name: str) -> pa.Table:
        # In this thread alone: one of Arrow's own may hold the bytes a moment longer, and gives them back to a Python
        # that has ended meanwhile, which aborts the process (Arrow's issue 34314).
        return parquet.ParquetFile(pa.BufferReader(self.folder.read(name))).read(use_threads=False)

    def _all_pieces(self) -> dict[str, dict[int, tuple[str, int]]]:
        """By shard and first image, the piece that begins there, and the first image after it."""
        found: dict[str, dict[int, tuple[str, int]]] = {}
        for name in self.folder.names() if isinstance(self.folder, LocalFolder) else ():
            if match := _PIECE_NAME.fullmatch(name):
                found.setdefault(match["shard"], {})[int(match["first"])] = name, int(match["after"])
        return found


class InMemory:
    """Files in the memory of this process, for runs that leave nothing behind."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def names(self) -> set[str]:
        return set(self._files)

    def read(self, name: str) -> bytes:
        return self._files[name]

    def write(self, name: str, data: bytes) -> None:
        self._files[name] = data

    def remove(self, name: str) -> None:
        self._files.pop(name, None)


def shard_table(shard: Shard, compute: ComputeRows, schema: pa.Schema) -> pa.Table:
    """Compute a whole shard in memory, without pieces."""
    rows = [row for _, batch in compute(shard, 0) for row in batch]
    return pa.Table.from_pylist(rows, schema)


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
