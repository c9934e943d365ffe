"""A photograph and its maps on a page, with one cursor for all of them and boxes that the visitor draws."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypedDict

from convfe_core.drawing.colour_maps import BOX_COLOUR
from convfe_core.photos.photo import Photo
from pages.app.session import widget_value
from pages.charts.components import component
from pages.charts.packing import packed

AROUND = 208
"""Pixels of a window's height that stand above a presented row, and below it for its facts."""
LEAST_SCALE = 0.6
"""Of a row in a small window, where it rather scrolls than becomes illegible."""
LONGEST_LABEL = 60
MOST_BOXES = 2000
"""That a message from the browser may hold; it comes from outside."""


class DrawnBox(TypedDict):
    """A box in pixels of the photograph, x0 < x1 and y0 < y1, and the name of what is in it."""

    x0: float
    y0: float
    x1: float
    y1: float
    label: str


OnBoxes = Callable[[str, list[DrawnBox]], None]


def show_row(
    figure: dict[str, Any],
    key: str,
    alt: str,
    *,
    photo: Photo,
    boxes: Sequence[DrawnBox] = (),
    marking: bool = False,
    labels: Sequence[str] = (),
    outlined: Sequence[str] = (),
    notes: Mapping[str, str] | None = None,
    on_boxes: OnBoxes | None = None,
    presenting: bool = False,
    room: int | None = None,
) -> None:
    """Show a row of panels, which stays in the browser and is only changed by later runs.

    Its maps appear once `pages.charts.colouring.show_colouring` has told how they are coloured, and follow what it
    tells later.

    Parameters
    ----------
    figure : from `convfe_core.drawing.map_figure.row_figure`, without boxes; `pages.charts.colouring.uncoloured`
    key : of the row's place on the page
    alt : what is seen, for those who do not see it
    photo : the photograph, on the figure's first axes
    boxes : what is drawn on every panel
    marking : the visitor may draw and change boxes
    labels : names that are offered for a box
    outlined : names of maps, such as ``TinyResNet max``, with a line around them
    notes : by name of a map, a few letters above its right corner
    on_boxes : told the photograph's digest and all its boxes when the visitor has changed them, before the page runs
    presenting : as large as the window; else at its own size, smaller where there is less room
    room : pixels across that the figure was made for; where the page has others the first drawing waits for another
        figure. None draws it at once
    """
    first = figure["data"][0]
    data = {
        "figure": json.dumps(packed(figure)),
        "alt": alt,
        "photo": {
            "digest": photo.digest,
            "width": photo.width,
            "height": photo.height,
            "axes": [first["xaxis"], first["yaxis"]],
        },
        "boxes": list(boxes),
        "edit": _marks(key).get("edit", 0),
        "marking": marking,
        "labels": list(labels),
        "outlined": list(outlined),
        "notes": dict(notes or {}),
        "boxColour": BOX_COLOUR,
        "room": room,
        "fit": {"least": LEAST_SCALE, "most": None, "around": AROUND}
        if presenting
        else {"least": LEAST_SCALE, "most": 1, "around": None},
    }
    component("rows")(key=key, data=data, on_marks_change=partial(_tell, key, on_boxes))


def _tell(key: str, on_boxes: OnBoxes | None) -> None:
    marks = _marks(key)
    if on_boxes is not None and isinstance(marks.get("digest"), str):
        on_boxes(marks["digest"], read_boxes(marks.get("boxes")))


def _marks(key: str) -> dict[str, Any]:
    """What the row's script said last."""
    state: Any = widget_value(key, None)
    marks = state.get("marks") if isinstance(state, Mapping) else None
    return dict(marks) if isinstance(marks, Mapping) else {}


def read_boxes(told: object) -> list[DrawnBox]:
    """Boxes from a message of the browser; what is none, or has no area, is left out."""
    found = [_box(one) for one in told[:MOST_BOXES]] if isinstance(told, list) else []
    return [box for box in found if box is not None]


def _box(told: object) -> DrawnBox | None:
    if not isinstance(told, Mapping):
        return None
    edges = [told.get(name) for name in ("x0", "y0", "x1", "y1")]
    if not all(isinstance(edge, int | float) and math.isfinite(edge) for edge in edges):
        return None
    x0, y0, x1, y1 = (float(edge) for edge in edges)  # type: ignore[arg-type]  # numbers, as asked above
    label = told.get("label")
    label = label[:LONGEST_LABEL] if isinstance(label, str) else ""
    return DrawnBox(x0=x0, y0=y0, x1=x1, y1=y1, label=label) if x0 < x1 and y0 < y1 else None
