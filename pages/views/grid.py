"""The grid: one row a photograph, eight rows a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import streamlit as st

from convfe_core.base.errors import ConvfeError
from convfe_core.base.wording import in_words
from convfe_core.catalog.specs import Spec
from convfe_core.drawing.colour_scales import ScaleKey, scale_limits
from convfe_core.drawing.map_figure import row_figure
from convfe_core.drawing.map_traces import Look
from convfe_core.drawing.row_picture import row_png
from convfe_core.drawing.window_fit import fitted
from convfe_core.maps.feature_maps import FeatureMaps, Limits
from convfe_core.maps.map_diagnostics import map_warning
from convfe_core.maps.npz import maps_npz
from convfe_core.photos.photo import Photo
from convfe_core.reports.snippet import maps_call, write_snippet
from pages.app.compute_maps import Work, load_network
from pages.app.guard import guarded_download
from pages.app.session import TURNED_BELOW, set_widget, thumbnail, widget_value
from pages.app.words import plain, show_error
from pages.charts.colouring import show_colouring, uncoloured
from pages.charts.show_row import OnBoxes, show_row
from pages.marks.kept_marks import drawn_boxes, labels_in_use
from pages.marks.learned_maps import Learned, join_probe
from pages.marks.mark_scores import score_row
from pages.marks.trial_found import show_found
from pages.views.present import arranged

ROWS_PER_PAGE = 8
PAGER, PAGER_BELOW = "page", "page_below"
ROW_SCOPES = ("map", "image")
"""Scopes that one row settles on its own, so that it can be drawn before the others are computed."""

LAID_OUT_IN_SIGHT = '[class*="st-key-row-"] {content-visibility: auto; contain-intrinsic-size: auto 240px}'
"""Rows below the window are laid out when they come into sight, so that those in sight change at once."""

_BRING_INTO_SIGHT = "<script>/* {number} */ document.querySelector('.st-key-{key}').scrollIntoView()</script>"
"""Begins a page at its first row; the number makes each turn another script, which the browser then runs."""


def page_of(photos: Sequence[Photo]) -> list[Photo]:
    """The photographs of the chosen page."""
    pages = _count_pages(photos)
    if pages == 1:
        return list(photos)
    number = st.pagination(pages, key=PAGER)
    if TURNED_BELOW.take():
        st.html(_BRING_INTO_SIGHT.format(number=number, key=PAGER), unsafe_allow_javascript=True)
    return page_with(photos, photos[(number - 1) * ROWS_PER_PAGE])


def page_with(photos: Sequence[Photo], photo: Photo) -> list[Photo]:
    """The photographs that share a page with one of them."""
    start = photos.index(photo) // ROWS_PER_PAGE * ROWS_PER_PAGE
    return list(photos[start : start + ROWS_PER_PAGE])


def turn_page_below(photos: Sequence[Photo]) -> None:
    """Offer the pages of `page_of` again below the rows, where one needs them next."""
    pages = _count_pages(photos)
    if pages == 1:
        return
    set_widget(PAGER_BELOW, widget_value(PAGER, 1))
    st.pagination(pages, key=PAGER_BELOW, on_change=_turn_page)


def _count_pages(photos: Sequence[Photo]) -> int:
    return -(-len(photos) // ROWS_PER_PAGE)


def _turn_page() -> None:
    set_widget(PAGER, widget_value(PAGER_BELOW, 1))
    TURNED_BELOW.set(True)


def draw_rows(
    work: Work,
    look: Look,
    room: int | None,
    learned: Mapping[str, Learned] | None = None,
    on_boxes: OnBoxes | None = None,
    *,
    detections: bool = False,
) -> None:
    """Draw each row as soon as its maps and its scales are known, and offer all maps as a file.

    Rows are named by their places: with names of the photographs the browser would draw each page of rows twice.

    Parameters
    ----------
    room : pixels across; None where a row fills the window, for meetings
    learned : by label of the backbone the probe's maps, where these are drawn
    on_boxes : told when the visitor has drawn or changed boxes; None where these are only shown
    detections : show below each row what the detectors of a trial found there
    """
    draw = partial(_draw_row, look=look, room=room, on_boxes=on_boxes, detections=detections)
    st.html(f"<style>{LAID_OUT_IN_SIGHT}</style>")
    show_colouring(look)
    slots = [st.container(key=f"row-{place}") for place in range(len(work.photos))]
    drawn: list[tuple[Photo, list[FeatureMaps]]] = []
    for place, (photo, found) in enumerate(work.rows()):
        found = found if learned is None else join_probe(found, learned)
        drawn.append((photo, found))
        if look.scope in ROW_SCOPES:
            with slots[place]:
                draw(place, photo, found, scale_limits(found, look.scope))
    every = [maps for _, found in drawn for maps in found]
    if look.scope not in ROW_SCOPES:
        limits = scale_limits(every, look.scope)
        for place, (photo, found) in enumerate(drawn):
            with slots[place]:
                draw(place, photo, found, limits)
    if every and room is not None:
        st.download_button(
            "All maps shown, as .npz",
            guarded_download(lambda: maps_npz(every)),
            "convfe-maps.npz",
            "application/octet-stream",
            key="all-maps",
            icon=":material/download:",
            on_click="ignore",
            help="float32 arrays with the names of images, backbones and weights, and the sizes, inside.",
        )


def show_snippets(work: Work) -> None:
    """Offer each backbone as a Python program, written when it is asked for."""
    with st.container(horizontal=True):
        for spec in work.specs:
            box = st.popover(
                f"Take {plain(spec.label)} with you", icon=":material/code:", type="tertiary", on_change="rerun"
            )
            if not box.open:
                continue
            with box:
                try:
                    st.code(_snippet(work, spec), language="python", height=420)
                except ConvfeError as error:
                    show_error(error)


def _snippet(work: Work, spec: Spec) -> str:
    network = load_network(spec).network
    network = network if work.tap == "auto" else network.at(work.tap)
    call = maps_call(spec, work.size.name, work.tap, work.precision, work.pictures)
    return write_snippet(network, spec, work.size.longest_side(network), call)


def _draw_row(
    place: int,
    photo: Photo,
    found: Sequence[FeatureMaps],
    limits: Mapping[ScaleKey, Limits],
    look: Look,
    room: int | None,
    on_boxes: OnBoxes | None,
    detections: bool,
) -> None:
    if not found:
        return
    look = arranged(look, photo, len(found)) if room is None else fitted(look, len(found), room)
    boxes, scores = drawn_boxes(photo), score_row(photo, found, look)
    figure = row_figure(photo, thumbnail(photo), found, limits, uncoloured(look))
    labels = ", ".join(maps.label for maps in found)
    show_row(
        figure,
        key=f"chart-{place}",
        alt=f"{photo.name} and its {in_words(look.reductions)} maps under {labels}",
        photo=photo,
        boxes=boxes,
        marking=on_boxes is not None,
        labels=labels_in_use(),
        outlined=scores.outlined,
        notes=scores.notes,
        on_boxes=on_boxes,
        presenting=room is None,
        room=room,
    )
    for warning in _warnings(found, look):
        st.caption(f":material/warning: {warning}")
    with st.container(horizontal=True, wrap=False, vertical_alignment="center"):
        st.caption(_facts(photo, found), width="stretch", help=_details(found))
        st.download_button(
            "PNG",
            guarded_download(
                lambda: row_png(
                    photo,
                    found,
                    reductions=look.reductions,
                    colour_map=look.colour_map,
                    limits=limits,
                    boxes=[(box["x0"], box["y0"], box["x1"], box["y1"]) for box in boxes],
                )
            ),
            f"{photo.name}.png",
            "image/png",
            key=f"png-{place}",
            icon=":material/image:",
            type="tertiary",
            on_click="ignore",
            help="This row as a picture.",
        )
    if detections:
        show_found(photo)


def _warnings(found: Sequence[FeatureMaps], look: Look) -> list[str]:
    """One sentence for every map of the row that cannot be trusted."""
    named = [
        (plain(f"{maps.label} {name}"), map_warning(values))
        for maps in found
        for name, values in maps.scalars.items()
        if name in look.reductions
    ]
    return [f"**{name}**: {warning}." for name, warning in named if warning]


def _facts(photo: Photo, found: Sequence[FeatureMaps]) -> str:
    """One quiet line: which photograph it is and how large, and how large the networks received it."""
    sizes = dict.fromkeys(f"{maps.frame.content_width} × {maps.frame.content_height}" for maps in found)
    return f"{plain(photo.name)}: {photo.width} × {photo.height} pixels, received at {in_words(list(sizes))}"


def _details(found: Sequence[FeatureMaps]) -> str:
    """What each map was made of, a line a backbone."""
    return "\n".join(
        f"- **{plain(maps.label)}**, weights {plain(maps.weights)}, received "
        f"{maps.frame.content_width} × {maps.frame.content_height} pixels; layer {plain(str(maps.tap))}, "
        f"stride {maps.grid.stride_x:g}, {maps.max.shape[1]} × {maps.max.shape[0]} cells"
        for maps in found
    )
