"""The sidebar's first question: which photographs?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.uploaded_file_manager import UploadedFile

from convfe_core.base.errors import ConvfeError
from convfe_core.machine.machine_queue import Gate
from convfe_core.photos.gallery import DEFAULT_SAMPLES, SAMPLES, load_sample
from convfe_core.photos.letterbox import reduce_photo
from convfe_core.photos.photo import Photo, open_photo, read_photo
from convfe_core.photos.photo_download import fetch_photo
from convfe_core.photos.photo_folders import photos_in_folder
from convfe_core.photos.picture_formats import SEVERAL_FORMATS
from convfe_core.serving.visitors import Allowance
from pages.app.session import DECODED, forget_others, widget_is_new
from pages.app.visitor import allowance
from pages.app.words import plain, show_error, told
from pages.sidebar.uploads import earlier_uploads
from pages.views.opened import opened_images

READING = Gate()
"""Large photographs take much memory while they are decoded: one at a time in the whole process."""


@st.cache_data(show_spinner=False, max_entries=32)
def sample_photo(name: str) -> Photo:
    """One photograph of the gallery, decoded once."""
    return load_sample(name)


def choose_images() -> list[Photo]:
    """Ask for photographs; say in one line each what could not be read."""
    names = [sample.name for sample in SAMPLES]
    allowed = allowance()
    st.subheader(
        "Images",
        anchor=False,
        help=f"{SEVERAL_FORMATS}, whatever their names. They stay in memory and are dropped when you leave.",
    )
    emptied = widget_is_new("uploads")
    uploads = st.file_uploader(
        "Your images",
        accept_multiple_files=True,
        key="uploads",
        max_upload_size=allowed.images.max_bytes // 1_000_000,
        label_visibility="collapsed",
    )
    reader, waiting = _Reader(allowed), st.empty()
    for file_id in earlier_uploads("uploads", [upload.file_id for upload in uploads], emptied=emptied):
        reader.take_again(file_id)
    for upload in uploads:
        reader.take(upload.file_id, partial(_decode_upload, upload, allowed, waiting))
    waiting.empty()
    if allowed.this_machine:
        _local_images(reader)
    reader.forget_the_rest()
    opened = opened_images()
    chosen = st.pills(
        "Sample photographs",
        names,
        selection_mode="multi",
        default=list(DEFAULT_SAMPLES),
        key="samples",
        bind="query-params",
        help="Real photographs that come with scikit-image; the Guide names their authors.",
    )
    photos = [*opened, *reader.photos, *(sample_photo(name) for name in chosen if name in names)]
    for problem in reader.problems:
        show_error(problem, icon=":material/broken_image:")
    for note in reader.notes:
        st.caption(plain(note))
    return list({photo.digest: photo for photo in photos}.values())


def show_need_of_photos(photos: Sequence[Photo]) -> None:
    """End the page with what to do where no photograph is chosen; else forget those that no longer are."""
    if not photos:
        st.info("Choose a sample photograph or upload your own in the sidebar.", icon=":material/add_photo_alternate:")
        st.stop()
    forget_others(photos)


class _Reader:
    """Decodes each file once a session, and remembers errors too, so that nothing is tried on every rerun."""

    def __init__(self, allowed: Allowance) -> None:
        self.photos: list[Photo] = []
        self.notes: list[str] = []
        self._allowed = allowed
        self._asked: dict[str, None] = {}
        self._problems: list[str] = []
        self._decoded = DECODED.get()

    @property
    def problems(self) -> list[str]:
        """A sentence each for what is not shown."""
        most, asked = self._allowed.most_images, len(self._asked)
        if asked <= most:
            return self._problems
        return [*self._problems, f"Expected up to {most} images at once. Received {asked}; the rest was left out."]

    def take(self, key: str, decode: Callable[[], Photo]) -> None:
        """Read one more file, unless there are too many already."""
        self._asked[key] = None
        if len(self._asked) > self._allowed.most_images:
            return
        if key not in self._decoded:
            try:
                self._decoded[key] = decode()
            except ConvfeError as error:
                self._decoded[key] = told(error)
        found = self._decoded[key]
        if isinstance(found, Photo):
            self.photos.append(found)
            if found.note:
                self.note(f"{found.name}: {found.note}.")
        else:
            self._problems.append(found)

    def take_again(self, key: str) -> None:
        """Take a file that was read before and whose bytes are gone."""
        found = self._decoded.get(key)
        if isinstance(found, Photo):
            self.take(key, lambda: found)

    def note(self, line: str) -> None:
        """Keep a sentence about what is left out."""
        self.notes.append(line)

    def fail(self, error: ConvfeError) -> None:
        """Report a problem that is not a file's."""
        self._problems.append(told(error))

    def forget_the_rest(self) -> None:
        """Drop what is no longer among the files."""
        for key in set(self._decoded) - set(self._asked):
            del self._decoded[key]


def _decode_upload(upload: UploadedFile, allowed: Allowance, waiting: DeltaGenerator) -> Photo:
    def tell(before: int) -> None:  # writing something lets Streamlit end this run when its visitor has left
        waiting.caption(f"Waiting for {before} other visitors' images …")

    with READING.passing(tell):
        return reduce_photo(read_photo(upload.getvalue(), upload.name, allowed.images), allowed.longest_side)


def _local_images(reader: _Reader) -> None:
    """Offer a folder and an address, which only someone at this machine may name."""
    with st.expander("Folder or address"):
        folder = st.text_input(
            "Folder on this machine", key="folder", placeholder="photos/validation", persist_state="session"
        )
        address = st.text_input("Address of an image", key="address", placeholder="https://…", persist_state="session")
    folder, address = folder.strip(), address.strip()
    if folder:
        try:
            for path in photos_in_folder(Path(folder).expanduser(), tell=reader.note):
                reader.take(_version(path), partial(open_photo, path))
        except ConvfeError as error:
            reader.fail(error)
    if address:
        with st.spinner("Fetching the image …"):
            reader.take(address, partial(fetch_photo, address))


def _version(path: Path) -> str:
    """A key that changes when the file does."""
    try:
        stamp = path.stat()
    except OSError:
        return str(path)
    return f"{path}:{stamp.st_mtime_ns}:{stamp.st_size}"
