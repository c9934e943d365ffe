"""Shards of ``convfe maps``: each image of one becomes a PNG and an NPZ file, and a row with what they do not say."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from pathlib import Path

import pyarrow as pa

from convfe_core.backbones.backbone import Backbone, load_backbone
from convfe_core.backbones.precision import Precision, explain_kept, require_same_arithmetic
from convfe_core.base.background import ahead
from convfe_core.base.errors import ImageError
from convfe_core.base.file_sets import AddressFiles
from convfe_core.base.folders import Folder, is_address
from convfe_core.base.wording import file_name, file_stem
from convfe_core.catalog.memory_need import worker_mb
from convfe_core.catalog.specs import Spec
from convfe_core.drawing.row_picture import row_png
from convfe_core.jobs.shards import KeptPhotos, Row, Shard, ShardImage, remark, rows_of_shard
from convfe_core.machine.tensorflow_import import import_tensorflow
from convfe_core.maps.extraction import extract_windows, require_cells
from convfe_core.maps.feature_maps import REDUCTIONS, FeatureMaps
from convfe_core.maps.input_size import Size
from convfe_core.maps.npz import single_npz
from convfe_core.maps.pca_colours import PcaBasis, coloured_windows, fit_basis
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

BASIS_IMAGES = 64
"""From so many of the first images of a run, all where there are fewer, the basis of PCA colours is found."""


@dataclass(frozen=True, eq=False)
class Painting:
    """A backbone, and the basis of PCA colours where these are asked for."""

    backbone: Backbone
    basis: PcaBasis | None

    def windows(
        self, photos: Iterator[tuple[int, Photo]], size: Size
    ) -> Generator[list[tuple[int, Photo, FeatureMaps]], None, None]:
        """Run photographs; see `extract_windows`."""
        if self.basis is None:
            return extract_windows(self.backbone, photos, size)
        return coloured_windows(self.backbone, self.basis, photos, size)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know about its maps."""
        return self.backbone.notes + (self.basis.notes if self.basis else ())


@dataclass(frozen=True, eq=False)
class MapsJob:
    """What drawing maps needs to know besides a shard, see `convfe_core.jobs.shards.Job`.

    Attributes
    ----------
    specs : by their text, as shards name them
    here : the folder that relative paths of images begin at
    out : where the files go; every machine that takes part must reach it
    bfloat16 : whether the machine that asks computes in it; all must
    reductions : what is drawn, of `convfe_core.maps.feature_maps.WITHOUT_BOXES`
    basis : the images that PCA colours are of; none without
    photos : of a small run, decoded once for all backbones
    """

    specs: Mapping[str, Spec]
    size: Size
    tap: str
    precision: Precision
    here: Path
    out: Folder
    bfloat16: bool
    reductions: tuple[str, ...] = REDUCTIONS
    basis: tuple[ShardImage, ...] = ()
    photos: KeptPhotos = field(default_factory=KeptPhotos)
    schema = SCHEMA

    @property
    def megabytes(self) -> float:
        """Memory of a process of its own."""
        return worker_mb(self.specs.values())

    def called(self, backbone: str) -> tuple[str, str]:
        """Its label, and nothing besides."""
        return self.specs[backbone].label, ""

    def load(self, backbone: str, tell: Callable[[str], None]) -> Painting:
        """Load a backbone and find the basis of its colours; errors as in `load_backbone` and `fit_basis`."""
        require_same_arithmetic(self.precision, self.bfloat16)
        import_tensorflow(muted=True)
        loaded = load_backbone(self.specs[backbone], self.tap, precision=self.precision)
        if not self.basis:
            return Painting(loaded, None)

        def say(done: int) -> None:
            tell(f"PCA colours, {done} of {2 * len(self.basis)}")

        return Painting(loaded, fit_basis(loaded, _Readable(self, loaded), self.size, tell=say)[0])

    def remark(self, loaded: Painting) -> str | None:
        """What to know about its maps, and why it computes in float32 though bfloat16 was asked for."""
        backbone = loaded.backbone
        return remark(loaded.notes, explain_kept(self.precision, backbone.precision, backbone.takes_bfloat16))

    def photo(self, backbone: Backbone, image: ShardImage, data: bytes) -> Photo:
        """The photograph in an image's bytes.

        Raises
        ------
        ImageError : there is none, or none that the backbone makes a map of
        """
        photo = self._decoded(image, data)
        require_cells(backbone, photo, self.size)
        return photo

    def decode_early(self, images: Iterable[ShardImage]) -> None:
        """Decode photographs of this machine until there are too many to be kept."""
        here = takewhile(lambda image: not is_address(image.path), images)
        self.photos.decode_early(here, lambda image: self._decoded(image, self.read(image)))

    def _decoded(self, image: ShardImage, data: bytes) -> Photo:
        return self.photos.get(image.place, lambda: read_photo(data, file_name(image.path)))

    def rows(self, loaded: Painting, shard: Shard, first: int) -> Iterator[tuple[int, list[Row]]]:
        """Write the files of a shard window by window; see `convfe_core.jobs.shards.ComputeRows`."""

        def write(member: tuple[int, Photo, FeatureMaps]) -> tuple[int, Row]:
            position, photo, maps = member
            png, npz = self.files(shard, shard.images[position])
            self.out.write(png, row_png(photo, [maps], reductions=self.reductions))
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
            windows = ahead(loaded.windows(photos, self.size))
            with closing(windows), ThreadPoolExecutor(2) as pens:
                for window in windows:
                    yield list(pens.map(write, window))

        readers = AddressFiles.readers if any(is_address(image.path) for image in shard.images) else 1
        return rows_of_shard(shard, first, self.read, partial(self.photo, loaded.backbone), process, readers)

    def files(self, shard: Shard, image: ShardImage) -> tuple[str, str]:
        """Names of the PNG and the NPZ file of an image under a shard's backbone."""
        name = f"{image.name}.{file_stem(self.specs[shard.backbone].label)}"
        return f"{name}.png", f"{name}.npz"

    def read(self, image: ShardImage) -> bytes:
        """The bytes of an image; errors as in `photo_bytes`."""
        return photo_bytes(image.path if is_address(image.path) else self.here / image.path)


@dataclass(frozen=True, eq=False)
class _Readable:
    """The images of a job's basis that can be read, one in memory at a time; it can be gone through again."""

    job: MapsJob
    backbone: Backbone

    def __iter__(self) -> Iterator[Photo]:
        for image in self.job.basis:
            with suppress(ImageError):  # its own row says why
                yield self.job.photo(self.backbone, image, self.job.read(image))
