"""Photographs through a backbone: sized, batched by equal shape, reduced, cut to the cells that lie on them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from convfe_core.backbones.backbone import Backbone
from convfe_core.base.arrays import FloatArray, PixelArray
from convfe_core.base.background import ahead
from convfe_core.base.machine_queue import MACHINE, OnWait, wait_silently
from convfe_core.graph.cell_geometry import CellGrid
from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.maps.input_size import Described, Size, frame_for
from convfe_core.photos.letterbox import Frame, place_on_canvas
from convfe_core.photos.photo import Photo

BATCH_MB = 16.0
"""Megabytes that the layers which one batch passes may take; one photograph always may."""
WINDOW_IMAGES, WINDOW_PHOTOS_MB, WINDOW_LAYERS_MB = 32, 12.0, 512.0
"""Most photographs of one window, most megabytes of them, and of the layers that they pass one after the other: a few
windows are decoded, in work or being drawn at once, and progress stands still for one of them."""

Key = TypeVar("Key")
Result = TypeVar("Result")


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
        notes=backbone.notes,
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
