"""What the photographs of a data set scored under one set of weights, gathered row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from convfe_core.backbones.precision import Precision
from convfe_core.base.arrays import Values
from convfe_core.jobs.shards import Row
from convfe_core.maps.feature_maps import REDUCTIONS
from convfe_core.maps.map_diagnostics import Diagnostics
from convfe_core.ranking.score_rows import NUMBERS
from convfe_core.ranking.verdict import MapScores
from convfe_core.scoring.box_probe import ProbeResult, probe_boxes
from convfe_core.scoring.separation import SIZE_GROUPS


class PassScores:
    """Scores of every image under one set of weights, NaN where there is none.

    Parameters
    ----------
    images : how many the data set has

    Attributes
    ----------
    separation, auroc : (N, 2) by image and reduction
    by_size : (N, 3) separation by image and `SIZE_GROUPS`; of the backbone itself alone
    seen : how many images could be read
    weights, tap, stride, precision : of the backbone
    """

    def __init__(self, images: int) -> None:
        self.separation = np.full((images, len(REDUCTIONS)), np.nan)
        self.auroc = np.full((images, len(REDUCTIONS)), np.nan)
        self.by_size = np.full((images, len(SIZE_GROUPS)), np.nan)
        self.seen = 0
        self.weights = self.tap = ""
        self.stride = 0
        self.precision: Precision = "float32"
        self._sums = np.zeros((len(REDUCTIONS), len(NUMBERS)))
        self._diagnosed = 0
        self._flags = np.zeros((len(REDUCTIONS), 2), bool)  # some map was flat, some was not finite
        self._sides = [np.empty(0, np.float32)]
        self._averages: dict[int, bytes] = {}

    def add_row(self, place: int, row: Row) -> None:
        """Take what the photograph at a place scored."""
        self.separation[place], self.auroc[place] = row["separation"], row["auroc"]
        self.weights, self.tap, self.stride, self.precision = (
            row[name] for name in ("weights", "tap", "stride", "precision")
        )
        self.seen += 1
        if row["diagnostics"]:
            found = np.array(row["diagnostics"])
            self._sums += found[:, : len(NUMBERS)]
            self._flags |= np.stack([found[:, -2] > 0, found[:, -1] == 0], axis=1)
            self._diagnosed += 1
        if row["by_size"]:
            self.by_size[place] = row["by_size"]
            self._sides.append(np.frombuffer(row["sides"], np.float32))
            if row["boxes"]:
                self._averages[place] = row["averages"]

    @property
    def sides(self) -> Values:
        """(N,) sides of all boxes, in cells."""
        return np.concatenate(self._sides).astype(np.float64)

    def map_scores(self, control: PassScores | None) -> dict[str, MapScores]:
        """Scores by reduction, beside a control's."""
        return {
            name: MapScores(
                self.separation[:, k], self.auroc[:, k], None if control is None else control.separation[:, k]
            )
            for k, name in enumerate(REDUCTIONS)
        }

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

    def probe(self, labels: Mapping[int, Sequence[str]], seed: int) -> ProbeResult:
        """Whether the features of boxes tell their classes.

        Parameters
        ----------
        labels : by place, of the boxes that were asked for
        seed : of the folds
        """
        features, places = [], []
        names: list[str] = []
        for place, averages in self._averages.items():
            features.append(np.frombuffer(averages, np.float32).reshape(len(labels[place]), -1))
            names += labels[place]
            places += [place] * len(labels[place])
        found = np.concatenate(features) if features else np.empty((0, 1), np.float32)
        return probe_boxes(found, np.array(names, np.str_), np.array(places, np.int64), seed=seed)


def average(passes: Sequence[PassScores]) -> PassScores:
    """Of passes over the same images: the mean of their scores, and the numbers of all their maps together."""
    total = PassScores(len(passes[0].separation))
    total.separation = np.sum([one.separation * (1 / len(passes)) for one in passes], axis=0)
    for one in passes:
        total._sums += one._sums
        total._flags |= one._flags
        total._diagnosed += one._diagnosed
    return total
