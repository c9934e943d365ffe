"""One network with all its layers within reach: the maps of its stages, and whole features of any layer."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from convfe_core.backbones.backbone import maps_and_projection, with_maps
from convfe_core.backbones.network import Network
from convfe_core.base.arrays import FloatArray, PixelArray
from convfe_core.machine.machine_queue import BUILDING
from convfe_core.maps.extraction import Projected, project_on_photo, run_windows
from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.maps.input_size import Size
from convfe_core.photos.photo import Photo

MOST_READERS = 4
"""Graphs that are kept; they share the network's weights, so that each is small."""


@dataclass(frozen=True, eq=False)
class LayerReader:
    """A network that is looked at in several layers in one pass; it can be shared between threads.

    Attributes
    ----------
    layers : the network looked at at each of them, at least one
    """

    layers: tuple[Network, ...]
    _graph: Callable[..., Any]

    def maps(self, photo: Photo, size: Size) -> list[FeatureMaps]:
        """The maps of a photograph at every layer."""
        return [found.maps for found in self.project(photo, size, [layer.no_directions for layer in self.layers])]

    def whole(self, photo: Photo, size: Size) -> list[Projected]:
        """The maps of a photograph at every layer, and its whole features, (h, w, C) each."""
        return self.project(photo, size, [layer.all_directions for layer in self.layers])

    def project(self, photo: Photo, size: Size, directions: Sequence[FloatArray]) -> list[Projected]:
        """The maps of a photograph at every layer, and its components along the layer's own directions, (C, k)."""
        ((found,),) = run_windows(
            self.layers[0],
            [(None, photo)],
            size,
            lambda batch: self._run(batch.canvases, directions),
            lambda one, values: [
                project_on_photo(one, layer, *values[3 * number : 3 * number + 3])
                for number, layer in enumerate(self.layers)
            ],
        )
        return found

    def _run(self, batch: PixelArray, directions: Sequence[FloatArray]) -> list[NDArray[Any]]:
        """Maximum, mean and projection of the first layer, of the second, and so on."""
        values = iter(self._graph(batch))
        by_layer = zip(zip(values, values, values, strict=True), directions, strict=True)
        return [value for layer, wanted in by_layer for value in maps_and_projection(*layer, wanted)]


def read_layers(layers: Sequence[Network]) -> LayerReader:
    """Trace a network so that several of its layers come out; its weights are shared, not copied.

    Parameters
    ----------
    layers : one network, looked at in different places
    """
    network = layers[0]
    read = network.reader([layer.tensor for layer in layers], "none")
    return LayerReader(tuple(layers), network.freeze(with_maps(read)))


@dataclass(frozen=True, eq=False)
class EveryLayer:
    """A network whose every layer can be looked at; it can be shared between threads.

    Its graphs hold no copy of a Keras model's weights (those of an ONNX file hold what leads to their layers), and run
    somewhat slower than a `convfe_core.backbones.backbone.Backbone`.
    """

    network: Network
    _readers: OrderedDict[str, LayerReader] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def stages(self) -> LayerReader:
        """All its stages, the finest first, labelled by stage.

        Raises
        ------
        SpecError : it has none
        """
        with BUILDING:
            found = [self.network.at(name) for name in self.network.stages()]
        return read_layers([replace(one, label=f"{one.tap.name} · stride {one.tap.stride}") for one in found])

    def layer(self, name: str = "auto") -> LayerReader:
        """One layer, a stage's name or ``auto`` for the usual one.

        Raises
        ------
        SpecError : no such layer
        """
        with self._lock:
            if name not in self._readers:
                self._readers[name] = read_layers([self.network if name == "auto" else self.network.at(name)])
            self._readers.move_to_end(name)
            while len(self._readers) > MOST_READERS:
                self._readers.popitem(last=False)
            return self._readers[name]

    @property
    def megabytes(self) -> float:
        """Memory that its weights hold."""
        return self.network.megabytes
