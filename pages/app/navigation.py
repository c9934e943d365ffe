"""Which pages there are, and the way to each of them through dashboard.py."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

ENTERED = "entered"
ICON = Path(__file__).parents[1] / "icon.svg"


def configure_page(*, presenting: bool = False) -> None:
    """Name the app in the browser's tab; with no icon of its own Streamlit would fetch a page's from a font host."""
    st.set_page_config(
        page_title="CONV-FE",
        page_icon=ICON,
        layout="wide",
        initial_sidebar_state="collapsed" if presenting else "auto",
    )


def pages() -> list[st.Page]:
    """List the pages in the order of the navigation."""
    return [
        st.Page(
            "pages/compare.py",
            title="Compare",
            icon=":material/grid_view:",
            default=True,
            help="The max and mean maps of several backbones beside your images.",
        ),
        st.Page(
            "pages/rank.py",
            title="Rank",
            icon=":material/leaderboard:",
            help="Numbers behind the eye: which backbone separates your boxes, how sure, and at what cost.",
        ),
        st.Page(
            "pages/inspect.py",
            title="Inspect",
            icon=":material/troubleshoot:",
            help="One network, yours or another, beside its control, and a report on its health.",
        ),
        st.Page(
            "pages/depth.py",
            title="Depth",
            icon=":material/layers:",
            help="Every stage of one backbone, any layer, and the channels behind a map.",
        ),
        st.Page(
            "pages/guide.py",
            title="Guide",
            icon=":material/menu_book:",
            help="How to read the maps, in a minute.",
        ),
        st.Page(
            "pages/system.py",
            title="System",
            icon=":material/memory:",
            help="Loaded backbones and memory.",
        ),
    ]


def enter() -> None:
    """Send a page through dashboard.py if it was started on its own.

    A fresh server that is first asked for a page by its address runs the script in ``pages/`` alone: Streamlit takes
    the folder for an app of the older kind until it has seen ``st.navigation``.
    """
    if ENTERED not in st.session_state:
        configure_page()
        st.navigation(pages(), position="hidden")
        st.rerun()
