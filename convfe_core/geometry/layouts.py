"""What each dimension of a tensor runs along: the picture's rows, its columns, both one after the other, or neither.

Sizes alone do not tell: of a square picture, a map and its transpose have the same shape. So each dimension is a row of
parts, the slowest first. A reshape regroups them, a permutation moves them, and a map has its rows and its columns back
where all of their parts stand together again, as behind the windows of a transformer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Shape = Sequence[int | None]

Along = Literal[0, 1, 2]
"""Rows, columns, or a row of tokens: those that stand for no place, and behind them all cells, row by row."""
TOKENS: Along = 2


class UnknownPlaceError(Exception):
    """What a layer does to places is not known."""


@dataclass(frozen=True)
class Part:
    """Digits of a dimension's index: ``index = ... + step * digit``, as with hours and minutes.

    Attributes
    ----------
    place : the step of the path whose cells they count, see `cell_geometry`; of no map's for other parts
    axis : 0 for rows, 1 for columns, `TOKENS`, None for what has no place, such as channels
    size : how many values the digit has, None where any
    step : cells from one value to the next
    whole : cells along the whole axis
    turn : the cell that comes first where they go round, as behind the shifted windows of Swin (arXiv 2103.14030)
    """

    place: int
    axis: Along | None
    size: int | None
    step: int
    whole: int | None
    turn: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether it counts all cells of its axis, one by one, from the first to the last."""
        return self.step == 1 and self.size == self.whole and self.turn == 0


Dimension = tuple[Part, ...]
"""Parts, the slowest first; empty for one that has no place, such as channels."""


@dataclass(frozen=True)
class Layout:
    """The dimensions of a tensor."""

    dimensions: tuple[Dimension, ...]

    @property
    def placed(self) -> bool:
        """Whether any of them runs along the picture."""
        return any(map(_has_place, self.dimensions))

    @property
    def places(self) -> set[int]:
        """The steps whose cells its dimensions count."""
        return {part.place for dimension in self.dimensions for part in dimension if part.axis is not None}

    def axis(self, dimension: int) -> Along | None:
        """The axis that a dimension is, None where it has no place.

        Raises
        ------
        UnknownPlaceError : it is only a piece of one, or several at once
        """
        parts = self.dimensions[dimension]
        if not _has_place(parts):
            return None
        if len(parts) != 1 or not parts[0].is_whole:
            raise UnknownPlaceError
        return parts[0].axis

    @property
    def map_axes(self) -> tuple[int, int] | None:
        """The axes of the second and third dimension of a map (n, ., ., C); None where it is none."""
        try:
            found = [self.axis(k) for k in range(len(self.dimensions))]
        except UnknownPlaceError:
            return None
        if len(found) == 4 and found[0] is found[3] is None and {found[1], found[2]} == {0, 1}:
            return (0, 1) if found[1] == 0 else (1, 0)
        return None

    def is_row(self, dimension: int) -> bool:
        """Whether a dimension holds all cells of a map row by row, behind tokens or alone."""
        parts = self.dimensions[dimension]
        return all(part.is_whole for part in parts) and [part.axis for part in parts] in ([0, 1], [TOKENS])

    def with_tokens_before(self, dimension: int, size: int | None) -> Layout:
        """Tokens that stand for no place put before all cells of a map.

        Parameters
        ----------
        size : of the dimension with them

        Raises
        ------
        UnknownPlaceError : it does not hold all cells of a map row by row
        """
        if not self.is_row(dimension) or size is None:
            raise UnknownPlaceError
        return self._with(dimension, (Part(self.dimensions[dimension][0].place, TOKENS, size, 1, size),))

    def tokens_kept(self, dimension: int, kept: range, rows: int, columns: int) -> Layout:
        """What is left of a row of tokens when some of them go, which stand for no place.

        Parameters
        ----------
        kept : which ones stay
        rows, columns : of the map

        Raises
        ------
        UnknownPlaceError : cells go as well
        """
        (part,) = self.dimensions[dimension]
        before = (part.size or 0) - rows * columns
        if kept.stop <= before:
            return self.placeless([dimension])
        if kept.step != 1 or kept.stop != part.size or kept.start > before:
            raise UnknownPlaceError
        if kept.start < before:
            return self._with(dimension, (replace(part, size=len(kept), whole=len(kept)),))
        cells = replace(part, axis=0, size=rows, whole=rows), replace(part, axis=1, size=columns, whole=columns)
        return self._with(dimension, cells)

    def rolled(self, dimension: int, first: int) -> Layout:
        """The same where a dimension goes round.

        Parameters
        ----------
        first : the index that comes first now

        Raises
        ------
        UnknownPlaceError : it does not run along one axis, whose length is known
        """
        parts = self.dimensions[dimension]
        if not _has_place(parts):
            return self
        (part, *more) = parts
        if more or part.size is None or part.size != part.whole or part.axis == TOKENS:
            raise UnknownPlaceError
        return self._with(dimension, (replace(part, turn=(part.turn + first) % part.size),))

    def _with(self, dimension: int, parts: Dimension) -> Layout:
        return Layout((*self.dimensions[:dimension], parts, *self.dimensions[dimension + 1 :]))

    def permuted(self, order: Sequence[int]) -> Layout:
        """Its dimensions in another order."""
        return Layout(tuple(self.dimensions[k] for k in order))

    def without(self, gone: Sequence[int]) -> Layout:
        """All dimensions but these."""
        return Layout(tuple(one for k, one in enumerate(self.dimensions) if k not in gone))

    def placeless(self, mixed: Sequence[int]) -> Layout:
        """The same where some dimensions hold sums over all cells, or single ones."""
        return Layout(tuple(() if k in mixed else one for k, one in enumerate(self.dimensions)))

    def with_new(self, position: int) -> Layout:
        """One more dimension, without a place."""
        return Layout((*self.dimensions[:position], (), *self.dimensions[position:]))

    def at(self, place: int, sizes: Shape | None = None) -> Layout:
        """The same dimensions counting the cells of another step.

        Parameters
        ----------
        sizes : of the dimensions, where they changed; each must then be a whole axis
        """

        def moved(part: Part, size: int | None) -> Part:
            if part.axis is None:
                return part
            return replace(part, place=place) if sizes is None else Part(place, part.axis, size, 1, size)

        sides = sizes or [None] * len(self.dimensions)
        return Layout(
            tuple(tuple(moved(part, size) for part in one) for one, size in zip(self.dimensions, sides, strict=True))
        )

    def reshaped(self, old: Shape, new: Shape) -> Layout:
        """Its parts regrouped to other dimensions, in the same order.

        Parameters
        ----------
        old, new : the shapes before and after; both may have a first dimension of any size

        Raises
        ------
        UnknownPlaceError : a dimension that cannot be taken apart like that
        """
        parts = [part for one, size in zip(self.dimensions, old, strict=True) for part in one or (_other(size),)]
        made: list[Dimension] = []
        for size in reversed(new):
            made.insert(0, _take(parts, size, len(new) - len(made)))
        return Layout(tuple(one if _has_place(one) else () for one in made))


