"""The entry of the app: page configuration and navigation."""

import streamlit as st

from convfe_core.base.tensorflow_import import keep_lean
from pages.app.ahead_of_time import warmed_up_afterwards
from pages.app.guard import guarded
from pages.app.navigation import ENTERED, configure_page, pages
from pages.app.upload_guard import guard_uploads

keep_lean()
guard_uploads()
presenting = st.session_state.get("present", st.query_params.get("present") == "true")
configure_page(presenting=presenting)

st.session_state[ENTERED] = True
page = st.navigation(pages(), position="hidden" if presenting else "top")
with guarded(), warmed_up_afterwards():
    page.run()
