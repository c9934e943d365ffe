"""One network with all its layers within reach: its stages, and whole feature maps of any of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property

from convfe_core.backbones.network import Network
from convfe_core.maps.stage_maps import StagedNetwork, stage_network
from convfe_core.maps.whole_features import FeatureReader, read_features

MOST_READERS = 4
"""Graphs that are kept; they share the network's weights, so that each is small."""


@dataclass(frozen=True, eq=False)
class EveryLayer:
    """A network whose every layer can be looked at; it can be shared between threads.

    Its graphs hold no copy of its weights, and run somewhat slower than a `convfe_core.backbones.backbone.Backbone`.
    """

    network: Network
    _readers: OrderedDict[str, FeatureReader] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def staged(self) -> StagedNetwork:
        """The network with all its stages."""
        return stage_network(self.network)

    def reader(self, layer: str = "auto") -> FeatureReader:
        """Whole feature maps of one layer, a stage's name or ``auto`` for the usual one.

        Raises
        ------
        SpecError : no such layer
        """
        with self._lock:
            if layer not in self._readers:
                self._readers[layer] = read_features(self.network if layer == "auto" else self.network.at(layer))
            self._readers.move_to_end(layer)
            while len(self._readers) > MOST_READERS:
                self._readers.popitem(last=False)
            return self._readers[layer]

    @property
    def megabytes(self) -> float:
        """Memory that its weights hold."""
        return self.network.megabytes
