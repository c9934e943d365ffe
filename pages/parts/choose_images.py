"""The sidebar's first question: which photographs?"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from convfe_core.errors import ConvfeError
from convfe_core.gallery import DEFAULT_SAMPLES, SAMPLES, load_sample
from convfe_core.images import Photo, open_photo, read_photo
from convfe_core.sources import fetch_photo, photos_in_folder
from pages.parts.session import hosted

MOST_UPLOADS = 100
FORMATS = ["jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "gif"]


@st.cache_data(show_spinner=False, max_entries=32)
def sample_photo(name: str) -> Photo:
    """One photograph of the gallery, decoded once."""
    return load_sample(name)


def choose_images() -> list[Photo]:
    """Ask for photographs; say in one line each what could not be read."""
    names = [sample.name for sample in SAMPLES]
    st.subheader("Images", anchor=False)
    uploads = st.file_uploader(
        "Your images",
        type=FORMATS,
        accept_multiple_files=True,
        key="uploads",
        help="JPEG, PNG, WebP, BMP, TIFF or GIF. They stay in memory and are dropped when you leave.",
    )
    photos: list[Photo] = []
    problems: list[str] = []
    if len(uploads) > MOST_UPLOADS:
        problems.append(
            f"Expected up to {MOST_UPLOADS} images at once. Received {len(uploads)}; the rest was left out."
        )
    for upload in uploads[:MOST_UPLOADS]:
        _read_into(photos, problems, upload.file_id, upload.name, upload.getvalue)
    if not hosted():
        _local_images(photos, problems)
    chosen = st.pills(
        "Sample photographs",
        names,
        selection_mode="multi",
        default=list(DEFAULT_SAMPLES),
        key="samples",
        bind="query-params",
        help="Real photographs that come with scikit-image; the Guide names their authors.",
    )
    photos += [sample_photo(name) for name in chosen if name in names]
    for problem in problems:
        st.error(problem, icon=":material/broken_image:")
    return list({photo.digest: photo for photo in photos}.values())


def _read_into(photos: list[Photo], problems: list[str], key: str, name: str, read: object) -> None:
    """Decode a file once a session; remember an error too, so that it is not tried on every rerun."""
    decoded: dict[str, Photo | str] = st.session_state.setdefault("decoded", {})
    if key not in decoded:
        try:
            decoded[key] = read_photo(read(), name) if callable(read) else open_photo(Path(name))
        except ConvfeError as error:
            decoded[key] = str(error)
    found = decoded[key]
    if isinstance(found, Photo):
        photos.append(found)
    else:
        problems.append(found)


def _local_images(photos: list[Photo], problems: list[str]) -> None:
    """Offer a folder and an address, which only someone at this machine may name."""
    with st.expander("Folder or address"):
        folder = st.text_input("Folder on this machine", key="folder", placeholder="photos/validation").strip()
        address = st.text_input("Address of an image", key="address", placeholder="https://…").strip()
    if folder:
        try:
            for path in photos_in_folder(Path(folder).expanduser())[:MOST_UPLOADS]:
                stamp = path.stat()
                _read_into(photos, problems, f"{path}:{stamp.st_mtime_ns}:{stamp.st_size}", str(path), None)
        except ConvfeError as error:
            problems.append(str(error))
    if address:
        fetched: dict[str, Photo] = st.session_state.setdefault("fetched", {})
        try:
            if address not in fetched:
                with st.spinner("Fetching the image …"):
                    fetched[address] = fetch_photo(address)
            photos.append(fetched[address])
        except ConvfeError as error:
            problems.append(str(error))
