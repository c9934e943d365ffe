"""The sidebar's third question: how are the maps drawn? Nothing here runs a backbone."""

from __future__ import annotations

import streamlit as st

from convfe_core.drawing.colour_maps import COLOUR_MAPS
from convfe_core.drawing.map_traces import Look
from convfe_core.maps.feature_maps import PICTURES, REDUCTIONS, WITHOUT_BOXES
from pages.sidebar.choose_named import choose_named

PANEL_WIDTHS = {"S": 130, "M": 180, "L": 340, "XL": 480}
INK = {"light": "#1c2b2a", "dark": "#e3eceb"}
SCOPE_WORDS = {
    "map": "Each map",
    "image": "This image",
    "backbone": "This backbone",
    "all": "Everything",
}
PICTURES_HELP = (
    "Max: does any channel fire here? Mean: how many do? "
    "Pca, the PCA colours: which places look alike to the backbone, on all images shown? They are the three directions "
    "in which its features vary most. Colours are not classes, and those of two backbones cannot be compared."
)
PROBE_HELP = (
    " Probe: where would a linear combination of all channels see objects like those in your boxes? What is drawn on a "
    "photograph was learned from the boxes of the others alone."
)


def ink() -> str:
    """The colour of words in figures, light on a dark page and dark on a light one."""
    return INK[st.context.theme.type or "light"]


def choose_look(presenting: bool = False, *, scopes: bool = True, probe: bool = False) -> Look:
    """Ask how the maps are drawn.

    Parameters
    ----------
    presenting : the window tells how large they are
    scopes : ask what shares a scale; else each map has its own
    probe : offer the map of a cell probe, too
    """
    offered = PICTURES if probe else WITHOUT_BOXES
    # Depth and Inspect have figures of their own width, with many stages or with differences beside the maps.
    key, first = ("maps", WITHOUT_BOXES) if scopes else ("inside_maps", REDUCTIONS)
    st.subheader("Display", anchor=False)
    reductions = st.pills(
        "Maps",
        list(offered),
        selection_mode="multi",
        default=list(first),
        key=key,
        bind="query-params",
        help=PICTURES_HELP + (PROBE_HELP if probe else ""),
    )
    scope = (
        "map"
        if not scopes
        else choose_named(
            "Scale shared by",
            SCOPE_WORDS,
            "scale",
            "Each map: shapes stand out, magnitudes cannot be compared. Wider scopes put the maps on one scale; "
            "max and mean never share one.",
        )
    )
    colour_map = choose_named(
        "Colour map",
        {name: name for name in COLOUR_MAPS},
        "colours",
        "The first ones are perceptually uniform: equal steps in value look equal, also without colour vision.",
    )
    smoothed = st.toggle(
        "Smooth between cells",
        value=True,
        key="smooth",
        bind="query-params",
        help="Off: every cell as it is, which is what the numbers are of.",
    )
    overlay = st.slider(
        "Opacity over the photograph",
        0.2,
        1.0,
        1.0,
        0.1,
        key="opacity",
        bind="query-params",
        help="Below 1 the photograph shines through.",
    )
    width = (
        None
        if presenting
        else st.segmented_control("Panel size", list(PANEL_WIDTHS), default="M", key="panel-M", bind="query-params")
    )
    return Look(
        reductions=tuple(name for name in offered if name in reductions) or REDUCTIONS,
        colour_map=colour_map,
        scope=scope,
        smoothed=smoothed,
        overlay=overlay,
        panel_width=PANEL_WIDTHS[width or "M"],
        ink=ink(),
    )
