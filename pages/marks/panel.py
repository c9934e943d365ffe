"""Marking objects on Compare: the switch, and above the rows what the marks say and what can be done with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from convfe_core.base.errors import ConvfeError
from convfe_core.base.wording import counted, display_name
from convfe_core.datasets.boxes import ImageBoxes
from convfe_core.datasets.write_coco import coco_json
from convfe_core.marks.first_look import FirstLook
from convfe_core.marks.marked_photos import marked_dataset, read_marks, with_names_of_their_own
from convfe_core.photos.photo import Photo
from convfe_core.scoring.bootstrap import Estimate
from pages.app.compute_maps import Work
from pages.app.guard import guarded_download
from pages.app.navigation import go_to
from pages.app.session import CARRIED, LOADED_MARKS, MARKS_SAID
from pages.app.visitor import allowance
from pages.app.words import plain, told
from pages.marks.kept_marks import add_marks, marks_of, marks_reader, remove_marks
from pages.marks.learned_maps import Learned
from pages.marks.mark_scores import score_all

YOUR_MARKS = "your marks"
WHAT_S_IS = (
    "AUROC: how often a cell in a box is brighter than one outside; 0.5 is chance. S: how much better a map finds a "
    "photograph's own boxes than those of the other marked photographs; 0 is chance, 0.5 about the most. In brackets "
    "the 95 % interval over photographs."
)


def choose_marking() -> bool:
    """Ask whether boxes can be drawn."""
    return st.toggle(
        "Mark objects",
        key="marking",
        persist_state="session",
        help="Drag a box around each object on a photograph. Every map then says how well it finds them.",
    )


def marks_panel(photos: Sequence[Photo], marking: bool) -> DeltaGenerator | None:
    """Offer what can be done with marks, where there are some or can be.

    Call it before the rows are drawn, for a file may add boxes to them.

    Returns
    -------
    a place for `show_mark_scores`
    """
    if not marking and not _marked(photos):
        return None
    with st.container(border=True, key="marks", gap="small"):
        numbers = st.container(gap="small")
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            _offer(photos)
        for sentence in MARKS_SAID.get():
            st.caption(f":material/info: {plain(sentence)}")
    return numbers


def _marked(photos: Sequence[Photo]) -> list[Photo]:
    return [photo for photo in photos if len(marks_of(photo).boxes)]


def _offer(photos: Sequence[Photo]) -> None:
    with st.popover("Load", icon=":material/upload:", help="Boxes from a COCO file, for the photographs here."):
        _load(photos)
    marked = _marked(photos)
    read = marks_reader()
    st.download_button(
        "Save",
        guarded_download(lambda: _file_of_marks({photo.digest: read(photo) for photo in photos})),
        "convfe-marks.json",
        "application/json",
        key="marks-save",
        icon=":material/download:",
        on_click="ignore",
        disabled=not marked,
        help="As COCO JSON: Load takes it here, Rank and `convfe rank PHOTOS --boxes convfe-marks.json` there.",
    )
    if st.button(
        "Rank these",
        key="marks-rank",
        icon=":material/leaderboard:",
        disabled=not marked,
        help="Takes the marked photographs to Rank, which adds untrained controls, costs and a report.",
    ):
        CARRIED.set(marked_dataset([(photo, marks_of(photo)) for photo in marked], YOUR_MARKS))
        go_to("Rank")
    st.button(
        "Remove all",
        key="marks-remove",
        icon=":material/delete:",
        type="tertiary",
        disabled=not marked,
        on_click=remove_marks,
        args=(marked,),
        help="Takes every box off the photographs that are chosen; save them first if you may want them again.",
    )


def show_mark_scores(photos: Sequence[Photo], work: Work, learned: Mapping[str, Learned] | None) -> None:
    """Say what the marks tell so far; call it when the rows are drawn."""
    look = score_all(photos, work, learned)
    st.markdown(f"**{plain(look.text)}**", help=WHAT_S_IS)
    if look.ranking is not None:
        st.markdown(_table(look))


def _table(look: FirstLook) -> str:
    """One line a backbone, S of each of its maps."""
    ranked = look.ranking.backbones if look.ranking else ()
    names = list(dict.fromkeys(name for one in ranked for name in one.separation))
    lines = [["Backbone", *(f"S of {name}" for name in names)], ["---"] * (1 + len(names))]
    for one in ranked:
        lines.append([plain(one.label), *(_estimate(one.separation[name].S) for name in names if one.separation)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _estimate(found: Estimate) -> str:
    value, low, high = (f"{one:+.2f}".replace("-", "−") for one in (found.value, found.low, found.high))
    return f"**{value}** ({low} to {high})"


def _file_of_marks(marks: Mapping[str, ImageBoxes]) -> str:
    return coco_json(with_names_of_their_own({digest: one for digest, one in marks.items() if len(one.boxes)}).values())


def _load(photos: Sequence[Photo]) -> None:
    """Read each file once; its boxes join those that are there, and the page begins anew with them."""
    limits = allowance().dataset
    uploads = st.file_uploader(
        "A COCO file with boxes",
        accept_multiple_files=True,
        key="marks_file",
        max_upload_size=limits.json_bytes // 1_000_000,
        help="They join the boxes that are there.",
    )
    added = False
    for upload in uploads:
        if upload.file_id in LOADED_MARKS.get():
            continue
        LOADED_MARKS.get().add(upload.file_id)
        name = display_name(upload.name)
        try:
            read = read_marks(upload.getvalue(), name, {photo.digest: marks_of(photo) for photo in photos}, limits)
        except ConvfeError as error:
            MARKS_SAID.set((told(error),))
        else:
            MARKS_SAID.set((f"{name}: {counted(add_marks(photos, read.marks), 'box', 'boxes')} added.", *read.said))
            added = True
    if added:
        st.rerun()
