"""Uploads that outlive a change of page, with which Streamlit empties every uploader."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.app.session import EARLIER_UPLOADS, SHOWN_UPLOADS


def earlier_uploads(key: str, shown: Sequence[str], *, emptied: bool, replaced: bool = False) -> list[str]:
    """List the uploads of earlier visits to pages with this uploader, and offer to take them away.

    Parameters
    ----------
    key : of the uploader
    shown : ids of the files that it shows
    emptied : whether this page was just come to, see `pages.app.session.widget_is_new`
    replaced : whether what the uploader shows takes the place of what it showed earlier

    Returns
    -------
    their ids, the first one first
    """
    earlier = [] if replaced else EARLIER_UPLOADS.get().get(key, [])
    if emptied and not replaced:
        earlier = [*earlier, *SHOWN_UPLOADS.get().get(key, [])]
    EARLIER_UPLOADS.get()[key], SHOWN_UPLOADS.get()[key] = earlier, list(shown)
    if earlier:
        st.button(
            f"Remove earlier uploads ({len(earlier)})",
            key=f"{key}_remove",
            icon=":material/close:",
            on_click=earlier.clear,
            help="They stay when you change pages, until you remove them or leave.",
        )
    return earlier
