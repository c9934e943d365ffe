"""Colour maps: which there are, and from a map's values to pixels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from plotly.colors import sample_colorscale

from convfe_core.pixels import PixelArray

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


@lru_cache(maxsize=len(COLOUR_MAPS))
def colour_table(name: str) -> PixelArray:
    """Sample a colour map.

    Parameters
    ----------
    name : a key of `COLOUR_MAPS`

    Returns
    -------
    (256, 3) uint8, read-only, from the lowest value to the highest
    """
    if name not in COLOUR_MAPS:
        raise ValueError(f"Expected a colour map among {', '.join(COLOUR_MAPS)}. Received: {name!r}")
    samples = sample_colorscale(COLOUR_MAPS[name], np.linspace(0, 1, 256).tolist(), colortype="tuple")
    table: PixelArray = np.rint(np.asarray(samples) * 255).astype(np.uint8)
    table.setflags(write=False)
    return table


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
