"""Many small maps of one photograph as one figure: the channels at a place, or other ways to collapse them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.drawing.figure_text import escape
from convfe_core.drawing.map_figure import base_layout
from convfe_core.drawing.map_traces import Look, colour_cells, heatmap
from convfe_core.maps.feature_maps import value_range
from convfe_core.photos.photo import Photo

GAP, HEAD = 12, 20
"""Pixels between tiles, and above each for its title."""


@dataclass(frozen=True, eq=False)
class Tile:
    """One map: (h, w) values, or (h, w, 3) uint8 colours, with their cells' centres in image pixels."""

    title: str
    values: NDArray[Any]
    centres_y: NDArray[np.float64]
    centres_x: NDArray[np.float64]


def tile_figure(photo: Photo, tiles: Sequence[Tile], look: Look, columns: int = 6) -> dict[str, Any]:
    """Draw tiles in lines, each on its own scale, as a Plotly figure of plain data; all zoom together."""
    tile = look.panel_width
    height = tile * photo.height / photo.width
    lines = -(-len(tiles) // columns)
    across = min(columns, max(1, len(tiles)))
    total = across * (tile + GAP) - GAP, lines * (height + GAP + HEAD)
    layout: dict[str, Any] = {
        **base_layout(*total, look.ink),
        "plot_bgcolor": "rgba(128,128,128,0.15)",
        "annotations": [],
        "images": [],
    }
    data = []
    for index, one in enumerate(tiles):
        line, column = divmod(index, columns)
        left, top = column * (tile + GAP) / total[0], 1 - (line * (height + GAP + HEAD) + HEAD) / total[1]
        names = _add_axes(layout, index, photo, (left, left + tile / total[0]), (top - height / total[1], top))
        trace, pictures = _cells(photo, one, look, names)
        data.append(trace)
        layout["images"] += pictures
        layout["annotations"].append(
            {
                "text": escape(one.title),
                "x": left,
                "y": top,
                "xref": "paper",
                "yref": "paper",
                "xanchor": "left",
                "yanchor": "bottom",
                "showarrow": False,
                "font": {"size": 12},
            }
        )
    return {"data": data, "layout": layout}


def _add_axes(
    layout: dict[str, Any], index: int, photo: Photo, x: tuple[float, float], y: tuple[float, float]
) -> tuple[str, str]:
    number = "" if index == 0 else str(index + 1)
    for name, other, domain, ends in (("x", "y", x, [0, photo.width]), ("y", "x", y, [photo.height, 0])):
        layout[f"{name}axis{number}"] = {
            **{"showgrid": False, "zeroline": False, "showticklabels": False, "ticks": "", "constrain": "domain"},
            **({"matches": name} if index else {}),
            "domain": [max(domain[0], 0.0), min(domain[1], 1.0)],
            "range": ends,
            "anchor": f"{other}{number}",
        }
    return f"x{number}", f"y{number}"


def _cells(photo: Photo, tile: Tile, look: Look, axes: tuple[str, str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    centres, extent = (tile.centres_y, tile.centres_x), (photo.height, photo.width)
    if tile.values.ndim == 3:
        return colour_cells(tile.title, tile.values, centres, extent, axes, look)
    hover = f"<b>%{{z:.4g}}</b><br>pixel x %{{x:.0f}}, y %{{y:.0f}}<extra>{escape(tile.title)}</extra>"
    trace = heatmap(tile.title, tile.values, centres, extent, axes, value_range([tile.values]), look)
    return {**trace, "hovertemplate": hover}, []
