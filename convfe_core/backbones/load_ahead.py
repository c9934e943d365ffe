"""Backbones loaded one after the other, the next ones while one runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

from convfe_core.base.errors import MemoryLimitError
from convfe_core.catalog.memory_need import PHOTOS_AND_BOXES_MB, peak_mb
from convfe_core.catalog.specs import Spec
from convfe_core.machine.memory import room_mb
from convfe_core.model_files.weight_cache import weights_state

T = TypeVar("T")


class LoadAhead(Generic[T]):
    """Loads what is needed now, then on another thread what comes next, one by one, where memory has room for it too.

    Loading a network keeps one core busy for half a second or more. Weights that must be downloaded are not loaded
    ahead, because a run cannot be stopped meanwhile.

    Parameters
    ----------
    specs : by the names that they are asked for with
    load : takes such a name and returns what `take` returns; checks that there is room
    """

    def __init__(self, specs: Mapping[str, Spec], load: Callable[[str], T]) -> None:
        self._specs = specs
        self._load = load
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="convfe-load")
        self._coming: dict[str, Future[T]] = {}

    def __enter__(self) -> LoadAhead[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._coming.clear()
        self._thread.shutdown(cancel_futures=True)

    def take(self, name: str, following: Iterable[str] = ()) -> T:
        """Return what `load` gives for a name, and begin with the following ones; raises what `load` raises.

        The caller must have dropped what was taken before.

        Parameters
        ----------
        following : the names of the next calls, as many as may be in memory beside this one
        """
        coming = self._coming.pop(name, None)
        loaded = self._load(name) if coming is None else self._finish(coming, name)
        for other in following:
            if other not in self._coming:
                self._coming[other] = self._thread.submit(self._load_early, other)
        return loaded

    def _load_early(self, name: str) -> T:
        if not _may_come_early(self._specs[name]):
            raise MemoryLimitError(f"{name} waits for its turn")
        return self._load(name)

    def _finish(self, coming: Future[T], name: str) -> T:
        try:
            return coming.result()
        except MemoryLimitError:
            return self._load(name)  # now that the one before it is gone


def _may_come_early(spec: Spec) -> bool:
    at_hand = spec.architecture is None or spec.weights != "imagenet" or weights_state(spec.architecture).ready
    return at_hand and peak_mb(spec) + PHOTOS_AND_BOXES_MB <= room_mb()
