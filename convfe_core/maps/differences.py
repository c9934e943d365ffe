"""What changed between two networks of the same geometry: their maps, cell by cell, one minus the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from convfe_core.base.errors import SpecError
from convfe_core.drawing.colour_scales import Limits, MapKey, value_range
from convfe_core.maps.feature_maps import REDUCTIONS, FeatureMaps, FloatArray


def subtract_maps(one: FeatureMaps, other: FeatureMaps) -> FeatureMaps:
    """Subtract one photograph's maps under another network from those under this one.

    Cells are told by their place in the map. Where training has moved what they see, as `SpatialPath.centred` has it,
    a row or column that is on the photograph for one network alone is left out.

    Raises
    ------
    SpecError : the cells are not the same: another size of input, layer or stride
    """
    strides = [(maps.grid.stride_y, maps.grid.stride_x) for maps in (one, other)]
    if one.frame != other.frame or strides[0] != strides[1] or one.digest != other.digest:
        raise SpecError(
            f"Expected maps with the same cells to subtract. Received: {one.label} with {_cells(one)}, "
            f"{other.label} with {_cells(other)}; give both one size, and layers of one stride."
        )
    rows, columns = (min(sides) for sides in zip(one.max.shape, other.max.shape, strict=True))
    return replace(
        one,
        label=f"{one.label} − {other.label}",
        max=one.max[:rows, :columns] - other.max[:rows, :columns],
        mean=one.mean[:rows, :columns] - other.mean[:rows, :columns],
        grid=replace(one.grid, rows=rows, columns=columns),
    )


def smallest_share(found: Sequence[FeatureMaps]) -> float:
    """How much of one scale for all networks the map would get that gets least, 1 for a map alone."""
    shares = [1.0]
    for reduction in REDUCTIONS if found else ():
        every = [getattr(one, reduction) for one in found]
        low, high = value_range(every)
        shares += [_width(values) / (high - low) for values in every]
    return min(shares) if len(found) > 1 else 1.0


def _width(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max() - finite.min()) if finite.size else 0.0


def to_unit(maps: FeatureMaps) -> FeatureMaps:
    """Maps stretched to 0..1 each, so that their shapes can be compared whatever their magnitudes."""
    stretched = {}
    for reduction in REDUCTIONS:
        values = getattr(maps, reduction)
        low, high = value_range([values])
        stretched[reduction] = (values - low) / (high - low)
    return replace(maps, **stretched)


def even_limits(differences: Iterable[FeatureMaps]) -> dict[MapKey, Limits]:
    """Scales that are as long below zero as above, so that the middle colour means no change."""
    limits = {}
    for maps in differences:
        for reduction in REDUCTIONS:
            values = np.abs(getattr(maps, reduction))
            finite = values[np.isfinite(values)]
            half = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
            limits[maps.digest, maps.label, reduction] = (-half, half)
    return limits


def _cells(maps: FeatureMaps) -> str:
    return f"{maps.max.shape[1]} x {maps.max.shape[0]} cells of {maps.grid.stride_x:g} pixels"
