"""Where the cells of a feature map lie on a network's input, worked out from kernels, strides and paddings.

Nothing here knows Keras: `convfe_core.graph.tracing` reads a model into these steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from convfe_core.base.errors import SpecError
from convfe_core.geometry.axis_changes import Axis, Change, Pair, Resized, meet_branches, start_axes
from convfe_core.geometry.layouts import UnknownPlaceError

AMPLE = 1 << 14
"""A side, in pixels, for models that take any, which every network halves evenly."""
_ORDINARY = ((320, 320), (512, 512), (224, 224), (64, 64))
"""Sizes for networks that an ample one does not fit."""


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
        rows, columns = (meet_branches([pair[which] for pair in placed]) for which in (0, 1))
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


class GrowingPath:
    """The steps of a network that is just being read, with the cells that each makes of one size of picture.

    Attributes
    ----------
    steps : so far
    """

    def __init__(self, height: int, width: int) -> None:
        self.steps: list[Step] = []
        self._start = start_axes(height, width)
        self._axes: list[Pair[Axis]] = []

    def add(self, step: Step) -> int:
        """Add a step and return its place.

        Raises
        ------
        UnknownPlaceError : it leaves no cell, or one without a place
        SpecError : what it takes does not fit together
        """
        pair = step.apply([self.axes(source) for source in step.sources])
        if pair is None or min(axis.cells for axis in pair) < 1:
            raise UnknownPlaceError
        self.steps.append(step)
        self._axes.append(pair)
        return len(self.steps) - 1

    def axes(self, place: int) -> Pair[Axis]:
        """Rows and columns of what a step makes; of the picture for -1."""
        return self._start if place < 0 else self._axes[place]

    def enlarges(self, place: int) -> bool:
        """Whether a step makes more cells of those that it takes."""
        if place < 0:
            return False
        before = [self.axes(source) for source in self.steps[place].sources]
        return all(axis.cells > taken[number].cells for taken in before for number, axis in enumerate(self.axes(place)))

    def shorten(self, length: int) -> None:
        """Keep so many steps, as an operation that began with others turned out to be unknown."""
        del self.steps[length:], self._axes[length:]
