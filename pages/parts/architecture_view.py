"""The architecture at a glance: a table of layers to search, the summary as text, the blocks as a picture."""

from __future__ import annotations

import streamlit as st

from convfe_core.backbones import Network
from convfe_core.catalog import file_stem
from convfe_core.layer_table import block_picture, layer_table, summary_text
from pages.parts.words import plain


def show_architecture(network: Network) -> None:
    """Show what a network is made of."""
    rows = layer_table(network)
    total = sum(row["parameters"] for row in rows)
    st.caption(f"{len(rows)} layers, {total:,} parameters; shapes at {network.native_size} pixels.")
    st.dataframe(rows, hide_index=True, height=320, alt=f"The layers of {network.label}")
    stem = file_stem(network.label)
    st.download_button(
        "Summary as text",
        lambda: summary_text(network),
        f"{stem}-layers.txt",
        "text/plain",
        key="summary",
        icon=":material/download:",
        on_click="ignore",
    )
    if st.toggle("Blocks as a picture", key="blocks"):
        with st.spinner(f"Drawing the blocks of {plain(network.label)} …"):
            picture = block_picture(network)
        st.write(picture is None)
