"""The model files of one session, in a temporary folder; they and what was loaded from them go with the session.

The second file of an ONNX model, with its weights, is uploaded on its own and put beside the first one.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path

from streamlit.runtime.uploaded_file_manager import UploadedFile

from convfe_core.base.errors import ModelFileError
from convfe_core.base.onnx_files import is_onnx_data
from convfe_core.base.wording import file_stem


class ModelShelf:
    """Keeps uploaded model files, which are read from disk alone, until they are removed or the session ends.

    Parameters
    ----------
    most : how many files at once
    forget : told the folder when it is gone
    """

    def __init__(self, most: int, forget: Callable[[Path], None]) -> None:
        self._most = most
        self._forget = forget
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._paths: dict[str, Path | None] = {}

    def add(self, uploads: Iterable[UploadedFile]) -> None:
        """Write what is new into the folder.

        Raises
        ------
        ModelFileError : there are too many, or the disk takes no more
        """
        for upload in uploads:
            if upload.file_id in self._paths:
                continue
            if len(self._kept) >= 2 * self._most or (not is_onnx_data(upload.name) and len(self.files) >= self._most):
                raise ModelFileError(f"Expected up to {self._most} model files at once; remove one to add another.")
            try:
                self._paths[upload.file_id] = self._write(upload)
            except OSError as error:
                raise ModelFileError(
                    f"{upload.name}: could not be kept on the server ({error.strerror}); try again later."
                ) from error
        self._put_together()

    @property
    def files(self) -> dict[str, Path]:
        """The models that are kept, by the upload that each came with."""
        return {key: path for key, path in self._kept.items() if not is_onnx_data(path.name)}

    @property
    def _kept(self) -> dict[str, Path]:
        return {key: path for key, path in self._paths.items() if path is not None}

    def _put_together(self) -> None:
        """Move weights that came on their own into the folder of the ONNX file that they belong to by their name."""
        for key, data in self._kept.items():
            for model in self.files.values():
                beside = model.parent / data.name
                if is_onnx_data(data.name) and data.name.startswith(model.name) and not beside.exists():
                    data.replace(beside)
                    self._paths[key] = None
                    self._forget(model.parent)
                    break

    def remove(self, key: str) -> None:
        """Take one away; the uploader may still show it, a second upload comes under another key."""
        path = self._paths[key]
        if path is not None:
            shutil.rmtree(path.parent, ignore_errors=True)
            self._paths[key] = None
            self._forget(path.parent)

    def _write(self, upload: UploadedFile) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="convfe-models-")
            weakref.finalize(self, _aside, self._forget, Path(self._folder.name)).atexit = False
        name = hashlib.sha256(upload.file_id.encode()).hexdigest()[:16]
        path = Path(self._folder.name) / name / file_stem(upload.name)
        path.parent.mkdir(exist_ok=True)
        try:
            path.write_bytes(upload.getbuffer())
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return path


def _aside(forget: Callable[[Path], None], folder: Path) -> None:
    """Forget on a thread of its own: the garbage collector may run in a thread that holds a lock."""
    threading.Thread(target=forget, args=(folder,), name="convfe-forget", daemon=True).start()
