"""Linear algebra on one thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from threadpoolctl import ThreadpoolController

from convfe_core.machine.one_blas_thread import one_blas_thread


def threads() -> set[int]:
    return {one["num_threads"] for one in ThreadpoolController().select(user_api="blas").info()}


def inside_and_behind() -> tuple[set[int], set[int]]:
    inside: set[int] = set()
    with suppress(RuntimeError), one_blas_thread():
        inside = threads()
        raise RuntimeError
    return inside, threads()


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "another thread"])
def test_blas_has_one_thread_inside_and_its_own_again_behind_an_error(elsewhere):
    import scipy.linalg  # noqa: F401

    before = threads()
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(inside_and_behind).result() if elsewhere else inside_and_behind()
    assert found == ({1}, before)
