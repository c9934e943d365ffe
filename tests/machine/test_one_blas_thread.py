"""Linear algebra on one thread, whoever else is at it."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest
from threadpoolctl import ThreadpoolController

from convfe_core.machine.one_blas_thread import one_blas_thread


def threads() -> set[int]:
    import scipy.linalg  # noqa: F401

    return {one["num_threads"] for one in ThreadpoolController().select(user_api="blas").info()}


@pytest.fixture
def two_threads():
    threads()
    with ThreadpoolController().limit(limits=2, user_api="blas"):
        yield


@pytest.mark.usefixtures("two_threads")
def test_blas_has_one_thread_inside_and_its_own_again_behind_an_error():
    with suppress(RuntimeError), one_blas_thread():
        assert threads() == {1}
        raise RuntimeError
    assert threads() == {2}


@pytest.mark.usefixtures("two_threads")
def test_the_last_one_out_gives_the_threads_back():
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with one_blas_thread():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=other)
    with one_blas_thread():
        thread.start()
        inside.wait()
    assert threads() == {1}
    leave.set()
    thread.join()
    assert threads() == {2}
