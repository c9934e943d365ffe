"""How wide the page is in the visitor's browser, so that figures fit it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from pages.app.session import DRAWN, WINDOW_WIDTH, widget_value
from pages.charts.components import component, hidden_place

KEY = "window"
COOKIE = "convfe_width"
"""In which the browser remembers the width, to tell it with the next visit's first request."""
NARROWEST, WIDEST = 240, 8000
"""Pixels that are believed; the message comes from outside."""

USUAL_WIDTH = 952
"""That of a laptop's window of 1366 pixels beside the sidebar."""

STYLE = (
    "[data-testid=stMain] {scrollbar-gutter: stable} "
    "[data-testid=stMainBlockContainer] {padding-inline: clamp(1rem, 3vw, 2.5rem)}"
)
"""Rows that make the page longer must not make it narrower, or they would be drawn twice; and maps need the margins."""


def window_width() -> int:
    """Pixels across that the page has for its contents.

    It is what the browser remembers of an earlier visit, else a usual window's, until it tells; then the page runs
    again, as it does when the visitor changes the window.
    """
    width = WINDOW_WIDTH.get() or _believed(st.context.cookies.get(COOKIE)) or USUAL_WIDTH
    st.html(f"<style>{STYLE}</style>")
    with hidden_place("window-width"):
        _watch(width)
    return width


@st.fragment
def _watch(width: int) -> None:
    """Have the browser tell another width. A fragment, so that what it tells waits for the end of a page's run.

    Else it would end each new visitor's first run, and *Stop* the second one before the sidebar is drawn. A page that
    was stopped is not run again for it: the width counts from the next change on.
    """
    component("width")(key=KEY, data={"width": width}, on_width_change=_note)
    if DRAWN.get() and WINDOW_WIDTH.get() not in (None, width):
        st.rerun()


def _note() -> None:
    state: Any = widget_value(KEY, None)
    width = _believed(state.get("width") if isinstance(state, Mapping) else None)
    if width is not None:
        WINDOW_WIDTH.set(width)


def _believed(told: object) -> int | None:
    """A width that came from outside, if it is one."""
    if isinstance(told, str) and told.isascii() and told.isdecimal():
        told = float(told)
    return int(told) if isinstance(told, int | float) and NARROWEST <= told <= WIDEST else None
