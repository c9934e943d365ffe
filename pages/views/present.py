"""The meeting view: one photograph at a time, with its maps as large as the window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from convfe_core.drawing.map_figure import Look
from convfe_core.drawing.window_fit import arrange
from convfe_core.photos.photo import Photo

SMALL_SCREEN = 1206, 560
"""Pixels across and down that a projector of 1366 x 768 leaves for a figure; larger windows enlarge words too."""
AROUND = 208
"""Pixels of a window's height that stand above the figure, and below it for its facts."""
LEAST_SCALE = 0.6
"""Of a figure in a small window, where it rather scrolls than becomes illegible."""


def present_one(photos: Sequence[Photo]) -> list[Photo]:
    """One photograph, with previous and next."""
    if len(photos) == 1:
        st.space("small")  # an empty container would not keep what follows it at the other end of the line
        return list(photos)
    number = st.pagination(len(photos), key="slide")
    return [photos[number - 1]]


def arranged(look: Look, photo: Photo, backbones: int) -> Look:
    """A look whose lines of maps fill a screen."""
    across, width = arrange(backbones, len(look.reductions), photo.height / photo.width, SMALL_SCREEN)
    return replace(look, across=across, panel_width=width)


def window_style(key: str, width: int, height: int) -> str:
    """Style a figure and its two containers so that the browser enlarges it to the window, whose size we never learn.

    CSS divides two lengths by the tangent of their angle, because few browsers divide lengths themselves. Plotly's own
    element is enlarged: Streamlit measures those around it, and would enlarge the figure again.
    """
    return (
        f".st-key-scroll-{key} {{container-type: inline-size}} "
        f".st-key-wide-{key} {{--scale: max({LEAST_SCALE}, min(tan(atan2(100cqi, {width}px)), "
        f"tan(atan2(100vh - {AROUND}px, {height}px)))); margin-bottom: calc((var(--scale) - 1) * {height}px)}} "
        f".st-key-wide-{key} :is(.st-key-{key}, [data-testid=stPlotlyChart]) {{overflow: visible}} "
        f".st-key-wide-{key} .js-plotly-plot {{transform: scale(var(--scale)); transform-origin: 0 0}}"
    )
