"""What pages are made of.

Streamlit takes a folder called ``pages`` for an app of its older kind, which ``st.navigation`` never sees, until
``st.navigation`` has run once in the process. A first visitor who comes by a link to a page would get that page alone,
so the first import in a process ends such a run and begins one that goes through ``dashboard.py``.
"""

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

if PagesManager.uses_pages_directory:
    PagesManager.uses_pages_directory = False
    st.rerun()
