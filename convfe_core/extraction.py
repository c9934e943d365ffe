"""Photographs through a backbone: sized, batched by equal shape, reduced, cut to the cells that lie on them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from convfe_core.backbones import Backbone
from convfe_core.errors import SpecError
from convfe_core.images import Photo, place_on_canvas, plan_frame
from convfe_core.maps import CellGrid, FeatureMaps, FloatArray, Frame

SIZE_NAMES = ("own", "native", "image")
SMALLEST_SIZE, LARGEST_SIZE = 32, 2048
BATCH_MEGAPIXELS = 1.0
"""Input pixels in one batch: 8 photographs at 320 x 320, one at 1024 x 1024."""

_running = threading.Lock()
"""One forward pass at a time: each already uses every core, and two would double the memory."""


@dataclass(frozen=True)
class Size:
    """How large a photograph enters a network.

    Attributes
    ----------
    name : ``own`` (the backbone's working size), ``native`` (the size it was trained at), ``image`` (the photograph's
        own, capped) or the longest side in pixels as text
    """

    name: str

    def longest_side(self, backbone: Backbone) -> int | None:
        """Longest side in input pixels, or None for the photograph's own."""
        named = {"own": backbone.working_size, "native": backbone.native_size, "image": None}
        return named[self.name] if self.name in named else int(self.name)


def parse_size(text: str) -> Size:
    """``own``, ``native``, ``image`` or a number of pixels.

    Raises
    ------
    SpecError : anything else
    """
    name = text.strip().lower()
    if name in SIZE_NAMES or (name.isdecimal() and SMALLEST_SIZE <= int(name) <= LARGEST_SIZE):
        return Size(name)
    raise SpecError(
        f"Expected a size: own, native, image or pixels from {SMALLEST_SIZE} to {LARGEST_SIZE}. Received: {text!r}."
    )


def frame_for(photo: Photo, backbone: Backbone, size: Size) -> Frame:
    """Where this photograph lies on this backbone's input at this size."""
    return plan_frame(
        photo.height,
        photo.width,
        size.longest_side(backbone),
        multiple=max(32, int(backbone.tap.stride)),
        fixed=backbone.fixed,
    )


def extract_maps(backbone: Backbone, photos: Iterable[Photo], size: Size) -> Iterator[FeatureMaps]:
    """Run a backbone over photographs and yield the maps of each, in their order.

    Neighbours whose canvases have the same shape share a forward pass, as many as `BATCH_MEGAPIXELS` allows.
    """
    batch: list[tuple[Photo, Frame]] = []
    for photo in photos:
        frame = frame_for(photo, backbone, size)
        if batch and not _fits(batch, frame):
            yield from _run(backbone, batch)
            batch = []
        batch.append((photo, frame))
    if batch:
        yield from _run(backbone, batch)


def _fits(batch: Sequence[tuple[Photo, Frame]], frame: Frame) -> bool:
    first = batch[0][1]
    pixels = frame.input_height * frame.input_width
    same_shape = (first.input_height, first.input_width) == (frame.input_height, frame.input_width)
    return same_shape and (len(batch) + 1) * pixels <= BATCH_MEGAPIXELS * 1e6


def _run(backbone: Backbone, batch: Sequence[tuple[Photo, Frame]]) -> Iterator[FeatureMaps]:
    canvases = np.stack([place_on_canvas(photo, frame) for photo, frame in batch])
    with _running:
        maxima, means = backbone.reduce(canvases)
    grid = backbone.grid(*canvases.shape[1:3])
    for (photo, frame), maximum, mean in zip(batch, maxima, means, strict=True):
        yield _on_photo(photo, frame, backbone, grid, maximum, mean)


def _on_photo(
    photo: Photo, frame: Frame, backbone: Backbone, grid: CellGrid, maximum: FloatArray, mean: FloatArray
) -> FeatureMaps:
    """Keep the cells whose centre lies on the photograph; a map has at least one."""
    rows = _cells_before(frame.content_height, grid.offset_y, grid.stride_y, grid.rows)
    columns = _cells_before(frame.content_width, grid.offset_x, grid.stride_x, grid.columns)
    return FeatureMaps(
        image=photo.name,
        digest=photo.digest,
        label=backbone.label,
        weights=backbone.weights,
        tap=backbone.tap.layer + (" before its cap" if backbone.tap.uncapped else ""),
        max=maximum[:rows, :columns].copy(),
        mean=mean[:rows, :columns].copy(),
        frame=frame,
        grid=replace(grid, rows=rows, columns=columns),
    )


def _cells_before(edge: int, offset: float, stride: float, cells: int) -> int:
    return int(np.clip(np.ceil((edge - offset) / stride), 1, cells))