NOWHERE = Layout(())
"""Of a tensor that is the same for the whole picture, such as what follows a global pooling."""


def map_layout(place: int, height: int | None, width: int | None) -> Layout:
    """Of a map (n, h, w, C)."""
    rows, columns = Part(place, 0, height, 1, height), Part(place, 1, width, 1, width)
    return Layout(((), (rows,), (columns,), ()))


def lined_up(layouts: Sequence[Layout], rank: int) -> Layout:
    """The dimensions of what is computed number by number from several tensors, lined up by their last dimensions.

    Where only some tensors have a place along a dimension, the others are spread over it.

    Raises
    ------
    UnknownPlaceError : dimensions that run along different axes
    """
    dimensions = []
    for k in range(-rank, 0):
        found = [one.dimensions[k] for one in layouts if len(one.dimensions) >= -k and one.dimensions[k]]
        if len({tuple(replace(part, place=0) for part in dimension) for dimension in found}) > 1:
            raise UnknownPlaceError
        dimensions.append(found[0] if found else ())
    return Layout(tuple(dimensions))


def _has_place(dimension: Dimension) -> bool:
    return any(part.axis is not None for part in dimension)


def _other(size: int | None) -> Part:
    return Part(-1, None, size, 1, size)


def _take(parts: list[Part], size: int | None, dimensions: int) -> Dimension:
    """Take the last parts off a row of them, as many as make a dimension of this size.

    Parameters
    ----------
    dimensions : how many are still to be made, with this one; the first one takes what is left
    """
    taken: list[Part] = []
    if dimensions == 1:
        taken, parts[:] = [part for part in parts if part.size != 1], []
    elif size is None:
        if len(parts) != dimensions and dimensions != 2:
            raise UnknownPlaceError
        kept = dimensions - 1
        taken, parts[:] = parts[kept:], parts[:kept]
    elif size == 1:
        taken = [parts.pop()] if parts and parts[-1].size == 1 else []
    else:
        taken = _of_size(parts, size)
    return _put_together(taken)


def _of_size(parts: list[Part], size: int) -> list[Part]:
    """Take parts off the end until they have this many values, the last one split where it has more."""
    taken: list[Part] = []
    while size > 1:
        part = parts.pop() if parts else None
        if part is None or part.size is None:
            raise UnknownPlaceError
        if part.size == 1 and part.axis is None:  # says nothing, and would set equal dimensions apart
            continue
        if size % part.size == 0:
            taken.insert(0, part)
            size //= part.size
        elif part.size % size == 0:
            parts.append(replace(part, size=part.size // size, step=part.step * size))
            taken.insert(0, replace(part, size=size))
            size = 1
        else:
            raise UnknownPlaceError
    return taken


def _put_together(parts: list[Part]) -> Dimension:
    """Join neighbours that count on where the other one ends."""
    joined: list[Part] = []
    for part in parts:
        before = joined[-1] if joined else None
        if (
            before is not None
            and part.size is not None
            and before.size is not None
            and (before.place, before.axis, before.whole, before.turn) == (part.place, part.axis, part.whole, part.turn)
            and before.step == part.step * part.size
        ):
            joined[-1] = replace(part, size=before.size * part.size)
        else:
            joined.append(part)
    return tuple(joined)
