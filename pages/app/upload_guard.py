"""A limit for all uploads of one visitor together, checked as they arrive: Streamlit itself limits each file alone.

This puts a function of ours in the place of one of Streamlit's, at the only point where whose file it is, its true size
and what is held already are known. Middleware (`st.App`) would stand before that: it would have to read the session's
name out of the address, to count the bytes of each body by itself, and to ask the same object what it holds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st
from starlette.exceptions import HTTPException
from streamlit import runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

from convfe_core.machine.memory import memory_limit_mb
from convfe_core.serving.visitors import VISITOR
from pages.app.visitor import is_stranger

Manager = MemoryUploadedFileManager
AddFile = Callable[[str, UploadedFileRec], None]

SHARE_OF_MEMORY = 1 / 4
"""Of what the process may use, for the uploads of all visitors together."""


@st.cache_resource(show_spinner=False)
def guard_uploads() -> None:
    """Limit the uploads of visitors from now on, so that one visitor's folder leaves room for those of others."""
    if not runtime.exists():
        return
    manager = runtime.get_instance().uploaded_file_mgr
    if isinstance(manager, Manager):
        manager.add_file = partial(_add_within_bounds, manager, manager.add_file)  # type: ignore[method-assign]


def _add_within_bounds(manager: Manager, add: AddFile, session_id: str, file: UploadedFileRec) -> None:
    """Take an upload unless it is one too many; the visitor's browser shows that beside the file."""
    if _comes_from_stranger(session_id):
        everyone = {key: [len(one.data) for one in list(files.values())] for key, files in _copy(manager)}
        own = everyone.get(session_id, [])
        if len(own) >= VISITOR.most_uploads or sum(own) + len(file.data) > VISITOR.uploads_mb * 1e6:
            raise HTTPException(413, "You have uploaded too much; take some files away, or reload the page.")
        if sum(map(sum, everyone.values())) + len(file.data) > SHARE_OF_MEMORY * memory_limit_mb() * 2**20:
            raise HTTPException(507, "All visitors together have uploaded too much; try again later.")
    add(session_id, file)


def _copy(manager: Manager) -> list[tuple[str, dict[str, UploadedFileRec]]]:
    return list(manager.file_storage.items())  # in one step, while sessions come and go


def _comes_from_stranger(session_id: str) -> bool:
    client = runtime.get_instance().get_client(session_id)
    context = client.client_context if client else None
    return context is None or is_stranger(context.remote_ip, dict(context.headers))
