"""Words from outside, such as file names and what an address says, shown as they are and never as markup."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

import streamlit as st

from convfe_core.base.errors import ConvfeError
from pages.app.visitor import hosted

LOGGER = logging.getLogger("convfe")
MOST_LISTED = 200

_MARKUP = re.compile(
    r"""[\\`*\[\]<>|$~^&]      # always
    | (?<![^\W_])_|_(?![^\W_])  # unless between letters
    | :(?=[A-Za-z0-9+\-])       # begins a symbol's or a colour's name
    | ^(?:[#=+\-]|\d+(?=[.)]))  # begins a heading or a list
    """,
    re.VERBOSE,
)


def plain(text: str) -> str:
    r"""Escape what Streamlit's Markdown would take for markup: links, pictures, formulas, colours, HTML.

    Examples
    --------
    >>> plain("![x](y) $a$ my_file.png")
    '!\\[x\\](y) \\$a\\$ my_file.png'
    """
    return _MARKUP.sub(_escaped, " ".join(text.split()))


def _escaped(match: re.Match[str]) -> str:
    found = match.group()
    return f"{found}\u200b" if found.isdecimal() else f"\\{found}"


def listed(numbers: Sequence[int]) -> str:
    """Name numbers one by one, or the first of them where there are too many to read."""
    more = f" and {len(numbers) - MOST_LISTED} more" if len(numbers) > MOST_LISTED else ""
    return f"{', '.join(map(str, numbers[:MOST_LISTED]))}{more}"


def told(error: ConvfeError) -> str:
    """An error as the visitor may read it; what only the host can put right goes to the log."""
    if not hosted():
        return str(error)
    if error.in_public != str(error):
        LOGGER.warning("%s", error)
    return error.in_public


def show_error(error: ConvfeError | str, icon: str = ":material/error:") -> None:
    """Show one sentence that went wrong, with whatever names it holds."""
    st.error(plain(told(error) if isinstance(error, ConvfeError) else error), icon=icon)
