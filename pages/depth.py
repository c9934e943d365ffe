"""Depth: every stage of one backbone, any of its layers, and the channels behind a map."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from convfe_core.base.errors import ConvfeError
from convfe_core.maps.channel_collapses import COLLAPSES
from convfe_core.user_models.model_card import map_layers
from pages.app.compute_maps import show_notes
from pages.app.load_network import load_network
from pages.app.navigation import enter
from pages.app.words import plain, show_error
from pages.sidebar.choose_backbones import choose_size
from pages.sidebar.choose_images import choose_images, show_need_of_photos
from pages.sidebar.choose_look import choose_look
from pages.sidebar.choose_one import choose_backbone
from pages.views.architecture_view import show_architecture
from pages.views.depth_view import (
    read_layer,
    show_channels,
    show_layer,
    show_stage_table,
    show_stages,
)
from pages.views.grid import page_of, turn_page_below

enter()
with st.sidebar:
    photos = choose_images()
    spec, _ = choose_backbone("depth")
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
    staged = network.staged
except ConvfeError as error:
    show_error(error)
    st.stop()

st.subheader("Stages", anchor=False)
show_stage_table(staged)
for photo in page_of(photos):
    with st.spinner(f"{plain(spec.label)}: {plain(photo.name)}"):
        show_stages(staged, spec, photo, size, look)
turn_page_below(photos)

st.subheader("One layer, and its channels", anchor=False)
names = {photo.name: photo for photo in photos}
with st.container(horizontal=True):
    layers = ["auto", *(stage.tap.name for stage in staged.stages), *reversed(map_layers(staged.network.model))]
    layer = st.selectbox(
        "Layer",
        layers,
        format_func=lambda name: f"{network.network.tap.layer} (the usual one)" if name == "auto" else name,
        key=f"depth_layer_{spec.label}",
        help="A stage, or any layer by its name: type to search.",
    )
    name = st.selectbox("Image", list(names), key="depth_image")
    more = st.pills(
        "Beside max and mean",
        list(COLLAPSES),
        selection_mode="multi",
        key="collapses",
        help="More ways to collapse the channels.",
    )
try:
    with st.spinner(f"{plain(spec.label)}: {plain(layer or 'auto')}"):
        reader = network.reader(layer or "auto")
        features = read_layer(reader, spec, names.get(name or "", photos[0]), size)
    show_layer(reader, features, look, more)
    show_channels(reader, features, replace(look, panel_width=max(look.panel_width, 300)))
except ConvfeError as error:
    show_error(error)

st.subheader("The architecture at a glance", anchor=False)
show_architecture(network.network)
