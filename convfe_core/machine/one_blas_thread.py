"""Linear algebra of NumPy and SciPy on one thread, for matrices of some thousand rows at most.

OpenBLAS deals such a matrix out to all cores, and its threads wait for each other thousands of times. Where something
else computes meanwhile, as TensorFlow or the decoding of photographs does here, each time may last until the system
gives the other thread its turn: the eigenvectors of 1280 channels took ten times as long on two threads as on one. On
one thread the last digits do not depend on the number of cores, either.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_inside = 0
_limits: Any = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Have BLAS use one thread in the whole process as long as anybody is in such a block."""
    global _inside, _limits
    with _lock:
        if not _inside:
            _limits = _libraries().limit(limits=1, user_api="blas")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _limits.restore_original_limits()


@cache
def _libraries() -> ThreadpoolController:
    """What NumPy and SciPy have loaded."""
    import scipy.linalg  # noqa: F401 - which brings a library of its own

    return ThreadpoolController()
