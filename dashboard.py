"""The entry of the app: page configuration and navigation."""

import streamlit as st

from convfe_core.machine.tensorflow_import import keep_lean, keep_session
from convfe_core.serving.ending import end_in_order
from pages.app.guard import guarded
from pages.app.navigation import configure_page, pages
from pages.app.process import warmed_up_afterwards
from pages.app.session import DRAWN, ENTERED, presenting
from pages.app.upload_guard import guard_uploads

keep_lean()
keep_session()
end_in_order()
guard_uploads()
configure_page(presenting=presenting())

ENTERED.set(True)
DRAWN.set(False)
page = st.navigation(pages(), position="hidden" if presenting() else "top")
with guarded(), warmed_up_afterwards():
    page.run()
    DRAWN.set(True)
