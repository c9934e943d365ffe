"""Keras without what it takes along: packages that it imports where it finds them, for conveniences not used here."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

TAKEN_ALONG = frozenset({"matplotlib", "pandas", "scipy", "sklearn"})
"""Keras and TensorFlow go without each of these where it is not installed."""
_IMPORTERS = frozenset({"keras", "tensorflow"})


def keep_keras_lean() -> None:
    """Have Keras and TensorFlow import less, from now on in this process: a second and 150 MB less on one machine.

    For programs, not for a library: it takes pandas' tables from Keras' ``fit``, for instance. Everybody else imports
    those packages as ever.
    """
    if not any(isinstance(finder, _Refusal) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Refusal())


class _Refusal(MetaPathFinder):
    """Says that a package is not there, if it is Keras that asks."""

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> ModuleSpec | None:
        """Raise ModuleNotFoundError, or leave it to the next finder."""
        if _package(name) in TAKEN_ALONG and _package(_importer()) in _IMPORTERS:
            raise ModuleNotFoundError(f"{name} is not for Keras here", name=name)
        return None


def _package(module: str) -> str:
    return module.partition(".")[0]


def _importer() -> str:
    """Name the module that asks for another one: the first outside Python's own machinery."""
    frame = sys._getframe(2)
    while frame.f_back is not None and _package(frame.f_globals.get("__name__", "")) == "importlib":
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", ""))
