"""Uploads that outlive a change of page, with which Streamlit empties every uploader."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st


def uploader_was_emptied(key: str) -> bool:
    """Whether this page was just come to; asked before its uploader, of that key, is drawn."""
    return key not in st.session_state


def earlier_uploads(key: str, shown: Sequence[str], *, emptied: bool, replaced: bool = False) -> list[str]:
    """List the uploads of earlier visits to pages with this uploader, and offer to take them away.

    Parameters
    ----------
    key : of the uploader
    shown : ids of the files that it shows
    emptied : whether this page was just come to, see `uploader_was_emptied`
    replaced : whether what the uploader shows takes the place of what it showed earlier

    Returns
    -------
    their ids, the first one first
    """
    earlier: list[str] = st.session_state.get(f"{key}_earlier", [])
    if replaced:
        earlier = []
    elif emptied:
        earlier = [*earlier, *st.session_state.get(f"{key}_shown", [])]
    st.session_state[f"{key}_earlier"], st.session_state[f"{key}_shown"] = earlier, list(shown)
    if earlier:
        st.button(
            f"Remove earlier uploads ({len(earlier)})",
            key=f"{key}_remove",
            icon=":material/close:",
            on_click=earlier.clear,
            help="They stay when you change pages, until you remove them or leave.",
        )
    return earlier
