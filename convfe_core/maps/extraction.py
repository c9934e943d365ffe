"""Photographs through a backbone: sized, batched by equal shape, reduced, cut to the cells that lie on them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from convfe_core.backbones.backbone import Backbone
from convfe_core.backbones.described import Described
from convfe_core.base.arrays import FloatArray, PixelArray
from convfe_core.base.background import ahead
from convfe_core.base.errors import ImageError, ModelFileError, SpecError
from convfe_core.geometry.cell_geometry import CellGrid
from convfe_core.machine.machine_queue import MACHINE, OnWait, wait_silently
from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.maps.input_size import Size, frame_for
from convfe_core.photos.letterbox import Frame, place_on_canvas
from convfe_core.photos.photo import Photo

BATCH_MB = 16.0
"""Megabytes that the layers which one batch passes may take; one photograph always may."""
WINDOW_IMAGES, WINDOW_PHOTOS_MB, WINDOW_LAYERS_MB = 32, 12.0, 512.0
"""A window ends before it exceeds any of these: its photographs, their megabytes, and the megabytes of the layers that
they pass. About three windows are in memory at once, and progress is reported once a window."""

Key = TypeVar("Key")
Result = TypeVar("Result")


def require_cells(backbone: Described, photo: Photo, size: Size) -> None:
    """Refuse a photograph of which a backbone makes no map at this size: too small for its unpadded layers, mostly.

    Raises
    ------
    ImageError : with the photograph's name
    """
    frame = frame_for(photo.height, photo.width, backbone, size)
    try:
        backbone.grid(frame.input_height, frame.input_width)
    except (SpecError, ModelFileError) as error:
        why = str(error.__cause__ or error).rstrip(".")
        raise ImageError(
            f"{photo.name}: expected an image that {backbone.label} makes a map of, got one that enters it at "
            f"{frame.input_width} x {frame.input_height} pixels; choose a larger size or an earlier layer ({why})."
        ) from error


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
    """Run a backbone over photographs and yield their keys, themselves and their maps; see `run_windows`."""

    def keep(one: Member[Key], found: Projected) -> tuple[Key, Photo, FeatureMaps]:
        return one.key, one.photo, found.maps

    return project_windows(backbone, photos, size, backbone.no_directions, keep, on_wait)


def project_windows(
    backbone: Backbone,
    photos: Iterable[tuple[Key, Photo]],
    size: Size,
    directions: FloatArray,
    keep: Callable[[Member[Key], Projected], Result],
    on_wait: OnWait = wait_silently,
) -> Generator[list[Result], None, None]:
    """Run a backbone over photographs and yield what is kept of their maps and of their cells' components.

    Parameters
    ----------
    directions : (C, k) float32; with the identity, (C, C), components are the features themselves. Then `keep` should
        reduce them: it is called batch by batch, so that no more whole features are in memory
    others : as in `run_windows`
    """
    return run_windows(
        backbone,
        photos,
        size,
        lambda batch: backbone.run(batch.canvases, directions),
        lambda one, values: keep(one, project_on_photo(one, backbone, *values)),
        on_wait,
    )


def run_windows(
    network: Described,
    photos: Iterable[tuple[Key, Photo]],
    size: Size,
    run: Callable[[Batch[Key]], list[NDArray[Any]]],
    keep: Callable[[Member[Key], list[NDArray[Any]]], Result],
    on_wait: OnWait = wait_silently,
    *,
    early: bool = False,
) -> Generator[list[Result], None, None]:
    """Run photographs through a network and yield what is kept of each, window by window, in their order.

    Every pass over photographs goes through here. One at a time runs in the whole process: each already uses every
    core, and two would double the memory.

    Parameters
    ----------
    photos : each with a key that is handed through
    run : runs a batch; returns arrays whose first axis is that of the batch
    keep : takes a photograph with its part of these arrays
    on_wait : called while others' passes run, see `Gate.passing`
    early : run the next batch, in a thread, while `keep` is at work; not for who holds `MACHINE`
    """

    def passes(windows: Iterable[list[Batch[Key]]]) -> Generator[_Passed[Key], None, None]:
        for window in windows:
            for batch in window:
                with MACHINE.passing(on_wait):
                    results = run(batch)
                yield _Passed(batch, results, batch is window[-1])

    with closing(sized_windows(network, photos, size)) as windows:
        kept: dict[int, Result] = {}
        with closing(ahead(passes(windows)) if early else passes(windows)) as passed:
            for one_pass in passed:
                for number, one in enumerate(one_pass.batch.members):
                    kept[one.place] = keep(one, [values[number] for values in one_pass.results])
                if one_pass.ends_window:
                    yield [kept[place] for place in sorted(kept)]
                    kept = {}


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


@dataclass(frozen=True, eq=False)
class _Passed(Generic[Key]):
    """A batch that was run: arrays whose first axis is that of the batch, and whether it is its window's last."""

    batch: Batch[Key]
    results: list[NDArray[Any]]
    ends_window: bool


