"""How much memory this process may use, holds and has left; a container's limit counts where there is one."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from convfe_core.machine.c_library import c_function
from convfe_core.machine.onnxruntime_setup import return_pool

SETTING = "CONVFE_MEMORY_MB"
"""Environment variable: the memory in megabytes that the whole process may use."""

PROGRAM_MB = 440
"""Megabytes of TensorFlow's program files that must be in memory; the system can drop the rest, see `used_mb`."""

KEPT_MB = 128.0
"""Most megabytes that one `RoomToKeep` has."""

COLLECTION_PAUSE_S = 1.0
_COLLECTION_DUE, _COLLECTING = threading.Lock(), threading.RLock()

CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_limit_mb(environ: Mapping[str, str] = os.environ, limits: tuple[Path, ...] = CGROUP_LIMITS) -> float:
    """Megabytes that the process may use: the setting, the container's limit or the machine's memory."""
    return memory_limit(environ, limits)[0]


def memory_limit(
    environ: Mapping[str, str] = os.environ, limits: tuple[Path, ...] = CGROUP_LIMITS
) -> tuple[float, str]:
    """Megabytes that the process may use, and in a few words who says so."""
    setting = environ.get(SETTING, "").strip()
    if setting.replace(".", "", 1).isdecimal() and float(setting) > 0:
        return float(setting), f"set by {SETTING}"
    found = [(psutil.virtual_memory().total / 2**20, "the machine's memory")]
    for path in limits:
        limit = _container_mb(path)
        if limit is not None:
            found.append((limit, f"the container's limit, {path}"))
    return min(found)


def backbone_budget_mb() -> float:
    """Megabytes for loaded backbones: half of what the process may use."""
    return memory_limit_mb() / 2


def resident_mb() -> float:
    """Megabytes that the process has taken from the system."""
    return float(psutil.Process().memory_info().rss / 2**20)


def tensorflow_imported() -> bool:
    """Whether TensorFlow can be used without waiting; not so while another thread is still importing it."""
    module = sys.modules.get("tensorflow")
    return module is not None and not getattr(module.__spec__, "_initializing", False)


def tensorflow_coming() -> bool:
    """Whether another thread is importing TensorFlow: nobody can say how much of its memory is taken already."""
    return "tensorflow" in sys.modules and not tensorflow_imported()


def used_mb() -> float:
    """Megabytes that the process needs now: what it has taken, less what TensorFlow and the system can use again.

    TensorFlow never returns memory that tensors were in. What it keeps is at least the difference between the most
    that tensors ever took and what they take now. The system may also hold more of the program files than are needed
    (438 or 570 MB of the same TensorFlow on one machine) and drops them when memory is short.
    """
    taken = psutil.Process().memory_info()
    spare = max(0.0, getattr(taken, "shared", 0) / 2**20 - PROGRAM_MB)
    return float(taken.rss / 2**20 - spare - _kept_for_tensors_mb())


def room_mb() -> float:
    """Megabytes that the process may still use: up to its limit, and no more than the machine has to give."""
    available = float(psutil.virtual_memory().available / 2**20) + _kept_for_tensors_mb()
    return min(memory_limit_mb() - used_mb(), available)


def _kept_for_tensors_mb() -> float:
    """What TensorFlow keeps of memory that tensors were in; 0 where it does not count, which is where it keeps none."""
    tensors = tensor_memory()
    return 0.0 if tensors is None else float(tensors["peak"] - tensors["current"]) / 2**20


def tensor_memory() -> dict[str, int] | None:
    """The bytes that tensors take now and took at most, by TensorFlow's count; None where it does not count.

    Only the allocator that comes with oneDNN counts, and never returns memory. The plain one, without oneDNN, does not
    count and returns what tensors leave, so that nothing need be known of it.
    """
    if not tensorflow_imported():
        return None
    import tensorflow as tf

    try:
        return dict(tf.config.experimental.get_memory_info("CPU:0"))
    except (ValueError, RuntimeError):
        return None


class RoomToKeep:
    """Memory for what a run keeps so as not to compute it again; it can be shared between threads.

    It is `KEPT_MB` at most, and no more than a quarter of the memory that is left when it is made.
    """

    def __init__(self) -> None:
        self._bytes_left = min(KEPT_MB, room_mb() / 4) * 2**20
        self._lock = threading.Lock()

    def take(self, count: int) -> bool:
        """Whether so many bytes more may be kept; if so they are counted."""
        with self._lock:
            enough = count <= self._bytes_left
            if enough:
                self._bytes_left -= count
            return enough


def give_back(*, collect: bool = True) -> None:
    """Return freed memory to the system; without this the C library keeps most of what TensorFlow frees.

    Parameters
    ----------
    collect : collect garbage first; takes .2 s where TensorFlow was imported without `keep_lean`
    """
    if collect:
        gc.collect()
    return_pool()
    trim = c_function("malloc_trim")
    if trim is not None:
        trim(0)


@contextmanager
def collected_afterwards() -> Iterator[None]:
    """Let the collector rest in the ``with`` block, and return the memory of what became garbage there.

    What was made meanwhile is the youngest generation, which alone is looked at. To go through all that TensorFlow's
    modules hold takes .2 to .3 s, and the collector would do it again and again while a network is built.
    """
    with _COLLECTING:  # or a collection for somebody else would count it among what is old
        collecting = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if collecting:
                gc.enable()
            gc.collect(0)
            give_back(collect=False)


def collect_soon(pause: float = COLLECTION_PAUSE_S) -> None:
    """Collect garbage and return memory in a moment, in another thread, unless that is about to be done already.

    For a server that answers first: a collection holds up every thread, and to return memory takes a while.

    Parameters
    ----------
    pause : seconds until then
    """
    if _COLLECTION_DUE.acquire(blocking=False):
        timer = threading.Timer(pause, _collect)
        timer.daemon = False  # a process that ends waits for it, or else would abort inside TensorFlow
        timer.start()


def _collect() -> None:
    _COLLECTION_DUE.release()
    with _COLLECTING:  # Python skips a collection that is asked for during another one
        give_back()


def _container_mb(path: Path) -> float | None:
    """The limit that a control group's file states; None for ``max``, or where there is no such file for us."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) / 2**20 if text.isdecimal() and int(text) > 0 else None
