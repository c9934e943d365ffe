"""Cells along the rows or the columns of a map, and what the layers of a network do to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from convfe_core.base.errors import SpecError

_T = TypeVar("_T")
Pair = tuple[_T, _T]
"""One value for rows, one for columns."""


@dataclass(frozen=True)
class Axis:
    """Cells along one axis, in input pixels.

    Attributes
    ----------
    cells : how many
    stride : from one centre to the next; negative where the last cell comes first
    offset : centre of the first; input pixel ``i`` covers ``[i, i + 1)``
    reach : pixels that one cell sees (its receptive field)
    margin : cells added before and after that no window has taken yet
    one_sided : whether more was added or cut off on one side than on the other, beyond what a window takes for itself
    """

    cells: int
    stride: float
    offset: float
    reach: float
    margin: Pair[int] = (0, 0)
    one_sided: bool = False

    def settled(self, within: int = 0) -> Axis:
        """The axis with its margins judged.

        Parameters
        ----------
        within : cells that the window which comes now takes at once; a margin of fewer is that window's own padding
        """
        before, after = self.margin
        own = before + after >= 0 and max(abs(before), abs(after)) < within
        return replace(self, margin=(0, 0), one_sided=self.one_sided or (before != after and not own))

    def middle(self, cells: int) -> Axis:
        """So many cells of the middle, one less left out in front where the rest is odd."""
        return replace(self, cells=cells, offset=self.offset + (self.cells - cells) // 2 * self.stride)


def start_axes(height: int, width: int) -> Pair[Axis]:
    """Rows and columns of an input."""
    return Axis(height, 1.0, 0.5, 1.0), Axis(width, 1.0, 0.5, 1.0)


@dataclass(frozen=True)
class Window:
    """A sliding window along one axis: convolution or pooling.

    Attributes
    ----------
    size : inputs from the window's first to its last, dilation included
    step : inputs between two windows
    padding : ``valid`` for none, ``same`` for ceil(n / step) outputs
    """

    size: int
    step: int
    padding: Literal["valid", "same"]

    def apply(self, axis: Axis) -> Axis:
        """Windows that lie on an axis of cells."""
        if self.padding == "same":
            cells = -(-axis.cells // self.step)
            before = max((cells - 1) * self.step + self.size - axis.cells, 0) // 2
            axis = axis.settled()
        else:
            cells = (axis.cells - self.size) // self.step + 1
            before = 0
            axis = axis.settled(within=max(self.size, self.step))
        return replace(
            axis,
            cells=cells,
            stride=axis.stride * self.step,
            offset=axis.offset + ((self.size - 1) / 2 - before) * axis.stride,
            reach=axis.reach + (self.size - 1) * abs(axis.stride),
        )


@dataclass(frozen=True)
class Margin:
    """Cells added before and after along one axis; negative where they are cut off."""

    before: int
    after: int

    def apply(self, axis: Axis) -> Axis:
        """Widen an axis of cells."""
        return replace(
            axis,
            cells=axis.cells + self.before + self.after,
            offset=axis.offset - self.before * axis.stride,
            margin=(axis.margin[0] + self.before, axis.margin[1] + self.after),
        )


@dataclass(frozen=True)
class Cut:
    """Some of the cells along one axis, as Python's slices take them: ``x[start:stop:step]``."""

    start: int | None
    stop: int | None
    step: int | None = None

    def apply(self, axis: Axis) -> Axis:
        """Keep the cells of the slice; a negative step turns the axis around."""
        kept = range(axis.cells)[self.start : self.stop : self.step]
        if not kept:
            return replace(axis, cells=0)
        first, last = sorted((kept[0], kept[-1]))
        rest = axis.cells - 1 - last
        after = rest if rest >= abs(kept.step) else 0  # fewer fall out of the last step, as under a strided window
        return replace(
            axis,
            cells=len(kept),
            stride=axis.stride * kept.step,
            offset=axis.offset + kept[0] * axis.stride,
            margin=(axis.margin[0] - first, axis.margin[1] - after),
        )


