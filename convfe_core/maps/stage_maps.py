"""Every stage of one network at once: its max and mean maps from stride 4 to 32, in one pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from convfe_core.backbones.backbone import Network
from convfe_core.base.machine_queue import MACHINE
from convfe_core.graph.taps import Tap, resolve_tap, stage_taps
from convfe_core.maps.extraction import maps_on_photo
from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.maps.input_size import Size, frame_for
from convfe_core.photos.letterbox import place_on_canvas
from convfe_core.photos.photo import Photo


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes
    ----------
    tap : its last layer
    receptive_field : input pixels that one cell sees, across
    """

    tap: Tap
    receptive_field: float


@dataclass(frozen=True, eq=False)
class StagedNetwork:
    """A network that gives the maps of all its stages."""

    network: Network
    stages: tuple[Stage, ...]
    _members: tuple[Network, ...]
    _graph: Callable[[Any], Any]

    def maps(self, photo: Photo, size: Size) -> list[FeatureMaps]:
        """The maps of a photograph at every stage, the finest first, labelled by stage."""
        import tensorflow as tf

        frame = frame_for(photo.height, photo.width, self.network, size)
        with MACHINE.passing():
            values = self._graph(tf.constant(place_on_canvas(photo, frame)[None]))
        found = []
        for number, member in enumerate(self._members):
            maximum, mean = (value.numpy()[0] for value in values[2 * number : 2 * number + 2])
            grid = member.path.grid(frame.input_height, frame.input_width)
            found.append(maps_on_photo(photo, frame, member, grid, maximum, mean))
        return found


def stage_network(network: Network) -> StagedNetwork:
    """Trace a network so that every stage that it has comes out.

    Raises
    ------
    SpecError : it has none
    """
    import tensorflow as tf

    members, stages = [], []
    for name in stage_taps(network.model):
        tensor, tap = resolve_tap(network.model, None, name)
        member = replace(network.at(tensor, tap), label=f"{name} · stride {tap.stride}")
        members.append(member)
        stages.append(Stage(tap, member.path.receptive_field[1]))

    read = network.reader([member.tensor for member in members], "none")

    def reduce_stages(pixels: Any) -> list[Any]:
        return [reduced for one in read(pixels) for reduced in (tf.reduce_max(one, -1), tf.reduce_mean(one, -1))]

    return StagedNetwork(network, tuple(stages), tuple(members), network.freeze(reduce_stages))
