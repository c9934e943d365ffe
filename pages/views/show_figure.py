"""A figure of plain data on a page, at its own size or as large as the window."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import streamlit as st
from plotly.basedatatypes import BaseFigure

from pages.views.present import window_style

CHART_CONFIG = {"displaylogo": False, "modeBarButtons": [["zoom2d", "pan2d", "resetScale2d"]]}
"""Few buttons: they lie over the names of backbones, and a picture of the row can be had below it."""


def show_figure(figure: dict[str, Any], key: str, alt: str, *, presenting: bool = False) -> None:
    """Show a row of panels at its own size, scrolling sideways where the window is narrower, or as large as that."""
    width, height = figure["layout"]["width"], figure["layout"]["height"]
    fitted = window_style(key, width, height) if presenting else ""
    st.html(
        f"<style>.st-key-scroll-{key} {{overflow-x: auto}} .st-key-wide-{key} {{min-width: {width}px}} "
        f".st-key-wide-{key} .cursor-pointer {{cursor: default}} {fitted}</style>"
    )
    with st.container(key=f"scroll-{key}"), st.container(key=f"wide-{key}", width=width):
        st.plotly_chart(_Ready(figure), key=key, config=CHART_CONFIG, theme=None, alt=alt)


class _Ready(BaseFigure):  # type: ignore[misc]  # Plotly has no types
    """A figure that Streamlit takes as it is, without having Plotly check every property of it.

    Tests check them once. Handed over as plain data, a row of three backbones took 10.6 ms of processor time instead of
    0.9 ms, and a change of colours over eight such rows 354 ms instead of 265 ms (Plotly 7.1). Plotly's own way to
    leave the checks out is a private argument, and still took 5.2 ms.
    """

    def __init__(self, figure: dict[str, Any]) -> None:
        self._figure = figure

    def to_dict(self) -> dict[str, Any]:
        traces = [{name: _packed(value) for name, value in trace.items()} for trace in self._figure["data"]]
        return {**self._figure, "data": traces}


def _packed(value: Any) -> Any:
    """Write arrays of numbers as Plotly's own figures do, in base64: half as much for the browser to read."""
    if not isinstance(value, np.ndarray):
        return value
    kind, shape = f"{value.dtype.kind}{value.dtype.itemsize}", ", ".join(map(str, value.shape))
    return {"dtype": kind, "bdata": base64.b64encode(value.tobytes()).decode("ascii"), "shape": shape}
