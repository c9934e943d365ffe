"""A run of ``convfe maps``: for each image and backbone a PNG and an NPZ file, and a manifest when all are there.

The run goes shard by shard (see `convfe_core.shards`). A run that was killed goes on when it is started again with the
same arguments; finished shards and batches are not computed again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from convfe_core.ahead import ahead
from convfe_core.backbones import Backbone, load_backbone
from convfe_core.catalog import Spec, file_stem
from convfe_core.errors import ConvfeError, ImageError, SpecError
from convfe_core.exports import single_npz
from convfe_core.extraction import Size, extract_batches
from convfe_core.files import whole_file, write_whole
from convfe_core.filesets import file_stamp
from convfe_core.footprint import require_room
from convfe_core.images import Photo, open_photo
from convfe_core.maps import FeatureMaps
from convfe_core.pace import Pace
from convfe_core.pictures import row_png
from convfe_core.precision import Precision, computes_in_bfloat16, explain_precision
from convfe_core.ray_engine import RayEngine
from convfe_core.shards import Parts, Row, Shard, ShardImage, cut_shards
from convfe_core.sources import photos_in_folder

MANIFEST = "manifest.json"
PARTS = "parts"

TEXT_COLUMNS = ("image", "sha256", "backbone", "weights", "tap", "png", "npz", "reason")
SCHEMA = pa.schema([*((name, pa.string()) for name in TEXT_COLUMNS), ("cells", pa.list_(pa.int64()))])
"""One row for each image under one backbone: its files, or in ``reason`` why there are none."""


@dataclass
class MapsRun:
    """What to write where.

    Attributes
    ----------
    paths : images, or folders of images
    tell : takes one line of progress or of what went wrong
    """

    paths: tuple[Path, ...]
    specs: tuple[Spec, ...]
    size: Size
    tap: str
    out: Path
    tell: Callable[[str], None]
    precision: Precision = "float32"
    engine: RayEngine | None = None
    _told: set[str] = field(default_factory=set)
    _failed: dict[tuple[str, str, str], None] = field(default_factory=dict)

    def write(self) -> int:
        """Write everything and return how many things failed.

        Raises
        ------
        SpecError : a backbone or layer that does not exist; nothing is written then
        """
        images = self._images()
        specs = {spec.text: spec for spec in self.specs}
        shards = cut_shards(images, list(specs), self._request())
        parts = Parts(self.out / PARTS, SCHEMA)
        parts.keep_only(shards)
        if self.precision != "float32":
            self.tell(f"{self.precision}: {explain_precision(self.precision)}")
        pace = Pace(len(images) * len(specs))
        for text, spec in specs.items():
            missing = [s for s in shards if s.backbone == text and not self._finished(parts, s)]
            pace.skip(len(images) - sum(len(shard.images) - parts.begun(shard) for shard in missing))
            backbone = self._load(spec) if missing else None
            if backbone is not None:
                pace.restart()
                for shard in missing:
                    self._run_shard(parts, shard, backbone, pace, len(images))
        with whole_file(self.out / MANIFEST) as file:
            written = self._write_manifest(file, (parts.read(shard) for shard in shards if parts.has(shard)))
        self.tell(f"{written} maps in {self.out}" + (f", {len(self._failed)} failed" if self._failed else ""))
        return len(self._failed)

    def _images(self) -> list[ShardImage]:
        """Every image once, with a stem for its files; images of one name in different folders are numbered."""
        paths: list[Path] = []
        for path in self.paths:
            try:
                paths += photos_in_folder(path) if path.is_dir() else [path]
            except ImageError as error:
                self._fail(str(path), "", str(error))
        taken: set[str] = set()
        images = []
        for place, path in enumerate(dict.fromkeys(paths)):
            stem, number = file_stem(path.stem), 2
            while stem.casefold() in taken:
                stem, number = f"{file_stem(path.stem)}-{number}", number + 1
            taken.add(stem.casefold())
            images.append(ShardImage(str(path), place, stem, file_stamp(path)))
        return images

    def _request(self) -> dict[str, Any]:
        """What the maps depend on besides the images and the names of the backbones."""
        return {
            "version": version("convfe"),
            "size": self.size.name,
            "tap": self.tap,
            "bfloat16": computes_in_bfloat16(self.precision),
            "preprocessing": {spec.text: spec.preprocessing for spec in self.specs if spec.preprocessing is not None},
            "weights": {spec.text: file_stamp(spec.path) for spec in self.specs if spec.path is not None},
        }

    def _finished(self, parts: Parts, shard: Shard) -> bool:
        """Whether a shard's part is there, and the files that it names."""
        if not parts.has(shard):
            return False
        names = parts.read(shard).select(["png", "npz"]).to_pydict()
        if all((self.out / name).is_file() for column in names.values() for name in column if name):
            return True
        parts.drop(shard)
        return False

    def _load(self, spec: Spec) -> Backbone | None:
        self.tell(f"{spec.label}: loading")
        try:
            require_room(spec)
            return load_backbone(spec, self.tap, precision=self.precision)
        except SpecError:
            raise
        except ConvfeError as error:
            self._fail("", spec.text, str(error))
            return None

    def _run_shard(self, parts: Parts, shard: Shard, backbone: Backbone, pace: Pace, images: int) -> None:
        for rows in parts.compute(shard, lambda one, first: self._rows(backbone, one, first)):
            pace.count(len(rows))
            for row in rows:
                if row["reason"]:
                    self._tell_reason(row["reason"])
            if pace.due():
                done = (pace.done - 1) % images + 1
                words = pace.words()
                self.tell(f"{backbone.label}: image {done} of {images}" + (f", {words}" if words else ""))

    def _rows(self, backbone: Backbone, shard: Shard, first: int) -> Iterator[tuple[int, list[Row]]]:
        """Write the files of a shard batch by batch; see `convfe_core.shards.ComputeRows`."""
        unreadable: dict[int, str] = {}  # filled by the thread that decodes, always ahead of what is yielded here

        def photos() -> Iterator[tuple[int, Photo]]:
            for position in range(first, len(shard.images)):
                try:
                    yield position, open_photo(shard.images[position].path)
                except ImageError as error:
                    unreadable[position] = str(error)

        def write(member: tuple[int, Photo, FeatureMaps]) -> tuple[int, Row]:
            position, photo, maps = member
            return position, self._write_pair(shard.images[position], photo, maps)

        start = first
        # While two threads draw one batch, the network runs on the next one, and the one after that is decoded.
        with closing(ahead(extract_batches(backbone, photos(), self.size))) as batches, ThreadPoolExecutor(2) as pens:
            for batch in batches:
                rows = dict(pens.map(write, batch))
                after = max(rows) + 1
                yield after, self._in_order(shard, start, after, rows, unreadable)
                start = after
        if start < len(shard.images):
            yield len(shard.images), self._in_order(shard, start, len(shard.images), {}, unreadable)

    def _in_order(
        self, shard: Shard, start: int, after: int, rows: dict[int, Row], unreadable: dict[int, str]
    ) -> list[Row]:
        return [
            rows[position]
            if position in rows
            else {"image": _text(shard.images[position]), "backbone": shard.backbone, "reason": unreadable[position]}
            for position in range(start, after)
        ]

    def _write_pair(self, image: ShardImage, photo: Photo, maps: FeatureMaps) -> Row:
        name = f"{image.name}.{file_stem(maps.label)}"
        write_whole(self.out / f"{name}.png", row_png(photo, [maps]))
        write_whole(self.out / f"{name}.npz", single_npz(maps))
        return {
            "image": _text(image),
            "sha256": photo.digest,
            "backbone": maps.label,
            "weights": maps.weights,
            "tap": maps.tap,
            "png": f"{name}.png",
            "npz": f"{name}.npz",
            "cells": list(maps.max.shape),
            "reason": None,
        }

    def _fail(self, image: str, spec: str, reason: str) -> None:
        self._failed[image, spec, reason] = None
        self._tell_reason(reason)

    def _tell_reason(self, reason: str) -> None:
        if reason not in self._told:
            self._told.add(reason)
            self.tell(f"convfe: {reason}")

    def _write_manifest(self, file: BinaryIO, tables: Iterator[pa.Table]) -> int:
        """Write the manifest shard by shard, so that it need not be in memory, and return how many maps it lists."""
        head = {
            "size": self.size.name,
            "tap": self.tap,
            "precision": self.precision,
            "backbones": [spec.text for spec in self.specs],
        }
        file.write(_json(head)[:-2].encode() + b',\n "maps": [')
        written = 0
        for table in tables:
            for row in table.to_pylist():
                reason = row.pop("reason")
                if reason:
                    self._fail(row["image"], "", reason)
                    continue
                file.write(("," if written else "").encode() + b"\n  " + _json(row, indent=None).encode())
                written += 1
        failed = [dict(zip(("image", "backbone", "reason"), failure, strict=True)) for failure in self._failed]
        file.write(b'\n ],\n "failed": ' + _json(failed).encode() + b"\n}\n")
        return written


def _text(image: ShardImage) -> str:
    """An image's path as text that any file can hold, also where its name is none."""
    return os.fsencode(image.path).decode("utf-8", "replace")


def _json(record: Any, indent: int | None = 1) -> str:
    return json.dumps(record, indent=indent, ensure_ascii=False)
