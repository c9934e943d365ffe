"""What happens when a page breaks: one line with a reference number, and the traceback in the log."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import streamlit as st

from convfe_core.base.errors import ConvfeError
from convfe_core.base.wording import display_name, file_stem
from convfe_core.datasets.boxes import Dataset
from convfe_core.machine.memory import collect_soon, give_back
from convfe_core.photos.photo import Photo
from convfe_core.serving.fault_log import configure_log, record_fault
from pages.app.session import CARRIED, DATASETS, DECODED, MARKS, whole_session
from pages.app.words import show_error

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def guarded() -> Iterator[None]:
    """Show an exception to the visitor as one sentence, and nothing else of it."""
    configure_log(os.environ)
    try:
        yield
    except ConvfeError as error:
        show_error(error)
    except Exception as error:
        reference = record_fault(error, _names_of_files(whole_session()))
        show_error(
            f"Something broke in this app, not in your data. The rest still works; reload the page to go on. If you "
            f"report it, name the reference {reference}: it finds the cause in the server's log.",
            icon=":material/bug_report:",
        )
    finally:
        give_back(collect=False)  # each run may be the last of its thread, whose freed memory nobody else would use
        collect_soon()


def guarded_download(make: Callable[[], T]) -> Callable[[], T]:
    """Wrap what a download button makes when it is clicked, which runs outside any page.

    Streamlit tells the visitor that it failed, and logs what is raised with its traceback: that must name no file.
    """
    state = whole_session()

    def guarded_make() -> T:
        try:
            return make()
        except Exception as error:
            reference = record_fault(error, _names_of_files(state))
        raise RuntimeError(f"a download failed, see fault {reference}")

    return guarded_make


def redrawn_alone(draw: Callable[P, None]) -> Callable[P, None]:
    """Make a function draw a part of a page that its own controls redraw without the rest.

    Streamlit keeps the function's arguments until the page runs again. Pass specs, never networks: the pool could not
    free them.
    """

    @st.fragment
    @wraps(draw)
    def guarded_draw(*arguments: P.args, **named: P.kwargs) -> None:
        with guarded():  # such a part runs outside the page, whose guard is not there then
            draw(*arguments, **named)

    return guarded_draw


def _names_of_files(state: Mapping[str, Any]) -> Iterator[str]:
    """Names of what a visitor has in an uploader or had in one earlier, and of what is in an archive of theirs."""
    for value in state.values():
        for upload in value if isinstance(value, list | tuple) else (value,):
            name = getattr(upload, "name", None)
            if isinstance(name, str) and hasattr(upload, "file_id"):
                yield from (name, display_name(name), file_stem(name))
    for photo in state.get(DECODED.name, {}).values():
        if isinstance(photo, Photo):
            yield from (photo.name, file_stem(photo.name))
    for dataset in (*state.get(DATASETS.name, {}).values(), state.get(CARRIED.name)):
        if isinstance(dataset, Dataset):
            yield from dataset.source.names
    for marks in state.get(MARKS.name, {}).values():
        yield from (marks.image, file_stem(marks.image))
