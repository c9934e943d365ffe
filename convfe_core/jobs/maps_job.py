"""Shards of ``convfe maps``: each image of one becomes a PNG and an NPZ file, and a row that tells of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from convfe_core.backbones.backbone import Backbone, load_backbone
from convfe_core.backbones.precision import Precision, require_same_arithmetic
from convfe_core.base.background import ahead, map_ahead
from convfe_core.base.errors import ImageError
from convfe_core.base.folders import Folder, is_address
from convfe_core.base.memory import settle
from convfe_core.base.wording import file_name, file_stem
from convfe_core.catalog.specs import Spec
from convfe_core.datasets.file_sets import AddressFiles
from convfe_core.drawing.row_picture import row_png
from convfe_core.jobs.shards import Row, Shard, ShardImage
from convfe_core.maps.extraction import extract_windows
from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.maps.input_size import Size
from convfe_core.maps.npz import single_npz
from convfe_core.photos.photo import Photo, photo_bytes, read_photo

TEXT_COLUMNS = ("image", "sha256", "backbone", "weights", "tap", "png", "npz", "reason")
SCHEMA = pa.schema([*((name, pa.string()) for name in TEXT_COLUMNS), ("cells", pa.list_(pa.int64()))])
"""One row for each image under one backbone: its files, or in ``reason`` why there are none."""


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

    @property
    def schema(self) -> pa.Schema:
        """Of the rows."""
        return SCHEMA

    def load(self, backbone: str) -> Backbone:
        """Load a backbone; errors as in `convfe_core.backbones.backbone.load_backbone`."""
        require_same_arithmetic(self.precision, self.bfloat16)
        settle()
        return load_backbone(self.specs[backbone], self.tap, precision=self.precision)

    def rows(self, loaded: Backbone, shard: Shard, first: int) -> Iterator[tuple[int, list[Row]]]:
        """Write the files of a shard window by window; see `convfe_core.jobs.shards.ComputeRows`."""
        unreadable: dict[int, str] = {}  # filled by the thread that decodes, always ahead of what is yielded here

        def photos() -> Iterator[tuple[int, Photo]]:
            images = shard.images[first:]
            readers = AddressFiles.readers if any(is_address(image.path) for image in images) else 1
            with closing(map_ahead(self._read, images, readers)) as files:
                for position, data in enumerate(files, first):
                    try:
                        yield position, self._photo(shard.images[position], data)
                    except ImageError as error:
                        unreadable[position] = str(error)

        def write(member: tuple[int, Photo, FeatureMaps]) -> tuple[int, Row]:
            position, photo, maps = member
            return position, self._write_pair(shard.images[position], photo, maps)

        start = first
        # While two threads draw one window, the network runs on the next one, and the one after that is decoded.
        with closing(ahead(extract_windows(loaded, photos(), self.size))) as windows, ThreadPoolExecutor(2) as pens:
            for window in windows:
                rows = dict(pens.map(write, window))
                after = max(rows) + 1
                yield after, _in_order(shard, start, after, rows, unreadable)
                start = after
        if start < len(shard.images):
            yield len(shard.images), _in_order(shard, start, len(shard.images), {}, unreadable)

    def _read(self, image: ShardImage) -> bytes | ImageError:
        try:
            return photo_bytes(image.path if is_address(image.path) else self.here / image.path)
        except ImageError as error:
            return error

    def _photo(self, image: ShardImage, data: bytes | ImageError) -> Photo:
        if isinstance(data, ImageError):
            raise data
        return read_photo(data, file_name(image.path))

    def _write_pair(self, image: ShardImage, photo: Photo, maps: FeatureMaps) -> Row:
        name = f"{image.name}.{file_stem(maps.label)}"
        self.out.write(f"{name}.png", row_png(photo, [maps]))
        self.out.write(f"{name}.npz", single_npz(maps))
        return {
            "image": path_text(image),
            "sha256": photo.digest,
            "backbone": maps.label,
            "weights": maps.weights,
            "tap": maps.tap,
            "png": f"{name}.png",
            "npz": f"{name}.npz",
            "cells": list(maps.max.shape),
            "reason": None,
        }


def path_text(image: ShardImage) -> str:
    """An image's path as text that any file can hold, also where its name is none."""
    return os.fsencode(image.path).decode("utf-8", "replace")


def _in_order(shard: Shard, start: int, after: int, rows: dict[int, Row], unreadable: dict[int, str]) -> list[Row]:
    return [
        rows[position]
        if position in rows
        else {"image": path_text(shard.images[position]), "backbone": shard.backbone, "reason": unreadable[position]}
        for position in range(start, after)
    ]