def sized_windows(
    backbone: Described, photos: Iterable[tuple[Key, Photo]], size: Size
) -> Generator[list[Batch[Key]], None, None]:
    """Put photographs into batches, sized as the network receives them, one window ahead of the caller.

    A window is a run of consecutive photographs. Within it, those whose canvases have the same shape share batches:
    where TensorFlow runs a network, it prepares every layer anew for each shape, which takes longer than to run it.
    Where a window ends depends on its own photographs alone, so that a run which resumes after any window gets the same
    windows as before.

    Parameters
    ----------
    photos : each with a key that is handed through; they are taken in a thread, so that decoding and sizing overlap
        with the network, and no more than three windows of them are in memory
    """
    return ahead(_in_batches(window, backbone) for window in _windows(backbone, photos, size))


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


@dataclass(frozen=True, eq=False)
class Projected:
    """The maps of one photograph, and its features along some directions.

    Attributes
    ----------
    components : (h, w, k) float32, of the same cells as the maps; a view of its batch
    """

    maps: FeatureMaps
    components: FloatArray


def project_on_photo(
    one: Member[Key], network: Described, maximum: FloatArray, mean: FloatArray, projection: FloatArray
) -> Projected:
    """Keep the cells whose centre lies on a photograph, of its part of what `FrozenNetwork.run` returns."""
    maps = maps_on_photo(one.photo, one.frame, network, maximum, mean)
    return Projected(maps, projection[: maps.grid.rows, : maps.grid.columns])


def maps_on_photo(photo: Photo, frame: Frame, network: Described, maximum: FloatArray, mean: FloatArray) -> FeatureMaps:
    """Keep the cells whose centre lies on the photograph; a map has at least one."""
    grid = cells_on_photo(frame, network)
    return FeatureMaps(
        image=photo.name,
        digest=photo.digest,
        label=network.label,
        weights=network.weights,
        tap=network.tap.layer + (" before its cap" if network.tap.uncapped else ""),
        max=maximum[: grid.rows, : grid.columns].copy(),
        mean=mean[: grid.rows, : grid.columns].copy(),
        frame=frame,
        grid=grid,
        notes=network.notes,
    )


def cells_on_photo(frame: Frame, network: Described) -> CellGrid:
    """The cells of a network's map whose centre lies on the photograph; at least one."""
    grid = network.grid(frame.input_height, frame.input_width)
    return replace(
        grid,
        rows=_cells_before(frame.content_height, grid.offset_y, grid.stride_y, grid.rows),
        columns=_cells_before(frame.content_width, grid.offset_x, grid.stride_x, grid.columns),
    )


def _cells_before(edge: int, offset: float, stride: float, cells: int) -> int:
    return int(np.clip(np.ceil((edge - offset) / stride), 1, cells))
