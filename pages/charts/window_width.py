"""How wide the page is in the visitor's browser, so that figures fit it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from pages.app.session import WINDOW_WIDTH, widget_value
from pages.charts.components import component

KEY = "window"
NARROWEST, WIDEST = 240, 8000
"""Pixels that are believed; the message comes from outside."""

STYLE = (
    "[data-testid=stMain] {scrollbar-gutter: stable} .st-key-window-width {display: none} "
    "[data-testid=stMainBlockContainer] {padding-inline: clamp(1rem, 3vw, 2.5rem)}"
)
"""Rows that make the page longer must not make it narrower, or they would be drawn twice; and maps need the margins."""


def window_width() -> int:
    """Pixels across that the page has for its contents; a usual window's until the browser has told.

    When the visitor changes the window, the page runs again.
    """
    st.html(f"<style>{STYLE}</style>")
    with st.container(key="window-width"):
        component("width")(key=KEY, data={"width": WINDOW_WIDTH.get()}, on_width_change=_note)
    return WINDOW_WIDTH.get()


def _note() -> None:
    state: Any = widget_value(KEY, None)
    width = state.get("width") if isinstance(state, Mapping) else None
    if isinstance(width, int | float) and NARROWEST <= width <= WIDEST:
        WINDOW_WIDTH.set(int(width))
