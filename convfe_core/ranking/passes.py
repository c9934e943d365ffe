"""What the photographs of a data set scored under one set of weights, gathered row by row."""

from __future__ import annotations

import numpy as np

from convfe_core.jobs.shards import Row
from convfe_core.maps.feature_maps import REDUCTIONS
from convfe_core.maps.map_diagnostics import Diagnostics
from convfe_core.ranking.score_rows import NUMBERS
from convfe_core.ranking.verdict import MapScores
from convfe_core.scoring.separation import SIZE_GROUPS


class PassScores:
    """Scores of every image under one set of weights, NaN where there is none.

    Parameters
    ----------
    images : how many the data set has
    """

    def __init__(self, images: int) -> None:
        self.separation = np.full((images, len(REDUCTIONS)), np.nan)
        self.auroc = np.full((images, len(REDUCTIONS)), np.nan)
        self.by_size = np.full((images, len(SIZE_GROUPS)), np.nan)
        self.seen = 0
        self.complete = True
        self.weights = self.tap = ""
        self.stride = 0
        self._sums = np.zeros((len(REDUCTIONS), len(NUMBERS)))
        self._diagnosed = 0.0
        self._flags = np.zeros((len(REDUCTIONS), 2), bool)  # some map was flat, some was not finite

    def map_scores(self, control: PassScores | None) -> dict[str, MapScores]:
        """Scores by reduction, beside a control's."""
        return {
            name: MapScores(
                self.separation[:, k], self.auroc[:, k], None if control is None else control.separation[:, k]
            )
            for k, name in enumerate(REDUCTIONS)
        }

    def add_row(self, row: Row) -> None:
        """Take what one photograph scored."""
        self.separation[row["place"]], self.auroc[row["place"]] = row["separation"], row["auroc"]
        self.tap = row["tap"]
        self.seen += 1
        if row.get("diagnostics"):
            found = np.array(row["diagnostics"])
            self._sums += found[:, : len(NUMBERS)]
            self._flags |= np.stack([found[:, -2] > 0, found[:, -1] == 0], axis=1)
            self._diagnosed += 1

    def diagnostics(self) -> dict[str, Diagnostics]:
        """Means over the images, by reduction; flagged when any map was."""
        means = self._sums / max(self._diagnosed, 1)
        return {
            name: Diagnostics(
                **dict(zip(NUMBERS, means[k].tolist(), strict=True)),
                flat=bool(self._flags[k, 0]),
                finite=not self._flags[k, 1],
            )
            for k, name in enumerate(REDUCTIONS)
        }

    def add(self, other: PassScores, share: float) -> None:
        """Add a share of other scores, so that shares which add up to one give an average."""
        for name in ("separation", "auroc"):
            mine, theirs = getattr(self, name), getattr(other, name)
            setattr(self, name, (np.where(self.seen, mine, 0.0) + share * theirs))
        self.seen += other.seen
        self._sums = self._sums + other._sums
        self._flags |= other._flags
        self._diagnosed += other._diagnosed
