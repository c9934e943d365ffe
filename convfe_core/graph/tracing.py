"""A Keras model read from the picture on: how each tensor is laid out, and the steps that lead to its cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from convfe_core.base.errors import SpecError
from convfe_core.geometry.axis_changes import Pair
from convfe_core.geometry.cell_geometry import AMPLE, GrowingPath, SpatialPath, Step
from convfe_core.geometry.layouts import NOWHERE, Layout, UnknownPlaceError, map_layout
from convfe_core.graph.layer_call import LayerCall
from convfe_core.graph.layer_places import layout_after
from convfe_core.graph.walk import operation_of, sources_of, tensors_in_order

Lost = str
"""Of what comes after a layer that moves cells in an unknown way: the name of that layer."""


@dataclass(frozen=True)
class MapPlace:
    """How a map stands, (n, h, w, C), or (n, tokens, C) of so many rows and columns.

    Attributes
    ----------
    place : the step of the path that makes it
    turned : its columns come first
    mirrored : of rows and of columns, whether the last one comes first
    row : (h, w) where its cells are the last tokens in a row
    """

    place: int
    turned: bool
    mirrored: Pair[bool]
    row: Pair[int] | None = None

    @property
    def upright(self) -> bool:
        """Whether it stands as the picture does."""
        return not self.turned and not any(self.mirrored)


class Trace:
    """The steps of a path from a model's input to some of its tensors.

    Parameters
    ----------
    model : with one picture for input; others of its tensors are followed as they are asked for
    outputs : followed at once; all of the model's where nothing is said
    """

    def __init__(self, model: Any, outputs: Sequence[Any] | None = None) -> None:
        picture = model.inputs[0]
        height, width = picture.shape[1:3] if len(picture.shape) == 4 else (None, None)
        self._size = None if height is None or width is None else (int(height), int(width))
        self._path = GrowingPath(height or AMPLE, width or AMPLE)
        self._layouts: dict[int, Layout | Lost] = dict.fromkeys(map(id, model.inputs), NOWHERE)
        if len(picture.shape) == 4:
            self._layouts[id(picture)] = map_layout(-1, height, width)
        self._follow(tensors_in_order(model, None if outputs is None else list(outputs)), self._layouts)

    def map_of(self, tensor: Any) -> MapPlace | None:
        """How a tensor stands that is a map with a known place; None for all others."""
        layout = self._layouts[id(tensor)]
        if isinstance(layout, Lost) or len(layout.places) != 1:
            return None
        (place,) = layout.places
        rows, columns = self._path.axes(place)
        mirrored = rows.stride < 0, columns.stride < 0
        if layout.map_axes is not None:
            return MapPlace(place, layout.map_axes == (1, 0), mirrored)
        tokens = tensor.shape[1] if len(tensor.shape) == 3 and layout.is_row(1) else None
        if tokens is None or tokens < rows.cells * columns.cells or not tensor.shape[2]:
            return None
        return MapPlace(place, False, mirrored, (rows.cells, columns.cells))

    def lost(self, tensor: Any) -> Lost | None:
        """The layer that a map's place was lost by, if it was."""
        layout = self._layouts[id(tensor)]
        return layout if isinstance(layout, Lost) else None

    def path(self, tensor: Any) -> SpatialPath:
        """The way to one tensor; its last step has no place where the tensor has none."""
        found = self.map_of(tensor)
        if found is None:
            return SpatialPath((*self._path.steps, Step((-1,), everywhere=True)), size=self._size)
        steps = list(self._path.steps)
        if found.place != len(steps) - 1:
            steps.append(Step((found.place,)))
        return SpatialPath(tuple(steps), size=self._size)

    def strides(self, tensors: Sequence[Any]) -> list[Pair[float]]:
        """Input pixels between the cells of maps, down and across; 0 where a tensor is no map."""
        found = [*SpatialPath(tuple(self._path.steps), size=self._size).step_strides(), (1.0, 1.0)]
        if not self._path.steps:
            found = [(1.0, 1.0)]
        places = [self.map_of(tensor) for tensor in tensors]
        return [(0.0, 0.0) if one is None else (abs(found[one.place][0]), abs(found[one.place][1])) for one in places]

    def _follow(self, tensors: Sequence[Any], layouts: dict[int, Layout | Lost]) -> None:
        import keras

        for tensor in tensors:
            operation, sources = operation_of(tensor), sources_of(tensor)
            before = [layouts[id(source)] for source in sources]
            if isinstance(operation, keras.Model):
                inside = dict(zip(map(id, operation.inputs), before, strict=True))
                wanted = operation.outputs[tensor._keras_history.tensor_index]
                self._follow(tensors_in_order(operation, [wanted]), inside)
                layouts[id(tensor)] = inside[id(wanted)]
            else:
                layouts[id(tensor)] = self._after(operation, tensor, sources, before)

    def _after(self, operation: Any, tensor: Any, sources: list[Any], before: list[Layout | Lost]) -> Layout | Lost:
        lost = next((one for one in before if isinstance(one, Lost)), None)
        if lost is not None:
            return NOWHERE if _is_single_cell(operation, tensor) else lost
        known = [one for one in before if isinstance(one, Layout)]
        if not any(one.placed for one in known):
            return NOWHERE
        mark = len(self._path.steps)
        try:
            layout = layout_after(
                LayerCall(operation, tensor, [tuple(source.shape) for source in sources], known, self._path)
            )
            self._check_size(layout, tensor)
        except (UnknownPlaceError, SpecError):
            self._path.shorten(mark)
            return NOWHERE if _is_single_cell(operation, tensor) else str(operation.name)
        return layout if layout.placed else NOWHERE

    def _check_size(self, layout: Layout, tensor: Any) -> None:
        """Make sure that a map has as many cells as the steps say, where its size is known."""
        if layout.map_axes is None or self._size is None:
            return
        for place in layout.places:
            cells = [self._path.axes(place)[axis].cells for axis in layout.map_axes]
            if any(size not in (None, count) for size, count in zip(tensor.shape[1:3], cells, strict=True)):
                raise UnknownPlaceError


def _is_single_cell(operation: Any, tensor: Any) -> bool:
    """Whether a tensor is the same for the whole picture, whatever it came from."""
    shape = tuple(tensor.shape)
    return len(shape) <= 2 or type(operation).__name__.startswith("Global") or set(shape[1:-1]) == {1}


def trace_path(model: Any, tensor: Any) -> SpatialPath:
    """Read the way from a model's input to one of its tensors into steps that need no Keras."""
    return Trace(model, [tensor]).path(tensor)
