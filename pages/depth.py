"""Depth: every stage of one backbone, any of its layers, and the channels behind a map."""

from __future__ import annotations

import streamlit as st

from convfe_core.base.errors import ConvfeError
from pages.app.compute_maps import load_network, show_notes
from pages.app.navigation import enter
from pages.app.words import plain, show_error
from pages.charts.window_width import window_width
from pages.sidebar.choose_backbones import choose_size
from pages.sidebar.choose_images import show_need_of_photos
from pages.sidebar.choose_look import choose_look
from pages.sidebar.choose_one import choose_photos_and_backbone
from pages.views.architecture_view import show_architecture
from pages.views.depth_view import show_one_layer, show_stage_table, show_stages
from pages.views.grid import page_of, turn_page_below

enter()
room = window_width()

with st.sidebar:
    photos, spec, _ = choose_photos_and_backbone("depth")
    size = choose_size()
    look = choose_look(scopes=False)

st.title("Depth", anchor=False)
show_need_of_photos(photos)
st.write(
    f"Which level of **{plain(spec.label)}** shows what you need? Early stages are fine and see little; "
    "late ones are coarse and see much."
)
try:
    network = load_network(spec)
    show_notes({spec.label: network.network.notes})
    stages = network.stages
except ConvfeError as error:
    show_error(error)
    st.stop()

st.subheader("Stages", anchor=False)
show_stage_table(stages)
shown = page_of(photos)
for photo in shown:
    with st.spinner(f"{plain(spec.label)}: {plain(photo.name)}"):
        show_stages(stages, spec, photo, size, look, shown, room)
turn_page_below(photos)

st.subheader("One layer, and its channels", anchor=False)
show_one_layer(spec, photos, size, look)

st.subheader("The architecture at a glance", anchor=False)
show_architecture(spec)
