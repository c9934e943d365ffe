"""Whole feature maps, channel by channel, for the few questions that the max and mean maps cannot answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from convfe_core.backbones.network import Network
from convfe_core.base.arrays import FloatArray
from convfe_core.graph.cell_geometry import CellGrid
from convfe_core.maps.extraction import Member, cells_on_photo, run_photo
from convfe_core.maps.input_size import Size
from convfe_core.photos.letterbox import Frame
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

    network: Network
    _graph: Callable[..., Any]

    def read(self, photo: Photo, size: Size) -> Features:
        """Run a photograph."""

        def keep(one: Member[None], values: list[NDArray[Any]]) -> Features:
            grid = cells_on_photo(one.frame, self.network)
            return Features(photo, values[0][: grid.rows, : grid.columns], one.frame, grid)

        return run_photo(self.network, photo, size, self._graph, keep)


def read_features(network: Network) -> FeatureReader:
    """Turn a network into a reader of whole feature maps; its weights are shared, not copied."""
    return FeatureReader(network, network.freeze(network.reader([network.tensor], "none")))
