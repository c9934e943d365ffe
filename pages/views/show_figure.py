"""A figure of plain data on a page, at its own size."""

from __future__ import annotations

from typing import Any

import streamlit as st
from plotly.basedatatypes import BaseFigure

from pages.charts.packing import packed

CHART_CONFIG = {"displaylogo": False, "modeBarButtons": [["zoom2d", "pan2d", "resetScale2d"]]}
"""Few buttons: they lie over the names of backbones, and a picture of the row can be had below it."""


def show_figure(figure: dict[str, Any], key: str, alt: str) -> None:
    """Show a row of panels at its own size, scrolling sideways where the window is narrower."""
    width = figure["layout"]["width"]
    st.html(
        f"<style>.st-key-scroll-{key} {{overflow-x: auto}} .st-key-wide-{key} {{min-width: {width}px}} "
        f".st-key-wide-{key} .cursor-pointer {{cursor: default}}</style>"
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
        return packed(self._figure)
