"""Whole feature maps, channel by channel, for the few questions that the max and mean maps cannot answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from convfe_core.backbones.backbone import Network
from convfe_core.base.arrays import FloatArray, PixelArray
from convfe_core.base.machine_queue import MACHINE
from convfe_core.graph.cell_geometry import CellGrid
from convfe_core.graph.taps import Tap
from convfe_core.maps.extraction import cells_on_photo
from convfe_core.maps.input_size import Size, frame_for
from convfe_core.photos.letterbox import Frame, place_on_canvas
from convfe_core.photos.photo import Photo


@dataclass(frozen=True, eq=False)
class Features:
    """The feature map of one photograph, cut to the cells whose centre lies on it.

    Attributes
    ----------
    values : (h, w, C) float32
    frame, grid : as in `convfe_core.maps.feature_maps.FeatureMaps`
    """

    photo: Photo
    values: FloatArray
    frame: Frame
    grid: CellGrid


@dataclass(frozen=True, eq=False)
class FeatureReader:
    """A network that gives whole feature maps; it can be shared between threads."""

    label: str
    weights: str
    tap: Tap
    network: Network
    _graph: Callable[[Any], Any]

    def read(self, photos: Iterable[Photo], size: Size) -> Iterator[Features]:
        """Run photographs one by one and yield their feature maps."""
        import tensorflow as tf

        for photo in photos:
            frame = frame_for(photo.height, photo.width, self.network, size)
            with MACHINE.passing():
                (values,) = self._graph(tf.constant(place_on_canvas(photo, frame)[None]))
            grid = cells_on_photo(frame, self.network.path.grid(frame.input_height, frame.input_width))
            yield Features(photo, values.numpy()[0, : grid.rows, : grid.columns], frame, grid)


def read_features(network: Network) -> FeatureReader:
    """Turn a network into a reader of whole feature maps; its weights are shared, not copied."""
    graph = network.freeze(network.reader([network.tensor], "none"))
    return FeatureReader(network.label, network.weights, network.tap, network, graph)


def canvas_of(photo: Photo, network: Network, size: Size) -> PixelArray:
    """(1, H, W, 3) uint8: a photograph as the network receives it."""
    return place_on_canvas(photo, frame_for(photo.height, photo.width, network, size))[None]
