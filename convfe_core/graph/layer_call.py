"""One call of a layer: where the cells of its inputs lie, and what is left of them when dimensions change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from convfe_core.geometry.axis_changes import Change, Cut, Margin, Pair, Resized
from convfe_core.geometry.cell_geometry import GrowingPath, Step
from convfe_core.geometry.layouts import Layout, UnknownPlaceError, lined_up


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer.

    Attributes
    ----------
    operation : the layer
    tensor : of what it gave
    shapes : of its inputs
    sources : their layouts
    path : the steps so far
    """

    operation: Any
    tensor: Any
    shapes: Sequence[tuple[int | None, ...]]
    sources: Sequence[Layout]
    path: GrowingPath

    @property
    def rank(self) -> int:
        """How many dimensions its output has."""
        return len(self.tensor.shape)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Of its output."""
        return tuple(self.tensor.shape)

    @property
    def inputs(self) -> list[Layout]:
        """Of its inputs; of one that has no place the dimensions are there nevertheless."""
        return [
            one if one.dimensions else Layout(((),) * len(shape))
            for one, shape in zip(self.sources, self.shapes, strict=True)
        ]

    @property
    def first(self) -> Layout:
        """Of its first input, see `inputs`."""
        return self.inputs[0]

    def dimension(self, number: int, rank: int | None = None) -> int:
        """A dimension counted from the front."""
        return number % (len(self.shapes[0]) if rank is None else rank)

    def meet(self, layouts: Sequence[Layout]) -> Layout:
        """What is computed number by number from tensors laid out like this."""
        found = lined_up(layouts, self.rank)
        placed = [one for one in layouts if one.placed]
        if len({one.dimensions[-self.rank :] for one in placed}) <= 1:
            return found
        if any(len(one.places) != 1 for one in placed):
            raise UnknownPlaceError
        places = dict.fromkeys(place for one in placed for place in one.places)
        return found if len(places) == 1 else found.at(self.path.add(Step(tuple(places))))

    def changed(self, changes: dict[int, Change]) -> Layout:
        """What is left of the first input when some of its dimensions change."""
        layout = self.first
        pair: list[Change | None] = [None, None]
        for dimension, change in changes.items():
            if layout.is_row(dimension):
                layout = self._row_changed(layout, dimension, change)
                continue
            axis = layout.axis(dimension)
            if axis is not None:
                pair[axis] = change
        if pair == [None, None]:
            return layout
        return replace(self, sources=[layout, *self.sources[1:]]).stepped((pair[0], pair[1]))

    def _row_changed(self, layout: Layout, dimension: int, change: Change) -> Layout:
        """Tokens that stand for no place come before all cells of a map, or go."""
        size = self.shapes[0][dimension]
        if size is None:
            raise UnknownPlaceError
        if isinstance(change, Margin) and change.before >= 0 == change.after:
            return layout.with_tokens_before(dimension, size + change.before)
        if isinstance(change, Margin) and change.after == 0:
            change = Cut(-change.before, None)
        if not isinstance(change, Cut):
            raise UnknownPlaceError
        kept = range(size)[change.start : change.stop : change.step]
        if kept == range(size):
            return layout
        cells = (axis.cells for axis in self.path.axes(layout.dimensions[dimension][0].place))
        return layout.with_tokens_before(dimension, size).tokens_kept(dimension, kept, *cells)

    def stepped(self, change: Pair[Change | None] | Resized) -> Layout:
        """The first input's dimensions, counting the cells of a new step."""
        layout = self.first
        if len(layout.places) != 1:
            raise UnknownPlaceError
        for dimension in range(len(layout.dimensions)):
            layout.axis(dimension)  # each must be a whole one to be counted anew
        return layout.at(self.path.add(Step(tuple(layout.places), change)), self.shape)


Rule = Callable[[LayerCall], Layout]
"""How the output of a kind of layer is laid out, with the steps on the path that lead to its cells."""
