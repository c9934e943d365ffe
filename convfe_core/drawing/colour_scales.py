"""How far a map's colour scale reaches, and where a cell's value stands among those of its map."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable

import numpy as np
from numpy.typing import NDArray

from convfe_core.base.arrays import FloatArray
from convfe_core.maps.feature_maps import FeatureMaps, Limits, value_range
from convfe_core.maps.map_diagnostics import average_ranks

SCOPES = ("map", "image", "backbone", "all")

ScaleKey = tuple[str, str, str]
"""(digest of the photograph, label of the backbone, name of the picture)"""


_GROUPS: dict[str, Callable[[FeatureMaps], Hashable]] = {
    "map": lambda maps: (maps.digest, maps.label),
    "image": lambda maps: maps.digest,
    "backbone": lambda maps: maps.label,
    "all": lambda _maps: None,
}


def scale_limits(maps: Iterable[FeatureMaps], scope: str) -> dict[ScaleKey, Limits]:
    """Work out the ends of the colour scale of every map that has one.

    Maximum and mean of one feature map differ by an order of magnitude, and one scale for both would paint
    the mean in a single colour: in every scope the reductions are scaled apart.

    Parameters
    ----------
    maps : everything that is shown
    scope : which maps share a scale: ``map`` none; ``image`` those of one photograph; ``backbone`` those of
        one backbone; ``all`` everything

    Returns
    -------
    one entry a map; values that are not finite do not count, see :func:`value_range`
    """
    if scope not in SCOPES:
        raise ValueError(f"Expected a scope among {', '.join(SCOPES)}. Received: {scope!r}")
    group_of = _GROUPS[scope]
    shown = list(maps)
    groups: defaultdict[tuple[Hashable, str], list[FloatArray]] = defaultdict(list)
    for one in shown:
        for name, values in one.scalars.items():
            groups[group_of(one), name].append(values)
    limits = {group: value_range(members) for group, members in groups.items()}
    return {(one.digest, one.label, name): limits[group_of(one), name] for one in shown for name in one.scalars}


def percentiles(values: FloatArray) -> NDArray[np.float64]:
    """Percentile of every cell within its map: its rank, ties averaged, in percent of the number of cells.

    Parameters
    ----------
    values : (h, w)

    Returns
    -------
    (h, w), above 0 and up to 100; NaN where the value is not finite, and such cells are not counted

    Examples
    --------
    >>> percentiles(np.float32([[0, 5], [5, 9]]))
    array([[ 25. ,  62.5],
           [ 62.5, 100. ]])
    """
    result = np.full(values.shape, np.nan)
    finite = np.isfinite(values)
    if finite.any():
        result[finite] = average_ranks(values[finite]) / finite.sum() * 100
    return result


def even_limits(differences: Iterable[FeatureMaps]) -> dict[ScaleKey, Limits]:
    """Scales that are as long below zero as above, so that the middle colour means no change."""
    limits = {}
    for maps in differences:
        for name, values in maps.scalars.items():
            sizes = np.abs(values[np.isfinite(values)])
            half = float(sizes.max()) if sizes.size and sizes.max() > 0 else 1.0
            limits[maps.digest, maps.label, name] = (-half, half)
    return limits
