"""Many small maps of one photograph as one figure: the channels at a place, or other ways to collapse them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.base.arrays import FloatArray
from convfe_core.drawing.colour_maps import colour_stops
from convfe_core.drawing.figure_text import escape
from convfe_core.drawing.map_figure import Look, base_layout
from convfe_core.maps.feature_maps import value_range
from convfe_core.photos.photo import Photo

GAP, HEAD = 12, 20
"""Pixels between tiles, and above each for its title."""


@dataclass(frozen=True, eq=False)
class Tile:
    """One map: (h, w) values with their cells' centres in image pixels."""

    title: str
    values: FloatArray
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
    }
    data = []
    for index, one in enumerate(tiles):
        line, column = divmod(index, columns)
        left, top = column * (tile + GAP) / total[0], 1 - (line * (height + GAP + HEAD) + HEAD) / total[1]
        names = _add_axes(layout, index, photo, (left, left + tile / total[0]), (top - height / total[1], top))
        data.append(_heatmap(one, look, *names))
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
    hidden = {"showgrid": False, "zeroline": False, "showticklabels": False, "ticks": "", "constrain": "domain"}
    shared = {} if index == 0 else {"matches": "x"}, {} if index == 0 else {"matches": "y"}
    layout[f"xaxis{number}"] = {
        **hidden,
        **shared[0],
        "domain": [x[0], min(x[1], 1.0)],
        "range": [0, photo.width],
        "anchor": f"y{number}",
    }
    layout[f"yaxis{number}"] = {
        **hidden,
        **shared[1],
        "domain": [max(y[0], 0.0), y[1]],
        "range": [photo.height, 0],
        "anchor": f"x{number}",
    }
    return f"x{number}", f"y{number}"


def _heatmap(tile: Tile, look: Look, x_axis: str, y_axis: str) -> dict[str, Any]:
    low, high = value_range([tile.values])
    return {
        "type": "heatmap",
        "name": tile.title,
        "z": tile.values,
        "x": tile.centres_x,
        "y": tile.centres_y,
        "zmin": low,
        "zmax": high,
        "colorscale": colour_stops(look.colour_map),
        "zsmooth": "best" if look.smoothed and min(tile.values.shape) > 1 else False,
        "showscale": False,
        "hovertemplate": f"<b>%{{z:.4g}}</b><br>pixel x %{{x:.0f}}, y %{{y:.0f}}<extra>{escape(tile.title)}</extra>",
        "xaxis": x_axis,
        "yaxis": y_axis,
    }
