"""The maps of one visitor, so that a change of colour or a new backbone never computes an old map again."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from convfe_core.backbones.precision import Precision
from convfe_core.catalog.specs import Spec
from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.maps.input_size import Size


@dataclass(frozen=True)
class MapKey:
    """Everything that the values of a map depend on; the photograph counts by the SHA-256 of its bytes."""

    digest: str
    spec: Spec
    tap: str
    size: Size
    precision: Precision = "float32"


class MapStore:
    """Keeps the most recently used maps.

    Parameters
    ----------
    budget_mb : megabytes that the kept maps may add up to
    """

    def __init__(self, budget_mb: float = 64.0) -> None:
        self.budget_mb = budget_mb
        self.megabytes = 0.0
        self._kept: OrderedDict[MapKey, FeatureMaps] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: MapKey) -> FeatureMaps | None:
        """The maps for this key, or None."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: MapKey, maps: FeatureMaps) -> None:
        """Keep these maps, dropping the least recently used ones if they no longer fit."""
        self._drop(key)
        self._kept[key] = maps
        self.megabytes += _megabytes(maps)
        while len(self._kept) > 1 and self.megabytes > self.budget_mb:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: MapKey) -> None:
        maps = self._kept.pop(key, None)
        if maps is not None:
            self.megabytes -= _megabytes(maps)


def _megabytes(maps: FeatureMaps) -> float:
    return (maps.max.nbytes + maps.mean.nbytes) / 2**20