@dataclass(frozen=True)
class Finer:
    """Every cell becomes several along one axis: upsampling, or a transposed convolution.

    Attributes
    ----------
    factor : outputs per input
    size : outputs that one input spreads over
    padding : ``valid`` keeps what spills over the ends, ``same`` cuts to n * factor outputs
    extra : outputs at the end beyond those of whole kernels, Keras' ``output_padding``; None for what `padding` says
    """

    factor: int
    size: int
    padding: Literal["valid", "same"]
    extra: int | None = None

    def apply(self, axis: Axis) -> Axis:
        """Split the cells of an axis."""
        axis = axis.settled()
        whole = (axis.cells - 1) * self.factor + self.size
        cells = self._cells(axis.cells, whole)
        before = max(whole - cells, 0) // 2 if self.padding == "same" else 0
        stride = axis.stride / self.factor
        return replace(axis, cells=cells, stride=stride, offset=axis.offset + (before - (self.size - 1) / 2) * stride)

    def _cells(self, cells: int, whole: int) -> int:
        if self.extra is None:
            return cells * self.factor + (0 if self.padding == "same" else max(self.size - self.factor, 0))
        return whole + self.extra if self.padding == "valid" else (cells - 1) * self.factor + self.size % 2 + self.extra


Change = Window | Margin | Cut | Finer


@dataclass(frozen=True)
class Resized:
    """A map interpolated, averaged or cut to so many rows and columns.

    Attributes
    ----------
    fit : ``stretch`` as it is, ``crop`` after its middle was cut out in the new aspect ratio, ``pad`` after it was
        given margins to the new aspect ratio; ``middle`` for the middle of so many cells, of a smaller map as ``crop``
    """

    rows: int
    columns: int
    fit: Literal["stretch", "crop", "pad", "middle"] = "stretch"

    def apply(self, axes: Pair[Axis]) -> Pair[Axis]:
        """Spread new cells evenly over the old ones, as half-pixel centres do, or keep those of the middle."""
        wanted = self.rows, self.columns
        if self.fit == "middle" and all(axis.cells >= cells for axis, cells in zip(axes, wanted, strict=True)):
            return tuple(  # type: ignore[return-value]
                axis.settled().middle(cells) for axis, cells in zip(axes, wanted, strict=True)
            )
        # TensorFlow works these out in whole cells, the smaller half of the rest first.
        alike = axes[1].cells * self.rows // self.columns, axes[0].cells * self.columns // self.rows
        return tuple(  # type: ignore[return-value]
            _stretched(self._fitted(axis, other), cells) for axis, other, cells in zip(axes, alike, wanted, strict=True)
        )

    def _fitted(self, axis: Axis, alike: int) -> Axis:
        axis = axis.settled()
        if self.fit == "stretch":
            return axis
        if self.fit == "pad":
            start = (max(axis.cells, alike) - axis.cells) // 2
            return replace(axis, cells=axis.cells + 2 * start, offset=axis.offset - start * axis.stride)
        return axis.middle(max(min(axis.cells, alike), 1))

    @property
    def turned(self) -> Resized:
        """The same for a map whose columns come first."""
        return replace(self, rows=self.columns, columns=self.rows)


def _stretched(axis: Axis, cells: int) -> Axis:
    """So many cells spread evenly over an axis."""
    stride = axis.stride * axis.cells / cells
    return replace(
        axis,
        cells=cells,
        stride=stride,
        offset=axis.offset + (stride - axis.stride) / 2,
        reach=axis.reach + max(abs(stride) - abs(axis.stride), 0.0),
    )


def meet_branches(branches: list[Axis]) -> Axis:
    """Join branches; a branch of a single cell is spread over the others."""
    cells = max(branch.cells for branch in branches)
    branches = [branch for branch in branches if branch.cells != 1] if cells > 1 else branches
    first = branches[0]
    if len(set(branches)) == 1:
        return first
    if any(branch.cells != cells for branch in branches):
        raise SpecError("Expected sides that are multiples of 32 for this network: its branches do not meet otherwise.")
    if any(_apart(first, branch) for branch in branches):
        raise SpecError("Expected branches that see the same places. Received: branches that are mirrored or moved.")
    settled = [branch.settled() for branch in branches]
    same_stride = len({branch.stride for branch in branches}) == 1
    return Axis(
        cells=cells,
        stride=first.stride if same_stride else sum(branch.stride for branch in branches) / len(branches),
        offset=sum(branch.offset for branch in branches) / len(branches),
        reach=max(branch.reach for branch in branches),
        one_sided=any(branch.one_sided for branch in settled),
    )


def _apart(one: Axis, other: Axis) -> bool:
    """Whether the first or the last cells of two branches have no pixel in common, nor lie within one stride."""
    if one.stride * other.stride < 0:
        return True
    last = one.cells - 1
    moved = abs(one.offset - other.offset), abs(one.offset + last * one.stride - other.offset - last * other.stride)
    return max(moved) > max((one.reach + other.reach) / 2, abs(one.stride), abs(other.stride))
