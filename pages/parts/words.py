"""Words from outside, such as file names and what an address says, shown as they are and never as markup."""

from __future__ import annotations

import re

import streamlit as st

_MARKUP = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>$:~^&\"'=@])")


def plain(text: str) -> str:
    r"""Escape what Streamlit's Markdown would take for markup: links, pictures, formulas, colours, HTML.

    Examples
    --------
    >>> plain("![x](y) $a$.png")
    '\\!\\[x\\]\\(y\\) \\$a\\$\\.png'
    """
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def show_error(text: str, icon: str = ":material/error:") -> None:
    """Show one sentence that went wrong, with whatever names it holds."""
    st.error(plain(text), icon=icon)
