"""The architecture at a glance: a table of layers to search, the summary as text, the blocks as a picture."""

from __future__ import annotations

import streamlit as st

from convfe_core.base.wording import file_stem
from convfe_core.catalog.specs import Spec
from convfe_core.inspection.block_diagram import blocks_dot
from convfe_core.inspection.layer_table import can_draw, can_plot, layer_table, plot_layers, summary_text
from pages.app.compute_maps import load_network
from pages.app.guard import guarded_download, redrawn_alone
from pages.app.process import backbone_pool
from pages.sidebar.choose_look import ink

SMALLEST_DRAWING = 640
"""Pixels below which a drawing of blocks scrolls sideways instead of shrinking further."""
COLUMNS = {
    "output": st.column_config.TextColumn(help="Height × width × channels of what the layer returns."),
    "parameters": st.column_config.NumberColumn(format="localized", help="Numbers that training sets."),
    "stride": st.column_config.TextColumn(help="Pixels of the input from one cell to the next; empty without a map."),
}


@redrawn_alone
def show_architecture(spec: Spec) -> None:
    """Show what a network is made of."""
    network = load_network(spec).network
    rows = layer_table(network)
    total = sum(row["parameters"] for row in rows)
    st.caption(f"{len(rows)} layers, {total:,} parameters; shapes at {network.native_size} pixels.")
    wanted = st.text_input("Search", key="layer_search", placeholder="Name or type of layers").strip().lower()
    found = [row for row in rows if wanted in row["name"].lower() or wanted in row["type"].lower()]
    if wanted:
        st.caption(f"{len(found)} of {len(rows)} layers have that in their name or type.")
    if found:
        st.dataframe(found, hide_index=True, height=320, column_config=COLUMNS, alt=f"The layers of {network.label}")
    stem = file_stem(network.label)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "Summary as text",
            guarded_download(lambda: summary_text(backbone_pool().every_layer(spec).network)),
            f"{stem}-layers.txt",
            "text/plain",
            key="summary",
            icon=":material/download:",
            on_click="ignore",
        )
        if not can_draw(network):
            return
        st.download_button(
            "Plot of all layers",
            guarded_download(lambda: plot_layers(network)),
            f"{stem}-layers.svg",
            "image/svg+xml",
            key="plot",
            icon=":material/account_tree:",
            on_click="ignore",
            disabled=not can_plot(),
            help="Keras' plot_model, as SVG.",
        )
        blocks = st.toggle(
            "Show the blocks",
            key="blocks",
            help="Layers that follow each other share a box; lines show where the network branches and joins.",
        )
    if not can_plot():
        st.caption(
            "The plot of all layers needs Graphviz and pydot, which are not on this machine "
            "(`apt install graphviz`, `pip install pydot`); the blocks are drawn without them."
        )
    if blocks:
        st.html(f"<style>.st-key-drawing [data-testid=stGraphVizChart] {{min-width: {SMALLEST_DRAWING}px}}</style>")
        with st.container(height=640, key="drawing"):
            st.graphviz_chart(blocks_dot(network, ink()), width="content", alt=f"The blocks of {network.label}")
