"""The entry of the app: page configuration and navigation."""

import streamlit as st

from pages.parts.guard import guarded

presenting = st.session_state.get("present", st.query_params.get("present") == "true")
st.set_page_config(
    page_title="CONV-FE",
    page_icon=":material/filter_center_focus:",
    layout="wide",
    initial_sidebar_state="collapsed" if presenting else "auto",
)

PAGES = [
    st.Page(
        "pages/views/compare.py",
        title="Compare",
        icon=":material/grid_view:",
        default=True,
        help="The max and mean maps of several backbones beside your images.",
    ),
    st.Page(
        "pages/views/rank.py",
        title="Rank",
        icon=":material/leaderboard:",
        help="Numbers behind the eye: which backbone separates your boxes, how sure, and at what cost.",
    ),
    st.Page(
        "pages/views/guide.py",
        title="Guide",
        icon=":material/menu_book:",
        help="How to read the maps, in a minute.",
    ),
    st.Page(
        "pages/views/system.py",
        title="System",
        icon=":material/memory:",
        help="Loaded backbones and memory.",
    ),
]

page = st.navigation(PAGES, position="hidden" if presenting else "top")
with guarded():
    page.run()
