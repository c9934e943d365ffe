"""Shards of ``convfe maps``: each image of one becomes a PNG and an NPZ file, and a row with what they do not say."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from convfe_core.backbones.backbone import Backbone, load_backbone
from convfe_core.backbones.precision import Precision, explain_kept, require_same_arithmetic
from convfe_core.base.background import ahead
from convfe_core.base.file_sets import AddressFiles
from convfe_core.base.folders import Folder, is_address
from convfe_core.base.wording import file_name, file_stem
from convfe_core.catalog.memory_need import worker_mb
from convfe_core.catalog.specs import Spec
from convfe_core.drawing.row_picture import row_png
from convfe_core.jobs.shards import Row, Shard, ShardImage, remark, rows_of_shard
from convfe_core.machine.memory import settle
from convfe_core.maps.extraction import extract_windows, require_cells
from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.maps.input_size import Size
from convfe_core.maps.npz import single_npz
from convfe_core.photos.photo import Photo, photo_bytes, read_photo

SCHEMA = pa.schema(
    [
        ("sha256", pa.string()),
        ("weights", pa.string()),
        ("tap", pa.string()),
        ("cells", pa.list_(pa.int64())),
        ("note", pa.string()),
        ("reason", pa.string()),
    ]
)
"""One row for each image under one backbone: what its files show, or in ``reason`` why there are none.

``note`` says what of the image they leave out, such as its further pages.
"""


@dataclass(frozen=True, eq=False)
class MapsJob:
    """What drawing maps needs to know besides a shard, see `convfe_core.jobs.shards.Job`.

    Attributes
    ----------
    specs : by their text, as shards name them
    here : the folder that relative paths of images begin at
    out : where the files go; every machine that takes part must reach it
    bfloat16 : whether the machine that asks computes in it; all must
    """

    specs: Mapping[str, Spec]
    size: Size
    tap: str
    precision: Precision
    here: Path
    out: Folder
    bfloat16: bool
    schema = SCHEMA

    @property
    def megabytes(self) -> float:
        """Memory of a process of its own."""
        return worker_mb(self.specs.values())

    def called(self, backbone: str) -> tuple[str, str]:
        """Its label, and nothing besides."""
        return self.specs[backbone].label, ""

    def load(self, backbone: str, _tell: Callable[[str], None]) -> Backbone:
        """Load a backbone; errors as in `convfe_core.backbones.backbone.load_backbone`."""
        require_same_arithmetic(self.precision, self.bfloat16)
        settle()
        return load_backbone(self.specs[backbone], self.tap, precision=self.precision)

    def remark(self, loaded: Backbone) -> str | None:
        """What to know about its maps, and why it computes in float32 though bfloat16 was asked for."""
        return remark(loaded.notes, explain_kept(self.precision, loaded.precision))

    def rows(self, loaded: Backbone, shard: Shard, first: int) -> Iterator[tuple[int, list[Row]]]:
        """Write the files of a shard window by window; see `convfe_core.jobs.shards.ComputeRows`."""

        def decode(image: ShardImage, data: bytes) -> Photo:
            photo = read_photo(data, file_name(image.path))
            require_cells(loaded, photo, self.size)
            return photo

        def write(member: tuple[int, Photo, FeatureMaps]) -> tuple[int, Row]:
            position, photo, maps = member
            png, npz = self.files(shard, shard.images[position])
            self.out.write(png, row_png(photo, [maps]))
            self.out.write(npz, single_npz(maps))
            cells = list(maps.max.shape)
            return position, {
                "sha256": photo.digest,
                "weights": maps.weights,
                "tap": maps.tap,
                "cells": cells,
                "note": photo.note or None,
            }

        def process(photos: Iterator[tuple[int, Photo]]) -> Generator[list[tuple[int, Row]], None, None]:
            # While two threads draw one window, the network runs on the next, and the one after that is decoded.
            windows = ahead(extract_windows(loaded, photos, self.size))
            with closing(windows), ThreadPoolExecutor(2) as pens:
                for window in windows:
                    yield list(pens.map(write, window))

        readers = AddressFiles.readers if any(is_address(image.path) for image in shard.images) else 1
        return rows_of_shard(shard, first, self._read, decode, process, readers)

    def files(self, shard: Shard, image: ShardImage) -> tuple[str, str]:
        """Names of the PNG and the NPZ file of an image under a shard's backbone."""
        name = f"{image.name}.{file_stem(self.specs[shard.backbone].label)}"
        return f"{name}.png", f"{name}.npz"

    def _read(self, image: ShardImage) -> bytes:
        return photo_bytes(image.path if is_address(image.path) else self.here / image.path)
