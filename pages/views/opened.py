"""Images with boxes that another page sent to Compare."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from convfe_core.datasets.boxes import ImageBoxes
from convfe_core.photos.photo import Photo
from pages.app.navigation import go_to
from pages.app.session import BOXES, OPENED


def open_in_compare(images: Sequence[tuple[Photo, ImageBoxes]]) -> None:
    """Show these photographs, with their boxes, on the Compare page."""
    OPENED.set([photo for photo, _ in images])
    BOXES.set({photo.digest: boxes for photo, boxes in images})
    go_to("Compare")


def opened_images() -> list[Photo]:
    """List what was sent here, with a way to put it aside."""
    opened = OPENED.get()
    if opened and st.button(f"Close images from Rank ({len(opened)})", icon=":material/close:", key="close-opened"):
        OPENED.set([])
        BOXES.set({})
        st.rerun()
    return opened
