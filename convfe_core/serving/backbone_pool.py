"""The loaded backbones of one process: bounded by memory, the least recently used goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from convfe_core.backbones.backbone import Backbone, freeze_and_run
from convfe_core.backbones.network import Network, load_as
from convfe_core.backbones.precision import Precision
from convfe_core.base.pace import LoadProgress, ignore_progress
from convfe_core.catalog.memory_need import peak_mb, refusal
from convfe_core.catalog.specs import Spec
from convfe_core.machine.machine_queue import MACHINE, waiting_words
from convfe_core.machine.memory import give_back, room_mb, tensorflow_coming, used_mb
from convfe_core.machine.tensorflow_import import import_tensorflow
from convfe_core.maps.every_layer import EveryLayer
from convfe_core.model_files.weight_cache import weight_path

EVERY_LAYER = "every layer"
"""Stands for the tap of a network that is held as `EveryLayer`."""

_Network = TypeVar("_Network", Backbone, EveryLayer)


@dataclass(frozen=True)
class _Key(Generic[_Network]):
    kind: type[_Network]
    spec: Spec
    tap: str
    precision: Precision


@dataclass(frozen=True)
class Held:
    """One loaded network, for a report of what memory is used for.

    Attributes
    ----------
    tap : the layer that is looked at, or ``every layer``
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
        self._held: OrderedDict[_Key[Any], tuple[Backbone | EveryLayer, Held]] = OrderedDict()
        self._lock = threading.Lock()

    def ready(self, spec: Spec, tap: str = "auto", precision: Precision = "float32") -> bool:
        """Whether this backbone can be had without loading."""
        with self._lock:
            return _Key(Backbone, spec, tap, precision) in self._held

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
        make = partial(freeze_and_run, precision=precision)
        return self._get(_Key(Backbone, spec, tap, precision), make, on_progress)

    def every_layer(self, spec: Spec, on_progress: LoadProgress = ignore_progress) -> EveryLayer:
        """Hand out a network whose every layer can be looked at, loading it first if need be; errors as in `get`."""
        return self._get(_Key(EveryLayer, spec, "auto", "float32"), EveryLayer, on_progress)

    def _get(self, key: _Key[_Network], make: Callable[[Network], _Network], tell: LoadProgress) -> _Network:
        found = self._take(key)
        if found is not None:
            return found

        def wait(before: int) -> None:
            tell(waiting_words(before), None)

        if not tensorflow_coming():  # else this is asked below alone, when it is there
            self._check_room(key.spec)
        weight_path(key.spec, tell)  # a slow download must keep nobody else from computing
        with MACHINE.passing(wait):  # one load at a time: ten visitors must not build ten models at once
            found = self._take(key)
            if found is None:
                found = self._load(key, make, tell)
        return found

    def make_room(self, spec: Spec) -> None:
        """Drop what must go before this backbone can be loaded by somebody else.

        Raises
        ------
        MemoryLimitError : it does not fit, whatever is dropped
        """
        give_back()
        self._make_room(spec)

    def _make_room(self, spec: Spec) -> None:
        self._check_room(spec)
        need = peak_mb(spec)
        while self._room() < need and self._drop_oldest():
            pass
        if self._room() < need:
            raise refusal(spec, need, self._room())

    def forget(self, folder: Path) -> None:
        """Drop what was loaded from a file in this folder."""
        with self._lock:
            for key in list(self._held):
                if key.spec.path is not None and key.spec.path.is_relative_to(folder):
                    del self._held[key]
        give_back()

    def held(self) -> list[Held]:
        """What is loaded, most recently used last."""
        with self._lock:
            return [report for _, report in self._held.values()]

    def _load(self, key: _Key[_Network], make: Callable[[Network], _Network], tell: LoadProgress) -> _Network:
        before = 0.0

        def make_room(spec: Spec) -> None:
            nonlocal before
            self._make_room(spec)
            import_tensorflow()  # or the first backbone would be charged for it
            before = used_mb()

        variables = key.kind is not Backbone
        network = load_as(make, key.spec, key.tap, make_room=make_room, on_progress=tell, variables=variables)
        megabytes = max(used_mb() - before, network.megabytes)
        tap, precision = EVERY_LAYER, key.precision
        if isinstance(network, Backbone):
            tap, precision = network.tap.name, network.precision
        report = Held(key.spec.label, tap, megabytes, precision, private=key.spec.path is not None)
        with self._lock:
            self._held[key] = network, report
        while self._megabytes() > self.budget_mb and self._drop_oldest(but=1):
            pass
        return network

    def _check_room(self, spec: Spec) -> None:
        """Refuse what would not fit even if everything else were dropped."""
        need, room = peak_mb(spec), self._room()
        if room + self._megabytes() < need:
            raise refusal(spec, need, room)

    def _take(self, key: _Key[_Network]) -> _Network | None:
        with self._lock:
            if key not in self._held:
                return None
            self._held.move_to_end(key)
            network = self._held[key][0]
            assert isinstance(network, key.kind)
            return network

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
