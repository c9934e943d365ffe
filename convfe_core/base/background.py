"""Iterators that threads fill ahead, so that reading and decoding overlap with computing."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


class _End:
    """Marks the end of what a producer made, with the error that ended it, if any."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def ahead(items: Iterable[T], depth: int = 1) -> Generator[T, None, None]:
    """Yield `items` in their order while a thread makes the next ones.

    An error raised by `items` is raised here, after everything that came before it. The thread has
    ended once this generator is closed, dropped or ended by an error.

    Parameters
    ----------
    items : consumed in the thread
    depth : how many items may be waiting or in the making, at least 1
    """
    waiting: queue.SimpleQueue[T | _End] = queue.SimpleQueue()
    room = threading.Semaphore(depth)
    closed = threading.Event()

    def produce() -> None:
        end = _End()
        try:
            source = iter(items)
            while room.acquire() and not closed.is_set():
                waiting.put(next(source))
        except StopIteration:
            pass
        except BaseException as error:
            end = _End(error)
        waiting.put(end)

    producer = threading.Thread(target=produce, name="convfe-ahead", daemon=True)
    producer.start()
    try:
        while not isinstance(item := waiting.get(), _End):
            room.release()
            yield item
        if item.error is not None:
            raise item.error
    finally:
        closed.set()
        room.release()
        producer.join()


def map_ahead(function: Callable[[T], R], items: Iterable[T], threads: int) -> Generator[R, None, None]:
    """Yield ``function(item)`` for every item in their order while threads work on the next ones.

    For functions that mostly wait, for instance for an object store. What `function` raises is raised here, in turn.

    Parameters
    ----------
    items : consumed by who iterates, at most twice `threads` ahead
    threads : 1 or fewer for none: each item is worked on when it is asked for
    """
    if threads <= 1:
        yield from map(function, items)
        return
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="convfe-read")
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
