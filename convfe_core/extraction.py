"""Photographs through a backbone: sized, batched by equal shape, reduced, cut to the cells that lie on them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import numpy as np

from convfe_core.ahead import ahead
from convfe_core.backbones import Backbone
from convfe_core.errors import SpecError
from convfe_core.gate import MACHINE, OnWait, wait_silently
from convfe_core.images import Photo, place_on_canvas, plan_frame
from convfe_core.maps import CellGrid, FeatureMaps, FloatArray, Frame
from convfe_core.pixels import PixelArray
from convfe_core.taps import Tap

SIZE_NAMES = ("own", "native", "image")
SMALLEST_SIZE, LARGEST_SIZE = 32, 2048
BATCH_MB = 32.0
"""Megabytes that the layers which one batch passes may take; one photograph always may."""
BATCH_IMAGES = 32
"""Most photographs of one batch: more gain nothing, and progress would stand still for long."""
PHOTOS_MB = 8.0
"""Megabytes that the photographs of one batch may take: a few batches are decoded, in work or being drawn at once."""

Key = TypeVar("Key")


class Described(Protocol):
    """What sizing photographs and naming maps needs to know of a backbone."""

    @property
    def label(self) -> str:
        """How it is called."""

    @property
    def weights(self) -> str:
        """Where its weights come from."""

    @property
    def tap(self) -> Tap:
        """The layer that is looked at."""

    @property
    def working_size(self) -> int:
        """Longest side it does best at."""

    @property
    def native_size(self) -> int:
        """Longest side it was trained at."""

    @property
    def fixed(self) -> tuple[int, int] | None:
        """(height, width) of its input where it takes no other."""

    @property
    def activation_bytes(self) -> float:
        """Memory that a forward pass holds at once, for each pixel of its input."""


@dataclass(frozen=True)
class Size:
    """How large a photograph enters a network.

    Attributes
    ----------
    name : ``own`` (the backbone's working size), ``native`` (the size it was trained at), ``image`` (the photograph's
        own, capped) or the longest side in pixels as text
    """

    name: str

    def longest_side(self, backbone: Described) -> int | None:
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


def frame_for(height: int, width: int, backbone: Described, size: Size) -> Frame:
    """Where a photograph of `height` x `width` pixels lies on this backbone's input at this size."""
    multiple = max(32, int(backbone.tap.stride))
    return plan_frame(height, width, size.longest_side(backbone), multiple, fixed=backbone.fixed)


def extract_maps(
    backbone: Backbone, photos: Iterable[Photo], size: Size, on_wait: OnWait = wait_silently
) -> Iterator[FeatureMaps]:
    """Run a backbone over photographs and yield the maps of each, in their order; see `extract_batches`."""
    with closing(extract_batches(backbone, ((None, photo) for photo in photos), size, on_wait)) as batches:
        for batch in batches:
            for _, _, maps in batch:
                yield maps


def extract_batches(
    backbone: Backbone, photos: Iterable[tuple[Key, Photo]], size: Size, on_wait: OnWait = wait_silently
) -> Generator[list[tuple[Key, Photo, FeatureMaps]], None, None]:
    """Run a backbone over photographs and yield them with their maps, batch by batch, in their order.

    One pass at a time runs in the whole process: each already uses every core, and two would double the memory.

    Parameters
    ----------
    photos : each with a key that is handed through
    on_wait : called while others' passes run, see `Gate.passing`
    """
    with closing(sized_batches(backbone, photos, size)) as batches:
        for batch in batches:
            with MACHINE.passing(on_wait):
                maxima, means = backbone.reduce(batch.canvases)
            grid = backbone.grid(*batch.canvases.shape[1:3])
            yield [
                (key, photo, maps_on_photo(photo, frame, backbone, grid, maximum, mean))
                for (key, photo, frame), maximum, mean in zip(batch.members, maxima, means, strict=True)
            ]


@dataclass(frozen=True, eq=False)
class Batch(Generic[Key]):
    """Photographs that go through a network together: (N, H, W, 3) uint8 canvases, all of one shape."""

    members: list[tuple[Key, Photo, Frame]]
    canvases: PixelArray


def sized_batches(
    backbone: Described, photos: Iterable[tuple[Key, Photo]], size: Size
) -> Generator[Batch[Key], None, None]:
    """Put photographs into batches, sized as the network receives them, one batch ahead of who takes them.

    Neighbours whose canvases have the same shape share a batch, as many as `BATCH_MB`, `PHOTOS_MB` and
    `BATCH_IMAGES` allow. Which ones do depends on nothing before the first of them: to go on after any batch gives the
    batches that would have come.

    Parameters
    ----------
    photos : each with a key that is handed through; they are taken in a thread, so that decoding and sizing overlap
        with the network, and no more than three batches of them are in memory
    """
    return ahead(_sized_batches(backbone, photos, size))


def _sized_batches(backbone: Described, photos: Iterable[tuple[Key, Photo]], size: Size) -> Iterator[Batch[Key]]:
    members: list[tuple[Key, Photo, Frame]] = []
    taken, limits = np.zeros(3), np.array([BATCH_MB * 2**20, PHOTOS_MB * 2**20, BATCH_IMAGES])
    for key, photo in photos:
        frame = frame_for(photo.height, photo.width, backbone, size)
        needed = np.array([_pixels(frame) * backbone.activation_bytes, photo.pixels.nbytes, 1])
        if members and ((taken + needed > limits).any() or not _same_shape(members[0][2], frame)):
            yield _place(members)
            members, taken = [], np.zeros(3)
        members.append((key, photo, frame))
        taken += needed
    if members:
        yield _place(members)


def _place(members: list[tuple[Key, Photo, Frame]]) -> Batch[Key]:
    return Batch(members, np.stack([place_on_canvas(photo, frame) for _, photo, frame in members]))


def _pixels(frame: Frame) -> int:
    return frame.input_height * frame.input_width


def _same_shape(one: Frame, other: Frame) -> bool:
    return (one.input_height, one.input_width) == (other.input_height, other.input_width)


def maps_on_photo(
    photo: Photo, frame: Frame, backbone: Described, grid: CellGrid, maximum: FloatArray, mean: FloatArray
) -> FeatureMaps:
    """Keep the cells whose centre lies on the photograph; a map has at least one."""
    kept = cells_on_photo(frame, grid)
    return FeatureMaps(
        image=photo.name,
        digest=photo.digest,
        label=backbone.label,
        weights=backbone.weights,
        tap=backbone.tap.layer + (" before its cap" if backbone.tap.uncapped else ""),
        max=maximum[: kept.rows, : kept.columns].copy(),
        mean=mean[: kept.rows, : kept.columns].copy(),
        frame=frame,
        grid=kept,
    )


def cells_on_photo(frame: Frame, grid: CellGrid) -> CellGrid:
    """Cut a grid to the cells whose centre lies on the photograph; at least one stays."""
    return replace(
        grid,
        rows=_cells_before(frame.content_height, grid.offset_y, grid.stride_y, grid.rows),
        columns=_cells_before(frame.content_width, grid.offset_x, grid.stride_x, grid.columns),
    )


def _cells_before(edge: int, offset: float, stride: float, cells: int) -> int:
    return int(np.clip(np.ceil((edge - offset) / stride), 1, cells))
