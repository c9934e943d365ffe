"""How values become colours on all rows of a page, told apart from the values: other colours send no map again."""

from __future__ import annotations

from dataclasses import replace

from convfe_core.drawing.colour_maps import colour_table
from convfe_core.drawing.map_traces import Look
from pages.charts.components import component, hidden_place
from pages.charts.packing import packed_array

KEY = "colouring"


def show_colouring(look: Look) -> None:
    """Have the browser colour, smooth and lay over their photographs all rows of `show_row` as a look says."""
    data = {"table": packed_array(colour_table(look.colour_map)), "smoothed": look.smoothed, "opacity": look.overlay}
    with hidden_place(f"{KEY}-place"):
        component("colouring")(key=KEY, data=data)


def uncoloured(look: Look) -> Look:
    """The same look without what `show_colouring` tells, so that a figure is the same whatever that is."""
    return replace(look, colour_map=Look.colour_map, smoothed=False, overlay=1.0)
