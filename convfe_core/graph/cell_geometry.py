"""Where the cells of a feature map lie on a network's input, worked out from kernels, strides and paddings.

Nothing here knows Keras: `convfe_core.graph.tracing` reads a model into these steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from convfe_core.base.errors import SpecError

_T = TypeVar("_T")
Pair = tuple[_T, _T]
"""One value for rows, one for columns."""


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


@dataclass(frozen=True)
class Step:
    """One operation of a network.

    Attributes
    ----------
    sources : the steps whose outputs it takes, by position; ``-1`` is the network's input
    change : what it does to rows and to columns, None for nothing; or to both together
    everywhere : its output has no place in the picture (a global pooling and what follows it)
    """

    sources: tuple[int, ...]
    change: Pair[Change | None] | Resized | None = None
    everywhere: bool = False

    def apply(self, axes: Sequence[Pair[Axis] | None]) -> Pair[Axis] | None:
        """Rows and columns of what comes out, None where it has no place.

        Parameters
        ----------
        axes : of the sources

        Raises
        ------
        SpecError : no cell is left, or the sources do not fit together
        """
        placed = [pair for pair in axes if pair is not None]
        if self.everywhere or not placed:
            return None
        rows, columns = (_meet([pair[which] for pair in placed]) for which in (0, 1))
        if isinstance(self.change, Resized):
            rows, columns = self.change.apply((rows, columns))
        elif self.change is not None:
            rows, columns = (
                one if change is None else change.apply(one)
                for one, change in zip((rows, columns), self.change, strict=True)
            )
        return rows, columns


@dataclass(frozen=True)
class SpatialPath:
    """The way from a network's input to one of its feature maps, in steps; the last one makes the map.

    Attributes
    ----------
    steps : in the order they are computed
    shift : pixels that training moved what the cells look at, down and across; see `centred`
    size : (height, width) of the input of a network that takes no other
    """

    steps: tuple[Step, ...]
    shift: Pair[float] = (0.0, 0.0)
    size: Pair[int] | None = None

    def centred(self, height: int, width: int) -> SpatialPath:
        """The same path as training leaves it: its cells centred on an input of this size.

        By kernels and paddings alone, the first cell of MobileNet looks at pixel 31.5 and the last one past the edge.
        Training on mirrored images moves what the cells look at towards the middle. Measured: the map of a mirrored
        photograph is the mirrored map if the first cell lies at pixel 19 to 20 of 32 (MobileNet-0.25, MobileNetV2-0.35)
        or 9 to 10 of 16 (the built-in ones). The middle would be 16 and 8. With untrained weights the cells lie where
        the kernels put them. Networks whose windows fill their native size exactly, as Inception, need no shift.

        A network that cuts off or pads one side more, such as the sky of a driving scene, is not shifted: its cells
        stay where their kernels look. Paddings that belong to the window after them, as ``((0, 1), (0, 1))`` before a
        stride of 2, do not count as such.

        Parameters
        ----------
        height, width : in pixels, what the network was trained at
        """
        straight = replace(self, shift=(0.0, 0.0))
        if any(axis.settled().one_sided for axis in straight._last(height, width)):
            return straight
        grid = straight.grid(height, width)
        return replace(
            self,
            shift=(
                (height - (grid.rows - 1) * grid.stride_y) / 2 - grid.offset_y,
                (width - (grid.columns - 1) * grid.stride_x) / 2 - grid.offset_x,
            ),
        )

    def grid(self, input_height: int, input_width: int) -> CellGrid:
        """Where the cells lie on an input of this size, in pixels.

        Where branches meet that are padded differently, as in some residual blocks, centres are averaged.

        Raises
        ------
        SpecError : no cell fits, or branches come out at different sizes
        """
        rows, columns = self._last(input_height, input_width)
        down, across = rows.offset + self.shift[0], columns.offset + self.shift[1]
        return CellGrid(rows.cells, columns.cells, rows.stride, columns.stride, down, across)

    @property
    def placed(self) -> bool:
        """Whether the map has a place in the picture at all."""
        return self._axes(*self._usual)[-1] is not None

    @property
    def strides(self) -> Pair[float]:
        """Input pixels between cells, down and across, at the size that the network is made for."""
        pair = self._axes(*self._usual)[-1]
        return (0.0, 0.0) if pair is None else (pair[0].stride, pair[1].stride)

    @property
    def receptive_field(self) -> Pair[float]:
        """Input pixels that one cell sees, down and across; global branches (squeeze-and-excite) left out."""
        pair = self._axes(*self._usual)[-1]
        return (0.0, 0.0) if pair is None else (pair[0].reach, pair[1].reach)

    def step_strides(self) -> list[Pair[float]]:
        """Input pixels between cells, down and across, after every step; 0 where a map has no place in the picture."""
        pairs = self._axes(*self._usual)
        return [(0.0, 0.0) if pair is None else (pair[0].stride, pair[1].stride) for pair in pairs]

    @property
    def _usual(self) -> Pair[int]:
        """The size of input that strides are told for: its own, that of its first resizing, or an ample one."""
        if self.size is not None:
            return self.size
        for size in (*self._sizes_asked_for(), (AMPLE, AMPLE), *_ORDINARY):
            try:
                self._axes(*size)
            except SpecError:
                continue
            return size
        return AMPLE, AMPLE

    def _sizes_asked_for(self) -> list[Pair[int]]:
        """The size of input that leaves the first resizing nothing to do."""
        for number, step in enumerate(self.steps):
            if isinstance(step.change, Resized):
                axes = SpatialPath((*self.steps[:number], Step(step.sources)))._last(AMPLE, AMPLE)
                wanted = step.change.rows, step.change.columns
                down, across = (
                    round(AMPLE + (cells - axis.cells) * abs(axis.stride))
                    for cells, axis in zip(wanted, axes, strict=True)
                )
                return [(down, across)] if min(down, across) > 0 else []
        return []

    def _last(self, height: int, width: int) -> Pair[Axis]:
        pair = self._axes(height, width)[-1]
        if pair is None:
            raise SpecError("Expected a layer whose output has a place in the picture. Received a global one.")
        return pair

    def _axes(self, height: int, width: int) -> list[Pair[Axis] | None]:
        """Rows and columns after every step; those of the input where there is none."""
        start = start_axes(height, width)
        axes: list[Pair[Axis] | None] = []
        for step in self.steps:
            pair = step.apply([start if source < 0 else axes[source] for source in step.sources])
            for axis, pixels in zip(pair or (), (height, width), strict=False):
                if axis.cells < 1:
                    raise SpecError(f"Expected a larger image. Received a side of {pixels} pixels: no cell fits.")
            axes.append(pair)
        return axes or [start]


def start_axes(height: int, width: int) -> Pair[Axis]:
    """Rows and columns of an input."""
    return Axis(height, 1.0, 0.5, 1.0), Axis(width, 1.0, 0.5, 1.0)


AMPLE = 1 << 14
"""A side, in pixels, for models that take any, which every network halves evenly."""
_ORDINARY = ((320, 320), (512, 512), (224, 224), (64, 64))
"""Sizes for networks that an ample one does not fit."""


def _meet(branches: list[Axis]) -> Axis:
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


@dataclass(frozen=True)
class CellGrid:
    """The cells of a feature map on a network's input.

    Coordinates are continuous: input pixel ``i`` covers ``[i, i + 1)``. The centre of cell ``(row, column)`` is
    ``(offset_y + row * stride_y, offset_x + column * stride_x)``.
    """

    rows: int
    columns: int
    stride_y: float
    stride_x: float
    offset_y: float
    offset_x: float
