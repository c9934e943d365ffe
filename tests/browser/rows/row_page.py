"""A page with one row alone: the maps of a letterboxed photograph at two strides, and boxes that are told below it."""

from __future__ import annotations

import json
from functools import lru_cache

import numpy as np
import streamlit as st

from convfe_core.drawing.colour_scales import scale_limits
from convfe_core.drawing.map_figure import row_figure
from convfe_core.drawing.map_traces import Look
from convfe_core.geometry.cell_geometry import CellGrid
from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.photos.letterbox import plan_frame, thumbnail_data_uri
from convfe_core.photos.photo import Photo
from pages.charts.show_row import DrawnBox, show_row
from tests.support.builders import photo

# Of the photograph, and of what the networks receive: 213 x 320 pixels on a canvas of 224 x 320.
HEIGHT, WIDTH, LONGEST = 300, 451, 320
STRIDES = {"Coarse": 32, "Fine": 16}


@lru_cache
def picture() -> Photo:
    """The photograph."""
    return photo(HEIGHT, WIDTH)


def maps_at(label: str) -> FeatureMaps:
    """Maps whose max tells each cell's number, of the cells whose centre lies on the photograph."""
    stride, frame = STRIDES[label], plan_frame(HEIGHT, WIDTH, LONGEST)
    rows, columns = (int((side - stride / 2) // stride) + 1 for side in (frame.content_height, frame.content_width))
    values = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    grid = CellGrid(rows, columns, stride, stride, stride / 2, stride / 2)
    return FeatureMaps(
        picture().name, picture().digest, label, "untrained", "output", values, values[::-1] / 2, frame, grid
    )


def main() -> None:
    """Show the row; the boxes are kept as a page keeps them."""
    st.session_state.setdefault("kept", {})
    marking = st.toggle("Mark objects")
    colours = st.selectbox("Colours", ["Viridis", "Inferno"])

    def keep(digest: str, boxes: list[DrawnBox]) -> None:
        st.session_state["kept"][digest] = boxes

    if st.button("Two boxes"):
        two = [DrawnBox(x0=40, y0=30, x1=140, y1=130, label="cat"), DrawnBox(x0=200, y0=100, x1=300, y1=200, label="")]
        keep(picture().digest, two)
    maps = [maps_at(label) for label in STRIDES]
    look = Look(colour_map=colours)
    show_row(
        row_figure(picture(), thumbnail_data_uri(picture()), maps, scale_limits(maps, "map"), look),
        key="chart-0",
        alt="A row",
        photo=picture(),
        boxes=st.session_state["kept"].get(picture().digest, []),
        marking=marking,
        labels=["cat", "dog"],
        outlined=["Fine max"],
        notes={"Coarse max": "0.71", "Fine max": "0.93"},
        on_boxes=keep,
    )
    st.code(json.dumps(st.session_state["kept"].get(picture().digest, [])), language=None, wrap_lines=True)


if __name__ == "__main__":
    main()
