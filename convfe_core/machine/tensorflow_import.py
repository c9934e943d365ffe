"""TensorFlow imported in less time and memory: for our own programs, not for those that import this library."""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator, Set
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

from convfe_core.base.errors import SettingError
from convfe_core.machine.c_library import c_function

TAKEN_ALONG = frozenset({"matplotlib", "pandas", "scipy", "sklearn"})
"""Packages that Keras and TensorFlow import where they are installed, and do without where they are not."""

_STDERR = 2
_ARENAS, _M_ARENA_MAX = 2, -8  # the latter from malloc.h
_LIBRARY = "libtensorflow_cc.*"
_loading: threading.Thread | None = None
_lean = False
_session_kept = False


def keep_session() -> None:
    """Have `import_tensorflow` make ``keras.backend.clear_session`` do nothing, from now on in this process.

    Streamlit calls it whenever a visitor's page has run. It drops what Keras knows of all threads: a network that is
    built for somebody else just then has two layers of one name, or its graph is gone. It also collects garbage, which
    took seconds.
    """
    global _session_kept
    _session_kept = True


def keep_lean(*, pandas: bool = True) -> None:
    """Have `import_tensorflow` import less and its modules skipped by garbage collections, and the C library keep fewer
    pools of memory, from now on in this process.

    Keras imports packages where it finds them, for conveniences that are not used here, such as tables as training
    data. Without them importing takes 5.5 s of processor time instead of 8.4 s and 150 MB less, in the command line
    as in a server (measured with Keras 3.15 on two cores of Linux). A library must not do this to its users: their
    training data may be such tables. A whole garbage collection, during which no thread runs, took .23 s in a server
    with three small backbones; it takes .003 s where it skips all that was there when TensorFlow had been imported.
    glibc gives its threads eight pools of memory for each core; with two for all of them a run took 40 MB less.

    Parameters
    ----------
    pandas : False where nobody in this process makes tables of pandas: PyArrow, which imports it too where it finds
        it, then takes 30 MB less
    """
    global _lean
    if _lean:
        return
    _lean = True
    if not pandas:
        sys.meta_path.insert(0, _Hidden({"pandas"}))
    mallopt = c_function("mallopt")
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _ARENAS)


def load_library_early() -> None:
    """Begin to load TensorFlow's library in a thread, muted as in `import_tensorflow`, which waits for it.

    For programs that have other modules to import first: .4 of the 1.7 s that importing TensorFlow takes need nothing
    of the interpreter (on two cores of Linux).
    """
    global _loading
    spec = importlib.util.find_spec("tensorflow")
    folders = () if spec is None else spec.submodule_search_locations or ()
    libraries = [path for folder in folders for path in Path(folder).glob(_LIBRARY)]
    if not libraries or _loading is not None:
        return
    muted = ExitStack()
    muted.enter_context(_without_stderr())  # here, or a line that is being printed would be cut

    def load() -> None:
        with muted, suppress(OSError):  # who imports it says what is wrong with it
            ctypes.CDLL(str(libraries[0]))

    _loading = threading.Thread(target=load, name="convfe-library")
    _loading.start()


def import_tensorflow(*, muted: bool = False) -> None:
    """Import TensorFlow and Keras, without their conveniences after `keep_lean`.

    The garbage collector rests meanwhile: it would go through all that they bring again and again, which took a
    seventh of the time on one machine.

    Parameters
    ----------
    muted : drop what libraries write to standard error meanwhile: TensorFlow's log before they can be told not to

    Raises
    ------
    SettingError : Keras is set up for something else than TensorFlow's usual tensors
    """
    _check_backend(os.environ.get("KERAS_BACKEND", "tensorflow"))
    if _loading is not None:
        _loading.join()
    first, collecting = "tensorflow" not in sys.modules, gc.isenabled()
    gc.disable()
    try:
        with _without_stderr() if muted else nullcontext(), _leaving_out() if _lean else nullcontext():
            import keras
            import tensorflow  # noqa: F401
    finally:
        if collecting:
            gc.enable()
    if first and _lean:
        gc.freeze()
    if _session_kept:
        keras.backend.clear_session = _nothing
    _check_backend(keras.backend.backend())
    order, numbers = keras.config.image_data_format(), keras.config.floatx()
    if (order, numbers) != ("channels_last", "float32"):
        raise SettingError(
            f"Expected Keras with channels_last and float32, got {order} and {numbers}; set image_data_format and "
            "floatx in its keras.json (in ~/.keras or $KERAS_HOME) to these."
        )


def _nothing(free_memory: bool = True) -> None:
    """Stand for Keras' ``clear_session``."""


def _check_backend(backend: str) -> None:
    if backend != "tensorflow":
        raise SettingError(f"Expected Keras on TensorFlow, got {backend}; set KERAS_BACKEND=tensorflow, or unset it.")


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Send what libraries write to the process' standard error nowhere; what Python prints there still comes out.

    A process without standard error has nothing to do.
    """
    try:
        kept = os.dup(_STDERR)
    except OSError:
        yield
        return
    before = stream = sys.stderr
    usual = sys.__stderr__
    if usual is not None and before is usual:
        usual.flush()
        # Left open for good: another thread may have taken it to print to.
        stream = open(os.dup(kept), "w", buffering=1, encoding=usual.encoding, errors=usual.errors)  # noqa: SIM115, PTH123
        sys.stderr = stream
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), _STDERR)
    try:
        yield
    finally:
        os.dup2(kept, _STDERR)
        os.close(kept)
        if sys.stderr is stream:
            sys.stderr = before


@contextmanager
def _leaving_out() -> Iterator[None]:
    """Hide the packages of `TAKEN_ALONG` from this thread; other threads may import them meanwhile."""
    finder = _Hidden(TAKEN_ALONG, threading.get_ident())
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Hidden(MetaPathFinder):
    """An import finder that hides some packages from one thread, or from all."""

    def __init__(self, packages: Set[str], thread: int | None = None) -> None:
        self._packages, self._thread = packages, thread

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> None:
        """Raise ModuleNotFoundError, or leave it to the next finder."""
        if name.partition(".")[0] in self._packages and self._thread in (None, threading.get_ident()):
            raise ModuleNotFoundError(f"{name} is left out of this process on purpose", name=name)
