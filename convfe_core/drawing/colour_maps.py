"""Colour maps: which there are, and from a map's values to pixels."""

from __future__ import annotations

import base64
import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from plotly.colors import get_colorscale, sample_colorscale

from convfe_core.base.arrays import PixelArray

COLOUR_MAPS = {
    "Viridis": "Viridis",
    "Cividis": "Cividis",
    "Inferno": "Inferno",
    "Magma": "Magma",
    "Plasma": "Plasma",
    "Greys": "gray",
    "Turbo": "Turbo",
}
"""What a user chooses, and Plotly's name for it.

The perceptually uniform ones come first, Cividis made for eyes without colour vision. Plotly's own ``Greys``
runs from white to black; ``gray`` runs as the others do, bright for high. Turbo is not uniform.
"""

DIFFERENCES = {"Blue-red": "RdBu_r"}
"""For signed values on a scale that is even about zero: pale in the middle, where nothing changed."""

NO_VALUE = (158, 158, 158)
"""The colour of a cell whose value is not finite."""

BOX_COLOUR = "#22d3ee"
"""The colour of boxes around objects, which no colour map comes near."""


_PLOTLY_NAMES = COLOUR_MAPS | DIFFERENCES


@lru_cache(maxsize=len(_PLOTLY_NAMES))
def colour_table(name: str) -> PixelArray:
    """Sample a colour map.

    Parameters
    ----------
    name : a key of `COLOUR_MAPS` or `DIFFERENCES`

    Returns
    -------
    (256, 3) uint8, read-only, from the lowest value to the highest
    """
    samples = sample_colorscale(_plotly_name(name), np.linspace(0, 1, 256).tolist(), colortype="tuple")
    table: PixelArray = np.rint(np.asarray(samples) * 255).astype(np.uint8)
    table.setflags(write=False)
    return table


@lru_cache(maxsize=len(_PLOTLY_NAMES))
def colour_stops(name: str) -> tuple[tuple[float, str], ...]:
    """Write a colour map out for figures of plain data: Plotly in the browser knows few by name and none reversed.

    Parameters
    ----------
    name : a key of `COLOUR_MAPS` or `DIFFERENCES`

    Returns
    -------
    (share of the range, colour) from 0 to 1; colours as ``rgb(0, 0, 4)``, because Streamlit takes some of the form
    ``#000004`` for places that its own colours belong in
    """
    shares = [float(share) for share, _ in get_colorscale(_plotly_name(name))]
    return tuple(zip(shares, sample_colorscale(_plotly_name(name), shares), strict=True))


@lru_cache(maxsize=len(_PLOTLY_NAMES))
def colour_ramp_uri(name: str) -> str:
    """Draw a colour map as a PNG data URI, 256 x 1 pixels, lowest value on the left."""
    buffer = io.BytesIO()
    Image.fromarray(colour_table(name)[None, :, :]).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def colour_values(values: NDArray[np.floating], limits: tuple[float, float], name: str) -> PixelArray:
    """Colour a map.

    Parameters
    ----------
    values : (h, w) floats
    limits : (lowest, highest) of the scale, lowest < highest; values beyond them take its ends
    name : a key of `COLOUR_MAPS`

    Returns
    -------
    (h, w, 3) uint8; `NO_VALUE` where a value is not finite
    """
    lowest, highest = limits
    if not lowest < highest:
        raise ValueError(f"Expected limits that rise. Received: limits={limits}")
    finite = np.isfinite(values)
    shares = (np.where(finite, values, lowest).astype(np.float64) - lowest) / (highest - lowest)
    indices = np.rint(np.clip(shares, 0, 1) * 255).astype(np.intp)
    colours: PixelArray = colour_table(name)[indices]
    colours[~finite] = NO_VALUE
    return colours


def _plotly_name(name: str) -> str:
    if name not in _PLOTLY_NAMES:
        raise ValueError(f"Expected a colour map among {', '.join(_PLOTLY_NAMES)}. Received: {name!r}")
    return _PLOTLY_NAMES[name]
