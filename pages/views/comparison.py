"""A network's maps beside those of others on one photograph, and below them what is different."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from convfe_core.base.errors import SpecError
from convfe_core.drawing.colour_scales import even_limits, scale_limits
from convfe_core.drawing.map_figure import row_figure
from convfe_core.drawing.map_traces import Look
from convfe_core.drawing.window_fit import fitted
from convfe_core.maps.feature_maps import REDUCTIONS, FeatureMaps, smallest_share, subtract_maps, to_unit
from convfe_core.photos.photo import Photo
from pages.app.session import thumbnail
from pages.app.words import plain
from pages.views.show_figure import show_figure

SCALES = {"auto": "Auto", "one": "One", "own": "Own"}
LEAST_SHARE = 1 / 3
"""Of one scale for all; with less of it a map would lose its shapes."""


def choose_scale() -> str:
    """Ask whether all networks share a scale; a key of `SCALES`."""
    return st.segmented_control(
        "Scale",
        list(SCALES),
        format_func=lambda name: SCALES[name],
        default="auto",
        required=True,
        key="inspect_scale",
        help="One: all networks share a scale. Own: each map has its own, so that its shapes show whatever its "
        "magnitude, and differences are those of maps stretched to 0..1. "
        "Auto: one, unless that would leave some map less than a third of it.",
    )


def show_comparison(photo: Photo, found: Sequence[FeatureMaps], scale: str, look: Look, room: int) -> None:
    """Draw a photograph's maps under all networks, the first one's differences from the others below them.

    Parameters
    ----------
    scale : a key of `SCALES`
    room : pixels across
    """
    look = fitted(look, len(found), room)
    share = smallest_share(found)
    one_scale = scale == "one" or (scale == "auto" and share >= LEAST_SHARE)
    shared = replace(look, scope="image" if one_scale else "map")
    key = photo.digest[:16]
    labels = ", ".join(maps.label for maps in found)
    figure = row_figure(photo, thumbnail(photo), found, scale_limits(found, shared.scope), shared)
    show_figure(figure, key=f"inspect-{key}", alt=f"{photo.name} and its maps under {labels}")
    if len(found) < 2:
        return
    first, *others = found if one_scale else [to_unit(maps) for maps in found]
    try:
        changes = [subtract_maps(first, other) for other in others]
    except SpecError as error:
        st.caption(plain(str(error)))
        return
    signed = replace(look, reductions=_with_differences(look), colour_map="Blue-red")
    figure = row_figure(photo, thumbnail(photo), changes, even_limits(changes), signed)
    show_figure(figure, key=f"difference-{key}", alt=f"{photo.name}: differences between {labels}")
    if not one_scale:
        st.caption(
            f"One scale for all would leave {share:.0%} of it to one of the maps. Here each has its own; differences "
            "are those of maps stretched to 0..1."
        )


def _with_differences(look: Look) -> tuple[str, ...]:
    """Those of the maps that are shown of which there are differences; all of these where it is none."""
    return tuple(name for name in look.reductions if name in REDUCTIONS) or REDUCTIONS
