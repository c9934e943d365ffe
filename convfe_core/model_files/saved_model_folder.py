"""Where the files of a SavedModel lie: in a folder, or in a zip of one, which is unpacked as far as they go."""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from convfe_core.base.folders import file_stamp
from convfe_core.base.onnx_files import with_onnx_data
from convfe_core.model_files.safety import check_archive

SAVED_MODEL, METADATA, VARIABLES = "saved_model.pb", "keras_metadata.pb", "variables"
"""The graph, the description of Keras 2's layers, and the folder and beginning of the files with the numbers."""


def saved_model_root(members: Iterable[str]) -> str | None:
    """Find the folder of an archive, ``""`` or with a slash at its end, that is a SavedModel; the outermost of some."""
    return min(
        (member[: -len(SAVED_MODEL)] for member in members if member.endswith(SAVED_MODEL)), key=len, default=None
    )


@contextmanager
def unpacked(archive: zipfile.ZipFile, root: str) -> Iterator[Path]:
    """A temporary folder with the graph, the description and the numbers of the SavedModel at `root`."""
    with tempfile.TemporaryDirectory(prefix="convfe-") as folder:
        wanted = (root + SAVED_MODEL, root + METADATA, f"{root}{VARIABLES}/")
        for member in archive.namelist():
            if member.startswith(wanted) and not member.endswith("/"):
                extract(archive, member, Path(folder, member[len(root) :]))
        yield Path(folder)


@contextmanager
def saved_model_folder(path: Path) -> Iterator[Path | None]:
    """The folder of a SavedModel that is one, or is zipped; None for anything else.

    Raises
    ------
    ModelFileError : an archive that must not be unpacked
    """
    if path.is_dir():
        yield path if (path / SAVED_MODEL).is_file() else None
        return
    if not zipfile.is_zipfile(path):
        yield None
        return
    with zipfile.ZipFile(path) as archive:
        members = archive.namelist()
        root = None if "config.json" in members else saved_model_root(members)
        if root is None:
            yield None
            return
        check_archive(archive, path.name)
        with unpacked(archive, root) as folder:
            yield folder


def model_stamp(path: Path) -> str:
    """`file_stamp` of a file (an ONNX file with its data), or of all that belongs to a model that is a folder."""
    if not path.is_dir():
        return " ".join(map(file_stamp, with_onnx_data(path)))
    inside = (file for folder in (path, path / VARIABLES) for file in sorted(folder.glob("*")) if file.is_file())
    return " ".join(map(file_stamp, inside))


def extract(archive: zipfile.ZipFile, member: str, target: Path) -> None:
    """Write one file of an archive; `check_archive` comes first."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file, io.DEFAULT_BUFFER_SIZE * 16)
