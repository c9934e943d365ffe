"""A link that reopens the same samples, backbones and settings."""

from __future__ import annotations

from urllib.parse import urlencode

import streamlit as st


def share_link() -> None:
    """Show the address of this view; the widgets keep it up to date."""
    with st.popover("Share", icon=":material/link:"):
        st.write("This link reopens the same samples, backbones and settings. Uploaded images stay with you.")
        st.code(_address(), language=None, wrap_lines=True)


def _address() -> str:
    pairs = [(key, value) for key in st.query_params for value in st.query_params.get_all(key)]
    query = urlencode(pairs, safe=",:")
    base = (st.context.url or "").split("?")[0]
    return f"{base}?{query}" if query else base
