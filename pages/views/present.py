"""The meeting view: one photograph at a time, with its maps as large as the window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from convfe_core.drawing.map_traces import Look
from convfe_core.drawing.window_fit import arrange
from convfe_core.photos.photo import Photo

SMALL_SCREEN = 1206, 560
"""Pixels across and down that a projector of 1366 x 768 leaves for a figure; larger windows enlarge words too."""


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
