"""Photographs through a backbone: sized, batched by equal shape, reduced, cut to the cells that lie on them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

import numpy as np

from convfe_core.backbones.backbone import Backbone
from convfe_core.base.background import ahead
from convfe_core.base.errors import SpecError
from convfe_core.base.machine_queue import MACHINE, OnWait, wait_silently
from convfe_core.graph.taps import Tap
from convfe_core.maps.feature_maps import CellGrid, FeatureMaps, FloatArray, Frame
from convfe_core.photos.decoding import PixelArray
from convfe_core.photos.photo import Photo, place_on_canvas, plan_frame

SIZE_NAMES = ("own", "native", "image")
SMALLEST_SIZE, LARGEST_SIZE = 32, 2048
BATCH_MB = 16.0
"""Megabytes that the layers which one batch passes may take; one photograph always may."""
WINDOW_IMAGES, WINDOW_PHOTOS_MB, WINDOW_LAYERS_MB = 32, 12.0, 512.0
"""Most photographs of one window, most megabytes of them, and of the layers that they pass one after the other: a few
windows are decoded, in work or being drawn at once, and progress stands still for one of them."""

Key = TypeVar("Key")
Result = TypeVar("Result")


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
    """Run a backbone over photographs and yield the maps of each, in their order; see `extract_windows`."""
    with closing(extract_windows(backbone, ((None, photo) for photo in photos), size, on_wait)) as windows:
        for window in windows:
            for _, _, maps in window:
                yield maps


def extract_windows(
    backbone: Backbone, photos: Iterable[tuple[Key, Photo]], size: Size, on_wait: OnWait = wait_silently
) -> Generator[list[tuple[Key, Photo, FeatureMaps]], None, None]:
    """Run a backbone over photographs and yield them with their maps, window by window, in their order.

    One pass at a time runs in the whole process: each already uses every core, and two would double the memory.

    Parameters
    ----------
    photos : each with a key that is handed through
    on_wait : called while others' passes run, see `Gate.passing`
    """
    with closing(sized_windows(backbone, photos, size)) as windows:
        for window in windows:
            found: dict[int, tuple[Key, Photo, FeatureMaps]] = {}
            for batch in window:
                with MACHINE.passing(on_wait):
                    maxima, means = backbone.reduce(batch.canvases)
                grid = backbone.grid(*batch.canvases.shape[1:3])
                for one, maximum, mean in zip(batch.members, maxima, means, strict=True):
                    maps = maps_on_photo(one.photo, one.frame, backbone, grid, maximum, mean)
                    found[one.place] = one.key, one.photo, maps
            yield in_order(found)


@dataclass(frozen=True, eq=False)
class Member(Generic[Key]):
    """A photograph of a window: its place there, its key, and where it lies on its canvas."""

    place: int
    key: Key
    photo: Photo
    frame: Frame

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of its canvas."""
        return self.frame.input_height, self.frame.input_width


@dataclass(frozen=True, eq=False)
class Batch(Generic[Key]):
    """Photographs that go through a network together: (N, H, W, 3) uint8 canvases, all of one shape."""

    members: list[Member[Key]]
    canvases: PixelArray


def sized_windows(
    backbone: Described, photos: Iterable[tuple[Key, Photo]], size: Size
) -> Generator[list[Batch[Key]], None, None]:
    """Put photographs into batches, sized as the network receives them, one window ahead of who takes them.

    A window is a number of photographs that follow each other; those whose canvases have the same shape share batches.
    TensorFlow prepares every layer anew for each shape that it has not met, which takes longer than to run it. What is
    in a window depends on nothing before its first photograph: to go on after any window gives the windows that would
    have come.

    Parameters
    ----------
    photos : each with a key that is handed through; they are taken in a thread, so that decoding and sizing overlap
        with the network, and no more than three windows of them are in memory
    """
    return ahead(_in_batches(window, backbone) for window in _windows(backbone, photos, size))


def in_order(found: Mapping[int, Result]) -> list[Result]:
    """What the photographs of a window gave, by their places."""
    return [found[place] for place in sorted(found)]


def _windows(backbone: Described, photos: Iterable[tuple[Key, Photo]], size: Size) -> Iterator[list[Member[Key]]]:
    members: list[Member[Key]] = []
    taken = np.zeros(3)
    limits = np.array([WINDOW_LAYERS_MB * 2**20, WINDOW_PHOTOS_MB * 2**20, WINDOW_IMAGES])
    for key, photo in photos:
        frame = frame_for(photo.height, photo.width, backbone, size)
        needed = np.array([_layer_bytes(frame, backbone), photo.pixels.nbytes, 1])
        if members and (taken + needed > limits).any():
            yield members
            members, taken = [], np.zeros(3)
        members.append(Member(len(members), key, photo, frame))
        taken += needed
    if members:
        yield members


def _in_batches(window: list[Member[Key]], backbone: Described) -> list[Batch[Key]]:
    by_shape: dict[tuple[int, int], list[Member[Key]]] = {}
    for member in window:
        by_shape.setdefault(member.shape, []).append(member)
    batches = []
    for members in by_shape.values():
        most = max(1, int(BATCH_MB * 2**20 // _layer_bytes(members[0].frame, backbone)))
        for start in range(0, len(members), most):
            part = members[start : start + most]
            batches.append(Batch(part, np.stack([place_on_canvas(one.photo, one.frame) for one in part])))
    return batches


def _layer_bytes(frame: Frame, backbone: Described) -> float:
    return frame.input_height * frame.input_width * backbone.activation_bytes


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
