"""Where the cells of a feature map lie on a network's input, worked out from kernels, strides and paddings.

Nothing here knows Keras: `convfe_core.graph.taps` reads a model into these steps.
"""

from __future__ import annotations

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
        else:
            cells = (axis.cells - self.size) // self.step + 1
            before = 0
        return Axis(
            cells=cells,
            stride=axis.stride * self.step,
            offset=axis.offset + ((self.size - 1) / 2 - before) * axis.stride,
            reach=axis.reach + (self.size - 1) * axis.stride,
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
        )


@dataclass(frozen=True)
class Finer:
    """Every cell becomes several along one axis: upsampling, or a transposed convolution.

    Attributes
    ----------
    factor : outputs per input
    size : outputs that one input spreads over
    padding : ``valid`` keeps what spills over the ends, ``same`` cuts to n * factor outputs
    """

    factor: int
    size: int
    padding: Literal["valid", "same"]

    def apply(self, axis: Axis) -> Axis:
        """Split the cells of an axis."""
        spill = max(self.size - self.factor, 0)
        before = spill // 2 if self.padding == "same" else 0
        stride = axis.stride / self.factor
        return Axis(
            cells=axis.cells * self.factor + (0 if self.padding == "same" else spill),
            stride=stride,
            offset=axis.offset + (before - (self.size - 1) / 2) * stride,
            reach=axis.reach,
        )


Change = Window | Margin | Finer


@dataclass(frozen=True)
class Axis:
    """Cells along one axis, in input pixels.

    Attributes
    ----------
    cells : how many
    stride : from one centre to the next
    offset : centre of the first; input pixel ``i`` covers ``[i, i + 1)``
    reach : pixels that one cell sees (its receptive field)
    """

    cells: int
    stride: float
    offset: float
    reach: float


@dataclass(frozen=True)
class Step:
    """One operation of a network.

    Attributes
    ----------
    sources : the steps whose outputs it takes, by position; ``-1`` is the network's input
    change : what it does to rows and to columns, None if nothing
    everywhere : its output has no place in the picture (a global pooling and what follows it)
    """

    sources: tuple[int, ...]
    change: Pair[Change] | None = None
    everywhere: bool = False


@dataclass(frozen=True)
class SpatialPath:
    """The way from a network's input to one of its feature maps, in steps; the last one makes the map.

    Attributes
    ----------
    steps : in the order they are computed
    shift : pixels that training moved what the cells look at, down and across; see `centred`
    """

    steps: tuple[Step, ...]
    shift: Pair[float] = (0.0, 0.0)

    def centred(self, side: int) -> SpatialPath:
        """The same path as training leaves it: its cells centred on a square input of `side` pixels.

        By kernels and paddings alone, the first cell of MobileNet looks at pixel 31.5 and the last one past the edge.
        Training with mirrored images evens that out, because its kernels need not be symmetric: maps of mirrored
        photographs are mirror images of each other about a first cell at pixel 19 to 20 of 32 (MobileNet-0.25,
        MobileNetV2-0.35), 9 to 10 of 16 (the built-in ones), where the middle would be 16 and 8; with untrained weights
        they are so about the kernels' own centre. Networks that fit their native size without a rest, such as
        Inception, are centred as they are.

        Parameters
        ----------
        side : in pixels, what the network was trained at
        """
        grid = replace(self, shift=(0.0, 0.0)).grid(side, side)
        return replace(
            self,
            shift=(
                (side - (grid.rows - 1) * grid.stride_y) / 2 - grid.offset_y,
                (side - (grid.columns - 1) * grid.stride_x) / 2 - grid.offset_x,
            ),
        )

    def grid(self, input_height: int, input_width: int) -> CellGrid:
        """Where the cells lie on an input of this size, in pixels.

        Where branches meet that are padded differently, as in some residual blocks, centres are averaged.

        Raises
        ------
        SpecError : no cell fits, or branches come out at different sizes
        """
        rows, columns = self._axis(input_height, 0), self._axis(input_width, 1)
        if rows is None or columns is None:
            raise SpecError("Expected a layer whose output has a place in the picture. Received a global one.")
        down, across = rows.offset + self.shift[0], columns.offset + self.shift[1]
        return CellGrid(rows.cells, columns.cells, rows.stride, columns.stride, down, across)

    @property
    def placed(self) -> bool:
        """Whether the map has a place in the picture at all."""
        return self._axis(None, 0) is not None

    @property
    def strides(self) -> Pair[float]:
        """Input pixels between cells, down and across."""
        rows, columns = self._axis(None, 0), self._axis(None, 1)
        return (0.0 if rows is None else rows.stride, 0.0 if columns is None else columns.stride)

    @property
    def receptive_field(self) -> Pair[float]:
        """Input pixels that one cell sees, down and across; global branches (squeeze-and-excite) left out."""
        rows, columns = self._axis(None, 0), self._axis(None, 1)
        return (0.0 if rows is None else rows.reach, 0.0 if columns is None else columns.reach)

    def step_strides(self) -> list[float]:
        """Input pixels between cells, down, after every step; 0 where a map has no place in the picture."""
        return [0.0 if axis is None else axis.stride for axis in self._axes(None, 0)]

    def _axis(self, pixels: int | None, which: int) -> Axis | None:
        """Cells of the last step along one axis; without a size, of an input large enough for anything."""
        return self._axes(pixels, which)[-1]

    def _axes(self, pixels: int | None, which: int) -> list[Axis | None]:
        start = Axis(cells=_AMPLE if pixels is None else pixels, stride=1.0, offset=0.5, reach=1.0)
        axes: list[Axis | None] = []
        for step in self.steps:
            sources = [start if source < 0 else axes[source] for source in step.sources]
            axis = None if step.everywhere else _meet([source for source in sources if source is not None])
            if axis is not None and step.change is not None:
                axis = step.change[which].apply(axis)
                if axis.cells < 1:
                    raise SpecError(f"Expected a larger image. Received a side of {pixels} pixels: no cell fits.")
            axes.append(axis)
        return axes or [start]


_AMPLE = 1 << 14
"""A side, in pixels, that every network halves evenly."""


def _meet(branches: list[Axis]) -> Axis | None:
    """Join branches; a branch of a single cell is spread over the others."""
    cells = max((branch.cells for branch in branches), default=0)
    branches = [branch for branch in branches if branch.cells != 1] if cells > 1 else branches
    if not branches:
        return None
    if any(branch.cells != cells for branch in branches):
        raise SpecError("Expected sides that are multiples of 32 for this network: its branches do not meet otherwise.")
    return Axis(
        cells=cells,
        stride=branches[0].stride,
        offset=sum(branch.offset for branch in branches) / len(branches),
        reach=max(branch.reach for branch in branches),
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
