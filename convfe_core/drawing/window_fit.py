"""How a photograph and its maps fill a window: which backbones share a line, and how wide a panel may be."""

from __future__ import annotations

from dataclasses import replace

from convfe_core.drawing.map_figure import FOOT_HEIGHT, HEAD_HEIGHT
from convfe_core.drawing.map_traces import Look
from convfe_core.drawing.sheet import PANEL_GAP

NARROWEST = 60
"""Pixels across a panel, however many there are."""

LEAST_SHARE = 0.45
"""Of the wished panel width, below which backbones rather stand in more lines."""


def arrange(backbones: int, maps: int, shape: float, room: tuple[float, float]) -> tuple[int, int]:
    """Arrange all maps of one photograph so that they are as large as the room allows.

    Parameters
    ----------
    backbones : how many, at least one
    maps : of each backbone
    shape : height of the photograph, its width being 1
    room : pixels across and down

    Returns
    -------
    how many backbones share a line, and pixels across a panel

    Examples
    --------
    >>> arrange(4, 2, 0.75, (1200, 560))
    (2, 228)
    """

    def panel_width(across: int) -> int:
        lines, columns = -(-backbones // across), 1 + across * maps
        wide = (room[0] + PANEL_GAP) / columns - PANEL_GAP
        tall = room[1] / lines - HEAD_HEIGHT - FOOT_HEIGHT
        return int(max(NARROWEST, min(wide, tall / shape)))

    across = max(range(backbones, 0, -1), key=panel_width)
    return across, panel_width(across)


def share_width(backbones: int, maps: int, wished: int, room: int) -> tuple[int, int]:
    """Arrange all maps of one photograph within a width: in one line if its panels stay large enough.

    Parameters
    ----------
    backbones : how many, at least one
    maps : of each backbone
    wished : pixels across a panel, where there is room
    room : pixels across

    Returns
    -------
    how many backbones share a line, and pixels across a panel

    Examples
    --------
    >>> share_width(3, 3, 180, 952)
    (3, 82)
    >>> share_width(4, 3, 180, 952)
    (2, 124)
    """

    def panel_width(across: int) -> int:
        return min(wished, int((room + PANEL_GAP) / (1 + across * maps) - PANEL_GAP))

    least = max(NARROWEST, LEAST_SHARE * wished)
    most = next((n for n in range(backbones, 1, -1) if panel_width(n) >= least), 1)
    across = -(-backbones // -(-backbones // most))
    return across, max(NARROWEST, panel_width(across))


def fitted(look: Look, backbones: int, room: int) -> Look:
    """A look whose panels share a width; the chosen size of panels is what they have where there is room."""
    across, width = share_width(backbones, len(look.reductions), look.panel_width, room)
    return replace(look, across=across, panel_width=width)
