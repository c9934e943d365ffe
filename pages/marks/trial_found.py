"""What the detectors of Rank's last trial found on the photographs of Compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from convfe_core.photos.photo import Photo
from convfe_core.trial.found_boxes import FOUND_LINES, FoundBoxes, found_boxes, found_png
from pages.app.session import FOUND, RANKED
from pages.app.words import plain
from pages.marks.kept_marks import marks_of

if TYPE_CHECKING:
    from convfe_core.trial.trial_run import Tried


def choose_found(photos: Sequence[Photo]) -> bool:
    """Ask whether to show what detectors found, where they were tried on any of these photographs.

    Parameters
    ----------
    photos : those that are shown; pictures of others are no longer kept
    """
    made, shown = FOUND.get(), {photo.digest for photo in photos}
    for key in [key for key in made if key[0] not in shown]:
        del made[key]
    return any(_tried_on(photo) for photo in photos) and st.toggle(
        "Show detections",
        key="detections",
        persist_state="session",
        help="What the small detectors of the trial on Rank found here. They had not seen the photograph.",
    )


def show_found(photo: Photo) -> None:
    """Show what each detector found on a photograph; nothing where none was tried with the boxes that it has now."""
    tried = _tried_on(photo)
    if not tried:
        return
    for column, (label, (one, number)) in zip(st.columns(max(len(tried), 4)), tried.items(), strict=False):
        found, picture = _drawn(photo, label, one, number)
        column.image(picture, caption=f"{plain(label)}: {found.in_words}")
    st.caption(f"Small detectors that had not seen this photograph: {FOUND_LINES}.")


def _drawn(photo: Photo, label: str, one: Tried, number: int) -> tuple[FoundBoxes, bytes]:
    """What a detector found on a photograph, and its picture, drawn once for each trial."""
    made, key = FOUND.get(), (photo.digest, label)
    if key not in made or made[key][0] is not one:
        found = found_boxes(one, number)
        made[key] = one, found, found_png(photo, found)
    return made[key][1:]


def _tried_on(photo: Photo) -> dict[str, tuple[Tried, int]]:
    """By backbone its trial, and the number of the photograph there."""
    ranked, marks = RANKED.get(), marks_of(photo)
    tried = {one.label: one.tried for one in ranked.results if one.tried is not None} if ranked else {}
    return {
        label: (one, number)
        for label, one in tried.items()
        for number, image in enumerate(one.images)
        if image.image == marks.image and np.array_equal(image.boxes, marks.boxes)
    }
