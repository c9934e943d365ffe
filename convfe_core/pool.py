"""The loaded backbones of one process: bounded by memory, the least recently used goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from convfe_core.backbones import Backbone, LoadProgress, ignore_progress, load_backbone
from convfe_core.catalog import Spec


@dataclass(frozen=True)
class Held:
    """One loaded backbone, for a report of what memory is used for."""

    label: str
    tap: str
    megabytes: float


class BackbonePool:
    """Loads a backbone once and hands it to every thread that asks.

    Dropping a backbone only drops the pool's reference: a pass that still runs on it ends undisturbed.

    Parameters
    ----------
    budget_mb : megabytes that the held backbones may add up to; the one asked for last always stays
    """

    def __init__(self, budget_mb: float) -> None:
        self.budget_mb = budget_mb
        self._held: OrderedDict[tuple[Spec, str], Backbone] = OrderedDict()
        self._lock = threading.Lock()
        self._loading = threading.Lock()

    def ready(self, spec: Spec, tap: str = "auto") -> bool:
        """Whether this backbone can be had without loading."""
        with self._lock:
            return (spec, tap) in self._held

    def get(self, spec: Spec, tap: str = "auto", on_progress: LoadProgress = ignore_progress) -> Backbone:
        """Hand out the loaded backbone, loading it first if need be; errors as in `open_network`."""
        key = (spec, tap)
        found = self._take(key)
        if found is not None:
            return found
        with self._loading:  # one load at a time: ten visitors must not build ten models at once
            found = self._take(key)
            if found is None:
                found = load_backbone(spec, tap, on_progress=on_progress)
                self._put(key, found)
        return found

    def held(self) -> list[Held]:
        """What is loaded, most recently used last."""
        with self._lock:
            return [Held(b.label, b.tap.name, b.megabytes) for b in self._held.values()]

    def _take(self, key: tuple[Spec, str]) -> Backbone | None:
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def _put(self, key: tuple[Spec, str], backbone: Backbone) -> None:
        with self._lock:
            self._held[key] = backbone
            while len(self._held) > 1 and sum(b.megabytes for b in self._held.values()) > self.budget_mb:
                self._held.popitem(last=False)
