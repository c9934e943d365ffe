"""A fair lock for work that needs the whole machine: one thread at a time, in order, with a way out of the queue."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from convfe_core.base.wording import counted

WAIT_SECONDS = 0.2
"""Seconds between two calls of `OnWait`."""

OnWait = Callable[[int], None]
"""Called a few times a second while a thread waits, with how many are before it; what it raises leaves the queue."""


def wait_silently(_before: int) -> None:
    """Stay in the queue."""


def waiting_words(before: int) -> str:
    """What to tell somebody who waits for others."""
    return f"waiting for {counted(before, 'other')}"


class Gate:
    """A fair, reentrant lock for work that needs the whole machine, such as loading a network or running it.

    Threads get it in the order in which they asked. A thread whose visitor has left can leave the queue.

    Attributes
    ----------
    passed : how many times it was taken by what counts
    """

    def __init__(self) -> None:
        self.passed = 0
        self._queue: deque[int] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def passing(self, on_wait: OnWait = wait_silently, *, counts: bool = True) -> Iterator[None]:
        """Wait for one's turn, and hold it as long as the ``with`` block lasts.

        Parameters
        ----------
        on_wait : called a few times a second while waiting; what it raises leaves the queue and is raised here
        counts : False for what loads and runs no network
        """
        me = threading.get_ident()
        if self._inside(me):
            yield
            return
        with self._changed:
            self._queue.append(me)
        try:
            while not self._wait_briefly(me):
                on_wait(self._before(me))
            self.passed += counts
            yield
        finally:
            with self._changed:
                self._queue.remove(me)
                self._changed.notify_all()

    @contextmanager
    def if_free(self) -> Iterator[bool]:
        """Say whether nobody else holds it or waits for it, and if so hold it as long as the ``with`` block lasts."""
        me = threading.get_ident()
        if self._inside(me):
            yield True
            return
        with self._changed:
            free = not self._queue
            if free:
                self._queue.append(me)
        try:
            yield free
        finally:
            if free:
                with self._changed:
                    self._queue.remove(me)
                    self._changed.notify_all()

    def close(self, patience_s: float) -> bool:
        """Let nobody in any more, not even those who wait; say whether whoever was inside has left.

        Parameters
        ----------
        patience_s : seconds to wait for that
        """
        me = threading.get_ident()
        with self._changed:
            self._queue.insert(1, me)
            return self._changed.wait_for(lambda: self._queue[0] == me, patience_s)

    @property
    def waiting(self) -> int:
        """How many threads hold it or wait for it."""
        return len(self._queue)

    def _inside(self, me: int) -> bool:
        with self._changed:
            return bool(self._queue) and self._queue[0] == me

    def _before(self, me: int) -> int:
        with self._changed:
            return self._queue.index(me)

    def _wait_briefly(self, me: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._queue[0] == me, WAIT_SECONDS)


MACHINE = Gate()
"""Before everything that uses all cores and much memory: loading a backbone, and each forward pass."""

BUILDING = threading.RLock()
"""Held while a network is built or traced: Keras draws weights and names from one state for the whole process."""
