"""Linear algebra of NumPy and SciPy on one thread, for matrices of some thousand rows at most.

OpenBLAS deals such a matrix out to all cores, and its threads wait for each other thousands of times. Where something
else computes meanwhile, as TensorFlow or the decoding of photographs does here, each time may last until the system
gives the other thread its turn: the eigenvectors of 1280 channels took ten times as long on two threads as on one. On
one thread the last digits do not depend on the number of cores, either.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController


def one_blas_thread() -> AbstractContextManager[object]:
    """Have BLAS use one thread for what this thread computes in a ``with`` block.

    Where two threads overlap with a BLAS that has one setting for the whole process, it may stay at one thread.
    """
    limits: AbstractContextManager[object] = _libraries().limit(limits=1, user_api="blas")
    return limits


@cache
def _libraries() -> ThreadpoolController:
    """What NumPy and SciPy have loaded."""
    import scipy.linalg  # noqa: F401 - which brings a library of its own

    return ThreadpoolController()
