"""Running models of the user's own: whatever their layers raise becomes one sentence about that model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from convfe_core.base.errors import MemoryLimitError, ModelFileError

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_NO_REASON = re.compile(r"^(Exception encountered when calling |Graph execution error|Detected at node |File \"|\[\[)")
_LONGEST = 160


@contextmanager
def about_model(label: str, own: bool) -> Iterator[None]:
    """Turn what a model's layers raise into one sentence that names the model; others' errors stay as they are.

    Parameters
    ----------
    own : it is a model of the user's own, whose layers nobody here has tried before
    """
    try:
        yield
    except (ModelFileError, MemoryLimitError):
        raise
    except Exception as error:
        if not own:
            raise
        raise ModelFileError(
            f"{label}: expected layers that run on this picture. Received: {reason_of(error)}"
        ) from error


def guarded(run: Callable[..., Any], label: str, own: bool) -> Callable[..., Any]:
    """The same function, its errors as `about_model` has them."""

    def guarded_run(*arguments: Any) -> Any:
        with about_model(label, own):
            return run(*arguments)

    return guarded_run if own else run


def reason_of(error: Exception) -> str:
    """The first line of an error that says something, short enough for a sentence."""
    lines = [line.strip() for line in _COLOURS.sub("", str(error)).splitlines()]
    said = [line for line in lines if line and not _NO_REASON.match(line)]
    text = said[0] if said else type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
