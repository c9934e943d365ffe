"""Where the panels of one figure lie, in pixels."""

from __future__ import annotations

from dataclasses import dataclass

PANEL_GAP = 14
"""Pixels between two panels."""


@dataclass(frozen=True)
class Place:
    """Where a panel lies on the figure, in pixels from its left and its bottom."""

    left: float
    right: float
    bottom: float
    top: float

    @property
    def centre(self) -> float:
        """Horizontal middle."""
        return (self.left + self.right) / 2


@dataclass(frozen=True)
class Sheet:
    """The panels of one figure: the photograph in the corner, the maps beside it in lines.

    Attributes
    ----------
    columns : panels across, the photograph's column included
    lines : lines of maps
    panels : number of maps; they may leave the end of the last line free
    panel_width, panel_height : pixels
    head : pixels above a line of panels, for names and what is said of cells
    foot : pixels below it, for the scale and the facts
    """

    columns: int
    lines: int
    panels: int
    panel_width: float
    panel_height: float
    head: int
    foot: int

    @property
    def width(self) -> float:
        """Pixels across the figure."""
        return self.columns * (self.panel_width + PANEL_GAP) - PANEL_GAP

    @property
    def height(self) -> float:
        """Pixels down the figure."""
        return self.lines * self._line_height

    @property
    def _line_height(self) -> float:
        return self.head + self.panel_height + self.foot

    def axes(self, index: int) -> tuple[str, str]:
        """Names of the axes of panel `index`, in pixels of the photograph: x its own, y that of its line."""
        return f"x{index + 2}", f"y{self.line(index) + 2}"

    def line(self, index: int) -> int:
        """Line of panel `index`: 0 is the photograph, the maps follow line by line."""
        return (index - 1) // (self.columns - 1) if index else 0

    def place(self, index: int) -> Place:
        """Place panel `index`."""
        column = 1 + (index - 1) % (self.columns - 1) if index else 0
        left = column * (self.panel_width + PANEL_GAP)
        top = self.height - self.head - self.line(index) * self._line_height
        return Place(left, left + self.panel_width, top - self.panel_height, top)
