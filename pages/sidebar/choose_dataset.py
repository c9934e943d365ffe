"""The Rank page's first question: which images, and where are their boxes?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from convfe_core.base.errors import AnnotationError, ConvfeError
from convfe_core.base.file_sets import DatasetLimits, FileSet, UploadedFiles, ZipFiles, open_files
from convfe_core.base.wording import counted, display_name
from convfe_core.datasets.boxes import Dataset
from convfe_core.datasets.read_dataset import open_boxes, read_dataset
from convfe_core.datasets.samples import read_samples
from pages.app.session import CARRIED, DATASETS, widget_is_new
from pages.app.visitor import allowance
from pages.app.words import plain, show_error, told
from pages.sidebar.choose_images import READING
from pages.sidebar.uploads import earlier_uploads


def choose_dataset() -> Dataset | None:
    """Ask for images with boxes; None until there are some."""
    st.subheader("Images with boxes", anchor=False)
    carried = CARRIED.get()
    if carried is not None:
        st.button(
            f"Close {plain(carried.name)} ({len(carried.images)})",
            key="close-carried",
            icon=":material/close:",
            on_click=put_aside,
        )
    emptied = widget_is_new("dataset_uploads")
    uploads = st.file_uploader(
        "Images and their annotations, or one zip",
        accept_multiple_files=True,
        key="dataset_uploads",
        on_change=put_aside,
        help="Pascal VOC XML, YOLO text or COCO JSON beside the images, or one zip of such a folder. "
        "Everything stays in memory and is dropped when you leave.",
    )
    shown = [upload.file_id for upload in uploads]
    earlier = earlier_uploads("dataset_uploads", shown, emptied=emptied, replaced=bool(shown))
    folder = boxes = ""
    limit = None
    if allowance().this_machine:
        folder = st.text_input(
            "Folder on this machine",
            key="dataset_folder",
            placeholder="data/validation",
            persist_state="session",
            on_change=put_aside,
        ).strip()
        with st.expander("Boxes elsewhere, fewer images"):
            boxes = st.text_input(
                "Boxes",
                key="dataset_boxes",
                placeholder="instances_val.json",
                persist_state="session",
                help="A folder, a COCO file or a data.yaml, where the boxes do not lie beside the images.",
            ).strip()
            limit = st.number_input(
                "Use at most, images", 1, None, None, key="dataset_limit", placeholder="all", persist_state="session"
            )
    if carried is not None:
        return carried
    if not shown and not earlier and not folder:
        return None
    uploaded = ("uploads", *(shown or earlier))
    key = ("folder", folder, boxes, limit) if folder else uploaded
    datasets = DATASETS.get()
    if key not in datasets:
        with st.spinner("Reading the boxes …"):
            datasets[key] = _read(uploads, folder, boxes, limit)
    for other in set(datasets) - {key, uploaded}:
        del datasets[other]
    found = datasets[key]
    if isinstance(found, Dataset):
        return found
    show_error(found, icon=":material/broken_image:")
    return None


def put_aside() -> None:
    """Let go of what was carried here; files that are chosen afterwards take its place."""
    CARRIED.set(None)


def offer_samples() -> None:
    """Offer the data set that comes along, to those who have none at hand."""
    if st.button(
        "Try it with sample photographs",
        key="dataset_samples",
        type="primary",
        icon=":material/photo_library:",
        help="Photographs that come with scikit-image, and boxes that we drew around their objects by hand.",
    ):
        try:
            CARRIED.set(read_samples())
        except ConvfeError as error:
            show_error(error)
        else:
            st.rerun()


def _read(uploads: Sequence[UploadedFile], folder: str, boxes: str, limit: int | None) -> Dataset | str:
    """Read the boxes, or say in a sentence why there are none."""
    waiting = st.empty()  # writing something lets Streamlit end this run when its visitor has left
    try:
        if folder:
            source = open_files(Path(folder).expanduser())
            return read_dataset(source, open_boxes(Path(boxes).expanduser()) if boxes else None, limit)
        limits = allowance().dataset
        archives = [upload for upload in uploads if upload.name.lower().endswith(".zip")]
        if archives and len(uploads) > 1:
            raise AnnotationError(f"Expected one zip, or files without a zip. Received {len(uploads)} files.")

        def tell(before: int) -> None:
            waiting.caption(f"Waiting for {before} other visitors' files …")

        with READING.passing(tell):
            return read_dataset(_brought(uploads, archives, limits), limits=limits)
    except ConvfeError as error:
        return told(error)
    finally:
        waiting.empty()


def _brought(uploads: Sequence[UploadedFile], archives: Sequence[UploadedFile], limits: DatasetLimits) -> FileSet:
    if archives:
        return ZipFiles(archives[0].getvalue(), display_name(archives[0].name), limits)
    return UploadedFiles(((upload.name, upload.getvalue()) for upload in uploads), limits=limits)


def show_dataset(dataset: Dataset) -> None:
    """Say what was read and what was decided about it, and list what was not used."""
    st.caption(f"**{plain(dataset.name)}**: {dataset.in_words}.")
    if dataset.notes:
        st.caption("\n".join(f"- {plain(note)}" for note in dataset.notes))
    if dataset.skipped:
        with st.expander(f"Not used: {counted(len(dataset.skipped), 'file or box', 'files or boxes')}"):
            st.dataframe(
                [{"File": one.file, "Reason": one.reason} for one in dataset.skipped],
                hide_index=True,
                alt="What of the data set was not used, and why",
            )
