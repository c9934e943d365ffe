"""The maps of one visitor, kept so that a change of colour or a new backbone computes no map again."""

from __future__ import annotations

from collections import OrderedDict

from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.serving.map_key import MapKey
from convfe_core.serving.sample_maps import SampleMaps


class MapStore:
    """Keeps the most recently used maps; the last ones stay even where they alone take more than the budget.

    `cachetools` has such a cache, but it refuses what is larger than its budget.

    Parameters
    ----------
    budget_mb : megabytes that the kept maps may add up to
    samples : has maps of the sample photographs for all visitors
    """

    def __init__(self, budget_mb: float = 64.0, samples: SampleMaps | None = None) -> None:
        self.budget_mb = budget_mb
        self._samples = samples
        self._kept: OrderedDict[MapKey, FeatureMaps] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def megabytes(self) -> float:
        """What the kept maps take."""
        return sum(maps.nbytes for maps in self._kept.values()) / 2**20

    def get(self, key: MapKey) -> FeatureMaps | None:
        """The maps for this key, or None."""
        if key in self._kept:
            self._kept.move_to_end(key)
        elif self._samples is not None and (maps := self._samples.get(key)) is not None:
            self._keep(key, maps)
        return self._kept.get(key)

    def put(self, key: MapKey, maps: FeatureMaps) -> None:
        """Keep these maps, dropping the least recently used ones if they no longer fit."""
        self._keep(key, maps)
        if self._samples is not None:
            self._samples.put(key, maps)

    def _keep(self, key: MapKey, maps: FeatureMaps) -> None:
        self._kept[key] = maps
        self._kept.move_to_end(key)
        while len(self._kept) > 1 and self.megabytes > self.budget_mb:
            self._kept.popitem(last=False)
