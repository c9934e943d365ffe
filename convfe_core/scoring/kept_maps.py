"""Maps of a photograph as they are kept in a row of a long run, to be drawn later without their network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

import numpy as np
import pyarrow as pa

from convfe_core.base.arrays import FloatArray
from convfe_core.geometry.cell_geometry import CellGrid
from convfe_core.maps.feature_maps import REDUCTIONS, FeatureMaps
from convfe_core.photos.letterbox import Frame

KEPT = pa.struct(
    [
        ("digest", pa.string()),
        ("frame", pa.list_(pa.int64())),
        ("grid", pa.list_(pa.float64())),
        *((name, pa.binary()) for name in REDUCTIONS),
    ]
)
"""``frame`` and ``grid``: the fields of `Frame` and `CellGrid`; each of `REDUCTIONS`: float32 (rows, columns)."""


def packed_maps(maps: FeatureMaps) -> dict[str, Any]:
    """What is kept of maps, as a value of `KEPT`; not who made them of what, which a row says by itself."""
    values = {name: getattr(maps, name).astype(np.float32).tobytes() for name in REDUCTIONS}
    return {"digest": maps.digest, "frame": astuple(maps.frame), "grid": astuple(maps.grid), **values}


def unpacked_maps(kept: Mapping[str, Any], image: str, label: str, weights: str, tap: str) -> FeatureMaps:
    """The maps again."""
    rows, columns, *places = kept["grid"]
    grid = CellGrid(int(rows), int(columns), *places)

    def values(name: str) -> FloatArray:
        return np.frombuffer(kept[name], np.float32).reshape(grid.rows, grid.columns)

    maximum, mean = map(values, REDUCTIONS)
    return FeatureMaps(image, kept["digest"], label, weights, tap, maximum, mean, Frame(*kept["frame"]), grid)
