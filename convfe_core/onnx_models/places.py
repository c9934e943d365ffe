"""Where the cells of every tensor of an ONNX graph lie on the picture, followed from one operation to the next.

Dimensions are described as for Keras, see `convfe_core.geometry.layouts`. There is one more kind: the tokens of a
transformer, whose dimension holds the cells of a map row by row, behind some that stand for no place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from convfe_core.base.errors import SpecError
from convfe_core.geometry.axis_changes import Pair
from convfe_core.geometry.cell_geometry import GrowingPath, SpatialPath
from convfe_core.geometry.layouts import NOWHERE, Dimension, Layout, Part, UnknownPlaceError
from convfe_core.onnx_models.opening import OnnxGraph
from convfe_core.onnx_models.operations import OnnxCall, is_whole, layout_behind, pieces_of
from convfe_core.onnx_models.shapes import Shapes, Sides


@dataclass(frozen=True)
class Placed:
    """How a map lies in a tensor.

    Attributes
    ----------
    place : the step of the path that makes it
    rows, columns : the dimensions that are its rows and columns; the same one where it holds tokens
    channels : the dimension of its channels
    before : tokens without a place before those of the cells
    cells : rows and columns of the map
    """

    place: int
    rows: int
    columns: int
    channels: int
    before: int
    cells: Pair[int]


class _Lost:
    """What comes after an operation that moves cells in an unknown way."""


_LOST = _Lost()


class Places:
    """The steps from the picture to the tensors of a graph, at one size of picture.

    Parameters
    ----------
    graph, shapes : the graph, and its tensors for that size
    """

    def __init__(self, graph: OnnxGraph, shapes: Shapes, height: int, width: int) -> None:
        self.graph, self.shapes = graph, shapes
        self._path = GrowingPath(height, width)
        self._size = graph.picture.size
        dimensions: list[Dimension] = [(), (), (), ()]
        first = 2 if graph.picture.channels_first else 1
        dimensions[first] = (Part(-1, 0, height, 1, height),)
        dimensions[first + 1] = (Part(-1, 1, width, 1, width),)
        self._layouts: dict[str, Layout | _Lost] = {graph.picture.name: Layout(tuple(dimensions))}
        self._maker = {name: node for node in graph.nodes for name in node.output}
        for node in graph.nodes:
            for number, name in enumerate(node.output):
                if name:
                    self._layouts[name] = self._after(node, number, name)

    def lost(self, name: str) -> bool:
        """Whether a tensor may have places, which nobody knows."""
        return isinstance(self._layouts.get(name), _Lost)

    def of(self, name: str) -> Placed | None:
        """How the map lies in a tensor that is one; None for all others."""
        layout, shape = self._layouts.get(name), self.shapes.of.get(name)
        if shape is None or not isinstance(layout, Layout) or len(layout.places) != 1:
            return None
        (place,) = layout.places
        pair = self._path.axes(place)
        if min(axis.stride for axis in pair) <= 0:
            return None
        found = {k: one for k, one in enumerate(layout.dimensions) if any(part.axis is not None for part in one)}
        rest = [k for k in range(len(shape)) if k not in found]
        cells = pair[0].cells, pair[1].cells
        if len(shape) == 4 and len(found) == 2 and 0 in rest:
            axes = {layout.axis(k) if is_whole(one) else None: k for k, one in found.items()}
            if set(axes) == {0, 1}:
                return Placed(place, axes[0], axes[1], rest[1], 0, cells)
        before = shape[1] - cells[0] * cells[1] if len(shape) == 3 else -1
        if list(found) == [1] and layout.is_row(1) and before >= 0:
            return Placed(place, 1, 1, 2, before, cells)
        return None

    def path(self, placed: Placed) -> SpatialPath:
        """The way to a map in the steps that lead there."""
        wanted = {placed.place}
        for place in range(placed.place, -1, -1):
            if place in wanted:
                wanted.update(self._path.steps[place].sources)
        order = sorted(place for place in wanted if place >= 0)
        renumbered = {place: number for number, place in enumerate(order)} | {-1: -1}
        steps = (self._path.steps[place] for place in order)
        moved = (replace(step, sources=tuple(renumbered[one] for one in step.sources)) for step in steps)
        return SpatialPath(tuple(moved), size=self._size)

    def strides(self, placed: Placed) -> Pair[float]:
        """Input pixels between the cells of a map, down and across."""
        rows, columns = self._path.axes(placed.place)
        return rows.stride, columns.stride

    def _after(self, node: Any, number: int, name: str) -> Layout | _Lost:
        shape = self.shapes.of.get(name)
        if name not in self.shapes.from_picture or name in self.shapes.values:
            return NOWHERE
        before = [self._layouts.get(source, NOWHERE) for source in node.input if source]
        if shape is None:
            return _LOST
        rolled = self._rolled(node)
        if rolled is not None:
            return rolled
        if any(isinstance(one, _Lost) for one in before):
            return NOWHERE if _is_single(node, shape) else _LOST
        known = [one for one in before if isinstance(one, Layout)]
        if not any(one.placed for one in known):
            return NOWHERE
        shapes = [self.shapes.of[source] for source in node.input if source]
        spread = [one if one.dimensions else Layout(((),) * len(two)) for one, two in zip(known, shapes, strict=True)]
        mark = len(self._path.steps)
        try:
            layout = layout_behind(self._call(node, spread, shapes, shape, number))
            self._check(layout, shape)
        except (UnknownPlaceError, SpecError):
            self._path.shorten(mark)
            return NOWHERE if _is_single(node, shape) else _LOST
        return layout if layout.placed else NOWHERE

    def _rolled(self, node: Any) -> Layout | None:
        """The layout of a tensor that was cut in two whose halves were exchanged, as PyTorch exports a roll."""
        makers = [self._maker.get(name) for name in node.input]
        pieces = [one for one in makers if one is not None and one.op_type == "Slice"]
        if node.op_type != "Concat" or len(pieces) != 2 or len(makers) != 2:
            return None
        source = pieces[0].input[0]
        layout, shape = self._layouts.get(source), self.shapes.of.get(source)
        if not isinstance(layout, Layout) or not layout.placed or shape is None or pieces[1].input[0] != source:
            return None
        axis = _settings(node)["axis"] % len(shape)
        try:
            kept = [pieces_of(self._call(piece, [layout], [shape], shape, 0)) for piece in pieces]
            if any(set(one) != {axis} for one in kept):
                return None
            last, first = (range(shape[axis])[one[axis]] for one in kept)
            halves = last == range(last.start, shape[axis]) and first == range(last.start)
            return layout.rolled(axis, last.start) if halves else None
        except UnknownPlaceError:
            return None

    def _call(self, node: Any, layouts: list[Layout], shapes: list[Sides], shape: Sides, number: int) -> OnnxCall:
        return OnnxCall(node, _settings(node), layouts, shapes, shape, number, self._path, self.shapes)

    def _check(self, layout: Layout, shape: Sides) -> None:
        """Make sure that dimensions are as long as the steps say."""
        if not layout.placed:
            return
        if len(layout.dimensions) != len(shape):
            raise UnknownPlaceError
        for dimension, size in zip(layout.dimensions, shape, strict=True):
            if dimension and math.prod(part.size or 1 for part in dimension) != size:
                raise UnknownPlaceError
            for part in dimension:
                if part.axis in (0, 1) and part.is_whole and self._path.axes(part.place)[part.axis].cells != part.size:
                    raise UnknownPlaceError


def _settings(node: Any) -> dict[str, Any]:
    from onnx import helper

    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def _is_single(node: Any, shape: Sides) -> bool:
    """Whether a tensor is the same for the whole picture, whatever it came from."""
    return len(shape) <= 2 or node.op_type.startswith("Global") or set(shape[1:-1]) == {1} or set(shape[2:]) == {1}
