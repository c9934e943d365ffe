"""Inspect: one network on the user's images against what it should be compared with, and a report on its health."""

from __future__ import annotations

import streamlit as st

from convfe_core.base.errors import ConvfeError
from pages.app.compute_maps import Work, show_outcome
from pages.app.navigation import enter
from pages.app.words import plain, show_error
from pages.charts.window_width import window_width
from pages.sidebar.choose_backbones import choose_size
from pages.sidebar.choose_images import show_need_of_photos
from pages.sidebar.choose_look import choose_look
from pages.sidebar.choose_one import choose_photos_and_backbone, choose_references, common_size
from pages.views.comparison import choose_scale, show_comparison
from pages.views.grid import page_of, turn_page_below
from pages.views.health_view import health_report, show_checks, show_verdict

enter()
room = window_width()

with st.sidebar:
    photos, spec, own = choose_photos_and_backbone("inspect")
    references = choose_references(spec, own)
    scale = choose_scale()
    size = common_size(spec, choose_size())
    look = choose_look(scopes=False)

st.title("Inspect", anchor=False)
show_need_of_photos(photos)
st.write(
    f"Is **{plain(spec.label)}** in order? Its maps beside those it should be compared with, then a health report."
)
verdict = st.container()
failures, progress = st.container(), st.empty()
work = Work(photos=page_of(photos), specs=[spec, *references], size=size, slot=progress, pictures=look.reductions)
for photo, found in work.rows():
    if found:
        show_comparison(photo, found, scale, look, room)
turn_page_below(photos)
with failures:
    show_outcome(work)

st.subheader("Health", anchor=False)
try:
    report = health_report(spec, size, photos)
    show_checks(report)
    with verdict:
        show_verdict(report)
except ConvfeError as error:
    show_error(error)
