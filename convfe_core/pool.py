"""The loaded backbones of one process: bounded by memory, the least recently used goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from convfe_core.backbones import Backbone, LoadProgress, ignore_progress, load_backbone, weight_path
from convfe_core.catalog import Spec
from convfe_core.extraction import Size, frame_for
from convfe_core.footprint import peak_mb, refusal
from convfe_core.gate import MACHINE
from convfe_core.memory import give_back, room_mb, used_mb
from convfe_core.precision import Precision

_Key = tuple[Spec, str, Precision]


@dataclass(frozen=True)
class Held:
    """One loaded backbone, for a report of what memory is used for.

    Attributes
    ----------
    megabytes : how much more the process used once it was loaded, at least what its weights take
    private : it comes from somebody's own file, whose name is nobody else's business
    """

    label: str
    tap: str
    megabytes: float
    precision: Precision
    private: bool = False


class BackbonePool:
    """Loads a backbone once and hands it to every thread that asks.

    Dropping a backbone only drops the pool's reference: a pass that still runs on it ends undisturbed.

    Parameters
    ----------
    budget_mb : megabytes that the held backbones may add up to; the one asked for last always stays
    room : says how many megabytes the process may still take
    """

    def __init__(self, budget_mb: float, room: Callable[[], float] = room_mb) -> None:
        self.budget_mb = budget_mb
        self._room = room
        self._held: OrderedDict[_Key, tuple[Backbone, Held]] = OrderedDict()
        self._lock = threading.Lock()

    def ready(self, spec: Spec, tap: str = "auto", precision: Precision = "float32") -> bool:
        """Whether this backbone can be had without loading."""
        with self._lock:
            return (spec, tap, precision) in self._held

    def get(
        self,
        spec: Spec,
        tap: str = "auto",
        precision: Precision = "float32",
        on_progress: LoadProgress = ignore_progress,
    ) -> Backbone:
        """Hand out the loaded backbone, loading it first if need be.

        Raises
        ------
        MemoryLimitError : it does not fit, whatever else is dropped
        ConvfeError : as in `open_network`
        """
        key = (spec, tap, precision)
        found = self._take(key)
        if found is not None:
            return found

        def wait(before: int) -> None:
            on_progress(f"waiting for {before} other{'s' if before > 1 else ''}", None)

        self._check_room(spec)
        weight_path(spec, on_progress)  # a slow download must keep nobody else from computing
        with MACHINE.passing(wait):  # one load at a time: ten visitors must not build ten models at once
            found = self._take(key)
            if found is None:
                found = self._load(spec, tap, precision, on_progress)
        return found

    def held(self) -> list[Held]:
        """What is loaded, most recently used last."""
        with self._lock:
            return [report for _, report in self._held.values()]

    def _load(self, spec: Spec, tap: str, precision: Precision, on_progress: LoadProgress) -> Backbone:
        self._make_room(spec)
        before = used_mb()
        backbone = load_backbone(spec, tap, precision=precision, on_progress=on_progress)
        # The first pass optimises the graph; it belongs to loading, and into the measurement.
        frame = frame_for(backbone.native_size, backbone.native_size, backbone, Size("native"))
        backbone.reduce(np.zeros((1, frame.input_height, frame.input_width, 3), np.uint8))
        give_back()
        megabytes = max(used_mb() - before, backbone.megabytes)
        report = Held(backbone.label, backbone.tap.name, megabytes, precision, private=spec.path is not None)
        with self._lock:
            self._held[spec, tap, precision] = backbone, report
        while self._megabytes() > self.budget_mb and self._drop_oldest(but=1):
            pass
        return backbone

    def _check_room(self, spec: Spec) -> None:
        """Refuse what would not fit even if everything else were dropped."""
        need, room = peak_mb(spec), self._room()
        if room + self._megabytes() < need:
            raise refusal(spec, need, room)

    def _make_room(self, spec: Spec) -> None:
        """Drop what must go before this backbone can be loaded."""
        self._check_room(spec)
        need = peak_mb(spec)
        while self._room() < need and self._drop_oldest():
            pass
        if self._room() < need:
            raise refusal(spec, need, self._room())

    def _take(self, key: _Key) -> Backbone | None:
        with self._lock:
            if key not in self._held:
                return None
            self._held.move_to_end(key)
            return self._held[key][0]

    def _drop_oldest(self, but: int = 0) -> bool:
        """Drop the least recently used backbone, unless only `but` are left."""
        with self._lock:
            if len(self._held) <= but:
                return False
            self._held.popitem(last=False)
        give_back()
        return True

    def _megabytes(self) -> float:
        return sum(report.megabytes for report in self.held())
