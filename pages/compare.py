"""Compare: the max and mean maps of several backbones beside each photograph."""

from __future__ import annotations

import streamlit as st

from convfe_core.maps.feature_maps import PROBE, WITHOUT_BOXES
from pages.app.compute_maps import Work, show_outcome
from pages.app.navigation import enter, share_link
from pages.app.session import presenting
from pages.charts.window_width import window_width
from pages.marks.kept_marks import boxes_keeper, marks_of
from pages.marks.learned_maps import can_learn, learn_maps
from pages.marks.panel import choose_marking, marks_panel, show_mark_scores
from pages.marks.trial_found import choose_found
from pages.sidebar.choose_backbones import choose_backbones, choose_precision, choose_size, choose_tap
from pages.sidebar.choose_images import choose_images, show_need_of_photos
from pages.sidebar.choose_look import choose_look
from pages.views.grid import draw_rows, page_of, page_with, show_snippets, turn_page_below
from pages.views.present import present_one

enter()
room = None if presenting() else window_width()

with st.container(horizontal=True, vertical_alignment="center"):
    if presenting():
        st.title("CONV-FE", anchor=False, width="content")
    else:
        st.title("Compare", anchor=False)
    pager = st.container()
    if not presenting():
        st.page_link("pages/guide.py", label="How to read the maps", icon=":material/menu_book:")
    controls = st.popover("Settings", icon=":material/tune:") if presenting() else st.sidebar
    st.toggle(
        "Present",
        key="present",
        bind="query-params",
        help="For meetings: one image at a time, large, with the controls out of the way.",
    )
    marking = choose_marking()
    share_link()

if not presenting():
    st.write(
        "Which backbone lights up where *your* objects are, and nowhere else? Bright: its channels fire there. "
        "PCA: places of one colour look alike to it."
    )

with controls:
    photos = choose_images()
    specs = choose_backbones()
    size = choose_size()
    tap = choose_tap()
    precision = choose_precision()
    look = choose_look(presenting(), probe=can_learn(photos))

show_need_of_photos(photos)
if not specs:
    st.info(
        "Choose at least one backbone in the sidebar; the built-in ones need no download.",
        icon=":material/layers:",
    )
    st.stop()

if presenting():
    with pager:
        shown = present_one(photos)
else:
    shown = page_of(photos)
numbers = None if presenting() else marks_panel(photos, marking)
failures, progress = st.container(), st.empty()
work = Work(
    photos=shown,
    specs=specs,
    size=size,
    slot=progress,
    precision=precision,
    tap=tap,
    pictures=[name for name in look.reductions if name in WITHOUT_BOXES],
    together=page_with(photos, shown[0]),
    taught=[photo for photo in photos if len(marks_of(photo).boxes)],
)
detections = choose_found(shown)
learned = learn_maps(photos, work, failures) if PROBE in look.reductions else None
draw_rows(work, look, room, learned, boxes_keeper(photos) if marking else None, detections=detections)
if numbers is not None:
    with numbers:
        show_mark_scores(photos, work, learned)
if not presenting():
    turn_page_below(photos)
    show_snippets(work)
with failures:
    show_outcome(work)
