"""Functions of the C library that only some systems have: glibc knows them, musl, macOS and Windows do not."""

from __future__ import annotations

import ctypes
from collections.abc import Callable


def c_function(name: str) -> Callable[..., int] | None:
    """A function of the C library by its name; None where this system's has none of that name."""
    try:
        return getattr(ctypes.CDLL(None), name, None)
    except (OSError, TypeError):  # on Windows there is no library that stands for the whole process
        return None
