"""Every stage of one network at once: its max and mean maps from stride 4 to 32, in one pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from convfe_core.backbones.network import Network
from convfe_core.graph.taps import stage_taps
from convfe_core.machine.machine_queue import BUILDING
from convfe_core.maps.extraction import maps_on_photo, run_photo
from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.maps.input_size import Size
from convfe_core.photos.photo import Photo


@dataclass(frozen=True, eq=False)
class StagedNetwork:
    """A network that gives the maps of all its stages.

    Attributes
    ----------
    stages : the network looked at at each stage, the finest first, labelled by stage
    """

    network: Network
    stages: tuple[Network, ...]
    _graph: Callable[..., Any]

    def maps(self, photo: Photo, size: Size) -> list[FeatureMaps]:
        """The maps of a photograph at every stage."""
        return run_photo(
            self.network,
            photo,
            size,
            self._graph,
            lambda one, values: [
                maps_on_photo(one.photo, one.frame, stage, maximum, mean)
                for stage, maximum, mean in zip(self.stages, values[::2], values[1::2], strict=True)
            ],
        )


def stage_network(network: Network) -> StagedNetwork:
    """Trace a network so that every stage that it has comes out.

    Raises
    ------
    SpecError : it has none
    """
    import tensorflow as tf

    with BUILDING:
        found = [network.at(name) for name in stage_taps(network.model)]
    stages = tuple(replace(stage, label=f"{stage.tap.name} · stride {stage.tap.stride}") for stage in found)

    read = network.reader([stage.tensor for stage in stages], "none")

    def reduce_stages(pixels: Any) -> list[Any]:
        return [reduced for one in read(pixels) for reduced in (tf.reduce_max(one, -1), tf.reduce_mean(one, -1))]

    return StagedNetwork(network, stages, network.freeze(reduce_stages))
