"""Figures of plain data on their way to the browser."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray


def packed(figure: dict[str, Any]) -> dict[str, Any]:
    """Write a figure's arrays in base64, as Plotly's own figures do: half as much for the browser to read."""
    traces = [
        {name: packed_array(value) if isinstance(value, np.ndarray) else value for name, value in trace.items()}
        for trace in figure["data"]
    ]
    return {**figure, "data": traces}


def packed_array(values: NDArray[Any]) -> dict[str, str]:
    """Write an array in base64."""
    kind, shape = f"{values.dtype.kind}{values.dtype.itemsize}", ", ".join(map(str, values.shape))
    return {"dtype": kind, "bdata": base64.b64encode(values.tobytes()).decode("ascii"), "shape": shape}
