"""A process that takes less time to start and less memory: for our programs, not for a library that others import."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from convfe_core.base.errors import SettingError
from convfe_core.machine.c_library import c_function

TAKEN_ALONG = frozenset({"matplotlib", "pandas", "scipy", "sklearn"})
"""Keras and TensorFlow go without each of these where it is not installed."""
_IMPORTERS = frozenset({"keras", "tensorflow"})
_ARROW = frozenset({"pyarrow", "convfe_core"})
"""Who seems to ask when PyArrow does: what is compiled leaves its caller's name."""

_STDERR = 2
_ARENAS, _M_ARENA_MAX = 2, -8  # the latter from malloc.h


def keep_lean(*, pandas: bool = True) -> None:
    """Have Keras and TensorFlow import less, and the C library keep fewer pools of memory, from now on in this process.

    Keras imports packages where it finds them, for conveniences that are not used here, such as tables as training
    data: without them it took a second and 150 MB less on one machine. Everybody else imports them as ever. glibc gives
    its threads eight pools of memory for each core; with two for all of them a run took 40 MB less.

    Parameters
    ----------
    pandas : False where nobody makes tables of pandas: PyArrow then goes without it, which takes 30 MB less
    """
    if any(isinstance(finder, _Refusal) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _Refusal(pandas=pandas))
    mallopt = c_function("mallopt")
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _ARENAS)


def import_tensorflow(*, muted: bool = False) -> None:
    """Import TensorFlow and Keras while the garbage collector rests.

    It would go through all that they bring again and again, for nothing: a seventh of the time on one machine.

    Parameters
    ----------
    muted : drop what is written to standard error meanwhile, by this or another thread: TensorFlow's libraries greet
        before they can be told not to

    Raises
    ------
    SettingError : Keras is set up for something else than TensorFlow's usual tensors
    """
    _check_backend(os.environ.get("KERAS_BACKEND", "tensorflow"))
    collecting = gc.isenabled()
    gc.disable()
    try:
        with _without_stderr() if muted else nullcontext():
            import keras
            import tensorflow  # noqa: F401
    finally:
        if collecting:
            gc.enable()
    _check_backend(keras.backend.backend())
    order, numbers = keras.config.image_data_format(), keras.config.floatx()
    if (order, numbers) != ("channels_last", "float32"):
        raise SettingError(
            f"Expected Keras with channels_last and float32, got {order} and {numbers}; set image_data_format and "
            "floatx in its keras.json (in ~/.keras or $KERAS_HOME) to these."
        )


def _check_backend(backend: str) -> None:
    if backend != "tensorflow":
        raise SettingError(f"Expected Keras on TensorFlow, got {backend}; set KERAS_BACKEND=tensorflow, or unset it.")


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Send the process' standard error nowhere, that of its libraries too; a process without one has nothing to do."""
    try:
        kept = os.dup(_STDERR)
    except OSError:
        yield
        return
    if sys.stderr is not None:
        sys.stderr.flush()
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), _STDERR)
    try:
        yield
    finally:
        os.dup2(kept, _STDERR)
        os.close(kept)


class _Refusal(MetaPathFinder):
    """Says that a package is not there, if it is Keras that asks, or PyArrow for pandas."""

    def __init__(self, *, pandas: bool) -> None:
        self._pandas = pandas

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> ModuleSpec | None:
        """Raise ModuleNotFoundError, or leave it to the next finder."""
        wanted = _package(name)
        if wanted not in TAKEN_ALONG:
            return None
        importer = _package(_importer())
        if importer in _IMPORTERS or (wanted == "pandas" and not self._pandas and importer in _ARROW):
            raise ModuleNotFoundError(f"{name} is not for {importer} here", name=name)
        return None


def _package(module: str) -> str:
    return module.partition(".")[0]


def _importer() -> str:
    """Name the module that asks for another one: the first outside Python's own machinery."""
    frame = sys._getframe(2)
    while frame.f_back is not None and _package(frame.f_globals.get("__name__", "")) == "importlib":
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", ""))
