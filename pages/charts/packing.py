"""Figures of plain data on their way to the browser."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np


def packed(figure: dict[str, Any]) -> dict[str, Any]:
    """Write a figure's arrays in base64, as Plotly's own figures do: half as much for the browser to read."""
    traces = [{name: _packed(value) for name, value in trace.items()} for trace in figure["data"]]
    return {**figure, "data": traces}


def _packed(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    kind, shape = f"{value.dtype.kind}{value.dtype.itemsize}", ", ".join(map(str, value.shape))
    return {"dtype": kind, "bdata": base64.b64encode(value.tobytes()).decode("ascii"), "shape": shape}
