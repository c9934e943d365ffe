"""Frozen features of photographs: computed once, kept as float16 in files, and mapped into memory to be read.

A file holds so many photographs and appears whole, so that a run that was killed computes only what is missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from convfe_core.backbones.backbone import Backbone
from convfe_core.base.arrays import FloatArray
from convfe_core.base.errors import MemoryLimitError, ModelFileError
from convfe_core.base.folders import whole_file
from convfe_core.base.wording import counted
from convfe_core.datasets.boxes import ImageBoxes
from convfe_core.jobs.shards import Row, Shard, ShardImage, rows_of_shard
from convfe_core.maps.extraction import Member, Projected, cells_on_photo, project_windows
from convfe_core.maps.input_size import Size, frame_for
from convfe_core.photos.photo import Photo

IMAGES_A_FILE = 64
MOST_MB = 2048.0
"""Megabytes that the features of one backbone may take on disk."""
_LARGEST = float(np.finfo(np.float16).max)
_AS_THEY_ARE = 2.0**-10, 2.0**10
"""Root mean squares between which float16 holds features well; those of an untrained MobileNet are 1e-17."""

_SCHEMA = pa.schema(
    [
        ("reason", pa.string()),
        ("rows", pa.int32()),
        ("columns", pa.int32()),
        ("exponents", pa.list_(pa.int32())),
        ("values", pa.large_binary()),
    ]
)
"""One row a photograph: why it cannot be read, or its features, float16 (rows, columns, channels), times 2 to the power
of the exponent of their stage."""


@dataclass(frozen=True, eq=False)
class StoredFeatures:
    """Features of the photographs of a shard, by their numbers there; they lie on disk until they are looked at."""

    _tables: Sequence[pa.Table]

    def reason(self, number: int) -> str | None:
        """Why a photograph has none."""
        said: str | None = self._cell(number, "reason").as_py()
        return said

    def values(self, number: int) -> NDArray[np.float16]:
        """(h, w, C) features of a photograph, those of a stage times one factor; a view of its file."""
        rows, columns = (self._cell(number, side).as_py() for side in ("rows", "columns"))
        return np.frombuffer(self._cell(number, "values").as_buffer(), np.float16).reshape(rows, columns, -1)

    def _cell(self, number: int, column: str) -> Any:
        table, row = divmod(number, IMAGES_A_FILE)
        return self._tables[table][column][row]


def require_disk(backbone: Backbone, images: Sequence[ImageBoxes], size: Size) -> None:
    """Refuse features that would take too much room on disk.

    Raises
    ------
    MemoryLimitError : with what they take
    """
    cells = 0
    for image in images:
        grid = cells_on_photo(frame_for(image.height, image.width, backbone, size), backbone)
        cells += grid.rows * grid.columns
    megabytes = cells * backbone.channels * np.dtype(np.float16).itemsize / 2**20
    if megabytes > MOST_MB:
        raise MemoryLimitError(
            f"{backbone.label}: expected features of at most {MOST_MB:,.0f} MB for a trial, those of "
            f"{counted(len(images), 'image')} take {megabytes:,.0f} MB; choose a smaller size, a later layer or fewer "
            "images."
        )


def store_features(
    backbone: Backbone,
    stages: Sequence[int],
    shard: Shard,
    size: Size,
    folder: Path,
    read: Callable[[ShardImage], bytes],
    decode: Callable[[ShardImage, bytes], Photo],
    readers: int,
    tell: Callable[[str], None],
) -> StoredFeatures:
    """Compute those features of a shard's photographs that a folder does not hold yet.

    Features of a stage are multiplied by one power of two, that of the first photograph, so that float16 can hold them.

    Parameters
    ----------
    stages : how many channels belong to each stage
    read, decode, readers : as of `convfe_core.jobs.shards.rows_of_shard`
    tell : takes a phrase that says what is done; may raise to end it
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables: list[pa.Table] = []
    for number, start in enumerate(range(0, len(shard.images), IMAGES_A_FILE)):
        part = replace(shard, number=number, images=shard.images[start : start + IMAGES_A_FILE])
        path = folder / f"{part.name}.features"
        if not path.is_file():
            tell("features")
            exponents: list[int] = next(
                (one.as_py() for table in tables for one in table["exponents"] if one.is_valid), []
            )
            compute = partial(_feature_rows, backbone, stages, size, exponents)
            rows = rows_of_shard(part, 0, read, decode, compute, readers)
            with whole_file(path) as file, pa.ipc.new_file(file, _SCHEMA) as writer:
                for _, window in rows:
                    tell("features")
                    writer.write_table(pa.Table.from_pylist(window, _SCHEMA))
        with pa.memory_map(str(path)) as source:
            tables.append(pa.ipc.open_file(source).read_all())
    return StoredFeatures(tables)


def remove_features(shard: Shard, folder: Path) -> None:
    """Remove what `store_features` left of a shard."""
    for path in folder.glob(f"*-{shard.digest[:16]}.features"):
        path.unlink(missing_ok=True)


def _feature_rows(
    backbone: Backbone,
    stages: Sequence[int],
    size: Size,
    exponents: list[int],
    photos: Iterator[tuple[int, Photo]],
) -> Generator[list[tuple[int, Row]], None, None]:
    """Rows of `_SCHEMA`; no exponents yet are found out by the first photograph."""

    def keep(one: Member[int], found: Projected) -> tuple[int, Row]:
        if not np.isfinite(found.maps.mean).all():
            raise ModelFileError(
                f"{backbone.label}: expected features that are numbers. Received: some that are none, for "
                f"{one.photo.name}; the network overflowed or its weights are damaged."
            )
        if not exponents:
            exponents.extend(_exponents(found.components, stages))
        scaled = np.ldexp(found.components, np.repeat(exponents, stages))
        values = np.clip(scaled, -_LARGEST, _LARGEST).astype(np.float16)
        rows, columns = values.shape[:2]
        return one.key, {"rows": rows, "columns": columns, "exponents": exponents, "values": values.tobytes()}

    with closing(project_windows(backbone, photos, size, backbone.all_directions, keep)) as windows:
        yield from windows


def _exponents(features: FloatArray, stages: Sequence[int]) -> list[int]:
    """Of two, for each stage: 0, or what brings its root mean square near 1 where float16 would not hold it."""
    edges = np.cumsum([0, *stages])
    squares = np.square(features, dtype=np.float64)
    sizes = [float(np.sqrt(squares[..., low:high].mean())) for low, high in pairwise(edges)]
    least, most = _AS_THEY_ARE
    return [0 if size == 0 or least <= size <= most else -round(math.log2(size)) for size in sizes]
