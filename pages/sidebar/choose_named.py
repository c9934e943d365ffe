"""One of several named things; the choice stands in the page's address."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st


def choose_named(label: str, words: Mapping[str, str], key: str, help_text: str) -> str:
    """Ask for one of several things, the first unless the address names another.

    Parameters
    ----------
    words : what each is called on the page
    key : of the widget, and in the address
    """
    chosen = st.selectbox(
        label,
        list(words),
        format_func=lambda name: words.get(name, name),
        key=key,
        bind="query-params",
        help=help_text,
    )
    return chosen if chosen in words else next(iter(words))
