"""One map as a trace of a Plotly figure: its values as a heatmap, or its colours as cells."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convfe_core.base.arrays import FloatArray, PixelArray
from convfe_core.drawing.colour_maps import colour_stops
from convfe_core.drawing.figure_text import escape
from convfe_core.maps.feature_maps import Limits


@dataclass(frozen=True)
class Look:
    """How maps are drawn; nothing here ever needs a backbone to run.

    Attributes
    ----------
    reductions : which maps, of `convfe_core.maps.feature_maps.PICTURES`
    colour_map : a key of `convfe_core.drawing.colour_maps.COLOUR_MAPS` or ``DIFFERENCES``
    scope : what shares a scale, see `convfe_core.drawing.colour_scales`
    smoothed : interpolate between cells instead of showing them
    overlay : opacity of the map over the photograph, 0..1; 1 hides the photograph
    panel_width : pixels across one panel
    across : how many backbones share a line of maps; None for all
    ink : colour of the words, for the ground that the figure will stand on
    """

    reductions: tuple[str, ...] = ("max", "mean")
    colour_map: str = "Viridis"
    scope: str = "map"
    smoothed: bool = False
    overlay: float = 1.0
    panel_width: int = 180
    across: int | None = None
    ink: str = "#1c2b2a"


def heatmap(
    name: str,
    values: FloatArray,
    centres: tuple[NDArray[np.float64], NDArray[np.float64]],
    extent: tuple[int, int],
    axes: tuple[str, str],
    ends: Limits,
    look: Look,
) -> dict[str, Any]:
    """Draw (h, w) values as cells.

    Parameters
    ----------
    centres, extent : of the cells and of the whole photograph in its pixels, down and across
    axes : names of the x and the y axis
    ends : of the colour scale
    """
    return {
        "type": "heatmap",
        "name": name,
        "z": values,
        **_cells_on(axes, centres, extent),
        "zmin": ends[0],
        "zmax": ends[1],
        "colorscale": colour_stops(look.colour_map),
        "showscale": False,
        "zsmooth": "best" if look.smoothed and min(values.shape) > 1 else False,
    }


def colour_cells(
    name: str,
    values: PixelArray,
    centres: tuple[NDArray[np.float64], NDArray[np.float64]],
    extent: tuple[int, int],
    axes: tuple[str, str],
    look: Look,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Draw (h, w, 3) colours as cells; parameters as of `heatmap`.

    Returns
    -------
    the trace, and the pictures that belong to it: Plotly smooths no colours, so that smoothed ones are a picture of a
    pixel a cell below an invisible trace, which browsers enlarge smoothly
    """
    lie = _cells_on(axes, centres, extent)
    trace = {
        "type": "image",
        "name": name,
        "z": values,
        **lie,
        "opacity": 0 if look.smoothed else look.overlay,
        "hovertemplate": (
            f"{escape(name)}<br>red, green, blue %{{z}}: components 1 to 3<br>"
            "pixel x %{x:.0f}, y %{y:.0f}<extra></extra>"
        ),
    }
    if not look.smoothed:
        return trace, []
    height, width, _ = values.shape
    return trace, [
        {
            "source": _uri(values),
            **on_axes(axes),
            "x": lie["x0"] - lie["dx"] / 2,
            "y": lie["y0"] - lie["dy"] / 2,
            "sizex": width * lie["dx"],
            "sizey": height * lie["dy"],
            "sizing": "stretch",
            "layer": "below",
            "opacity": look.overlay,
        }
    ]


def _uri(values: PixelArray) -> str:
    """(h, w, 3) colours as a PNG data URI, a pixel a cell."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _cells_on(
    axes: tuple[str, str], centres: tuple[NDArray[np.float64], NDArray[np.float64]], extent: tuple[int, int]
) -> dict[str, Any]:
    """Where the cells of a trace lie."""
    (y, x), (height, width) = centres, extent
    return {
        "x0": float(x[0]),
        "dx": _step(x, width),
        "y0": float(y[0]),
        "dy": _step(y, height),
        "xaxis": axes[0],
        "yaxis": axes[1],
    }


def on_axes(axes: tuple[str, str]) -> dict[str, str]:
    """What lays a picture or a shape on a pair of axes."""
    return {"xref": axes[0], "yref": axes[1]}


def _step(centres: NDArray[np.float64], extent: int) -> float:
    return float(centres[1] - centres[0]) if len(centres) > 1 else float(extent)
