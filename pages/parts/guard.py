"""What happens when a page breaks: one line with a reference number, and the traceback in the log."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from convfe_core.errors import ConvfeError
from convfe_core.faults import configure_log, record_fault
from convfe_core.memory import give_back
from pages.parts.words import show_error


@contextmanager
def guarded() -> Iterator[None]:
    """Keep an exception from reaching the visitor in any other shape than one sentence."""
    configure_log(os.environ)
    try:
        yield
    except ConvfeError as error:
        show_error(str(error))
    except Exception as error:
        reference = record_fault(error, _names_of_uploads())
        show_error(
            f"Something broke in this app, not in your data. The rest still works; reload the page to go on. If you "
            f"report it, name the reference {reference}: it finds the cause in the server's log.",
            icon=":material/bug_report:",
        )
    finally:
        give_back(collect=False)  # each run may be the last of its thread, whose freed memory nobody else would use


def _names_of_uploads() -> Iterator[str]:
    """Names of whatever this visitor has in any uploader of any page."""
    for value in st.session_state.to_dict().values() if hasattr(st.session_state, "to_dict") else ():
        for upload in value if isinstance(value, list | tuple) else (value,):
            name = getattr(upload, "name", None)
            if isinstance(name, str) and hasattr(upload, "file_id"):
                yield name
