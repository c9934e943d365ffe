"""Which pages there are, the way to each of them through dashboard.py, and the link to a view."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn
from urllib.parse import urlencode

import streamlit as st

from pages.app.session import ENTERED

ICON = Path(__file__).parents[1] / "icon.svg"
STYLE = Path(__file__).parent / "style.css"
SIDEBAR_WIDTH = 320
"""Pixels, so that a question stands beside its answer."""


def configure_page(*, presenting: bool = False) -> None:
    """Name the app in the browser's tab; with no icon of its own Streamlit would fetch a page's from a font host."""
    st.set_page_config(
        page_title="CONV-FE",
        page_icon=ICON,
        layout="wide",
        initial_sidebar_state="collapsed" if presenting else SIDEBAR_WIDTH,
    )
    st.html(STYLE)


_PAGES = (
    ("Compare", "grid_view", "The max and mean maps of several backbones beside your images."),
    ("Rank", "leaderboard", "Numbers behind the eye: which backbone separates your boxes, how sure, and at what cost."),
    ("Inspect", "troubleshoot", "One network, yours or another, beside its control, and a report on its health."),
    ("Depth", "layers", "Every stage of one backbone, any layer, and the channels behind a map."),
    ("Guide", "menu_book", "How to read the maps, in a minute."),
    ("System", "memory", "Loaded backbones and memory."),
)
"""Title, icon and help of each page, the first page first; its file has its title's name."""


def pages() -> list[st.Page]:
    """List the pages in the order of the navigation."""
    return [
        st.Page(
            f"pages/{title.lower()}.py",
            title=title,
            icon=f":material/{icon}:",
            default=title == _PAGES[0][0],
            help=words,
        )
        for title, icon, words in _PAGES
    ]


def enter() -> None:
    """Send a page through dashboard.py if it was started on its own.

    A fresh server that is first asked for a page by its address runs the script in ``pages/`` alone: Streamlit takes
    the folder for an app of the older kind until it has seen ``st.navigation``.
    """
    if not ENTERED.get():
        configure_page()
        st.navigation(pages(), position="hidden")
        st.rerun()


def go_to(title: str) -> NoReturn:
    """End this run and open another page.

    The address loses its settings, which that page's own widgets write again. Streamlit refuses to leave them out where
    a widget is bound to one, and takes it when none are asked for.
    """
    st.switch_page(f"pages/{title.lower()}.py", query_params={})


def share_link() -> None:
    """Show the address that reopens the same samples, backbones and settings; the widgets keep it up to date."""
    with st.popover("Share", icon=":material/link:"):
        st.write("This link reopens the same samples, backbones and settings. Uploaded images stay with you.")
        pairs = [(key, value) for key in st.query_params for value in st.query_params.get_all(key)]
        query = urlencode(pairs, safe=",:")
        base = (st.context.url or "").split("?")[0]
        st.code(f"{base}?{query}" if query else base, language=None, wrap_lines=True)
