"""Passes over the photographs of a data set: finished by an engine, and what was scored in them gathered row by row."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from convfe_core.backbones.precision import Precision
from convfe_core.base.arrays import FloatArray, Values
from convfe_core.base.errors import EngineError, Skipped
from convfe_core.base.pace import Pace, Tell, tell_nobody
from convfe_core.jobs.parts import InMemory, Parts
from convfe_core.jobs.shards import Engine, Row, Shard, ShardImage
from convfe_core.jobs.weight_pass import Pass
from convfe_core.maps.feature_maps import REDUCTIONS
from convfe_core.maps.map_diagnostics import NUMBERS, Diagnostics
from convfe_core.ranking.score_rows import LEARNING, SCORED, RankJob
from convfe_core.ranking.verdict import MapScores
from convfe_core.scoring.box_probe import FOLDS, ProbeResult, probe_boxes
from convfe_core.scoring.cell_probe import TOO_FEW, CellProbe
from convfe_core.scoring.separation import SIZE_GROUPS


class PassRuns:
    """Finishes passes with an engine, and reads what was scored in them.

    Parameters
    ----------
    job : what is done in them
    passes : all that will be wanted, as often as they will
    engine : computes shards
    parts : keeps finished ones
    tell : told what is happening; may raise to end it all
    clock : seconds

    Attributes
    ----------
    pace : counts images
    elsewhere : whether the engine computes in other processes
    missing : by shard, what the engine lost and why
    unreadable : by photograph, why it cannot be read
    """

    def __init__(
        self,
        job: RankJob,
        passes: Iterable[Pass],
        engine: Engine,
        parts: Parts,
        tell: Tell = tell_nobody,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._job, self._engine, self._parts, self._tell = job, engine, parts, tell
        self._shards = {name: job.shards(one) for name, one in job.passes.items()}
        self.pace = Pace(sum(map(self.images, passes)), clock)
        self.elsewhere = engine.elsewhere
        self.missing: dict[str, Skipped] = {}
        self.unreadable: dict[str, str] = {}

    def images(self, one: Pass) -> int:
        """How many are run in a pass; those that its cell probe learns from count twice."""
        return sum(len(shard.images) for shard in self._shards[one.name])

    def finish(self, passes: Iterable[Pass]) -> None:
        """Finish passes, and note what the engine lost; an error of the backbone itself is raised.

        Where an engine computes elsewhere, all cell probes learn first, and what they learned goes to every worker with
        the job. Here each backbone is loaded once for both.
        """
        shards = [shard for one in passes for shard in self._shards[one.name]]
        self._take_learned(shards)
        if self.elsewhere:
            learning = [shard for shard in shards if shard.task == LEARNING]
            self._compute(learning)
            self._take_learned(learning)
            lost = {one.backbone: self.missing[one.name].reason for one in learning if one.name in self.missing}
            self.missing |= {one.name: Skipped(one.words, lost[one.backbone]) for one in shards if one.backbone in lost}
            shards = [shard for shard in shards if shard.task != LEARNING and shard.backbone not in lost]
        self._compute(shards)

    def scores(self, one: Pass) -> PassScores:
        """What the photographs scored in a finished pass, without what the engine lost."""
        found = PassScores(len(self._job.dataset.images))
        for shard in self._shards[one.name]:
            if shard.task != LEARNING and shard.name not in self.missing:
                for image, row in self._parts.rows(shard):
                    if row["reason"]:
                        self.unreadable[image.path] = row["reason"]
                    else:
                        found.add_row(image.place, row)
        return found

    def spend(self, one: Pass) -> None:
        """Forget the rows of a pass that is not wanted again, unless they are kept for other runs."""
        for shard in self._shards[one.name] if isinstance(self._parts.folder, InMemory) else ():
            self._parts.drop(shard)

    def _compute(self, shards: Sequence[Shard]) -> None:
        errors = self._engine.finish(self._job, shards, self._parts, self.pace, self._tell)
        for shard in shards:
            if error := errors.get(shard.name):
                if not isinstance(error, EngineError):
                    raise error
                self.missing[shard.name] = Skipped(shard.words, str(error))

    def _take_learned(self, shards: Sequence[Shard]) -> None:
        """Take what cell probes have learned in an earlier run or another process."""
        learning = [shard for shard in shards if shard.task == LEARNING]
        unfinished = {shard.name for shard in self._parts.missing(learning)}
        for shard in learning:
            if shard.name not in unfinished:
                self._job.learned[shard.backbone] = learned_from(self._parts.rows(shard))


def learned_from(rows: Iterable[tuple[ShardImage, Row]]) -> CellProbe:
    """What a cell probe learned, from the rows of the shard in which it did."""
    folds: dict[int, int] = {}
    directions, reason = b"", TOO_FEW
    for image, row in rows:
        if row["fold"] is not None:
            folds[image.place] = row["fold"]
        if row["directions"] is not None:
            directions, reason = row["directions"], row["untaught"]
    return CellProbe(np.frombuffer(directions, np.float32).reshape(-1, FOLDS), folds, reason)


class PassScores:
    """Scores of every image under one set of weights, NaN where there is none.

    Parameters
    ----------
    images : how many the data set has

    Attributes
    ----------
    separation, auroc : (N, 3) by image and `SCORED`
    by_size : (N, 3) separation by image and `SIZE_GROUPS`; of the backbone itself alone
    seen : how many images could be read
    kept : by place, the maps of some images, see `convfe_core.scoring.kept_maps`
    weights, tap, stride, precision : of the backbone
    """

    def __init__(self, images: int) -> None:
        self.separation = np.full((images, len(SCORED)), np.nan)
        self.auroc = np.full((images, len(SCORED)), np.nan)
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
        self.kept: dict[int, Row] = {}

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
            if row["maps"]:
                self.kept[place] = row["maps"]

    @property
    def sides(self) -> Values:
        """(N,) sides of all boxes, in cells."""
        return np.concatenate(self._sides).astype(np.float64)

    def map_scores(self, name: str, control: PassScores | None) -> MapScores:
        """Scores of one map of `SCORED`, beside a control's."""
        k = SCORED.index(name)
        return MapScores(self.separation[:, k], self.auroc[:, k], None if control is None else control.separation[:, k])

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

    def box_features(
        self, labels: Mapping[int, Sequence[str]]
    ) -> tuple[FloatArray, NDArray[np.str_], NDArray[np.int64]]:
        """Features averaged over boxes, (N, C), with the label of each and the place of its photograph, (N,).

        Parameters
        ----------
        labels : by place, of the boxes that were asked for
        """
        features = [np.empty((0, 1), np.float32)] if not self._averages else []
        names: list[str] = []
        places: list[int] = []
        for place, averages in self._averages.items():
            features.append(np.frombuffer(averages, np.float32).reshape(len(labels[place]), -1))
            names += labels[place]
            places += [place] * len(labels[place])
        return np.concatenate(features), np.array(names, np.str_), np.array(places, np.int64)

    def probe(self, labels: Mapping[int, Sequence[str]], seed: int) -> ProbeResult:
        """Whether the features of boxes tell their classes.

        Parameters
        ----------
        labels : by place, of the boxes that were asked for
        seed : of the folds
        """
        return probe_boxes(*self.box_features(labels), seed=seed)


def average(passes: Sequence[PassScores]) -> PassScores:
    """Of passes over the same images: the mean of their scores, and the numbers of all their maps together."""
    total = PassScores(len(passes[0].separation))
    total.separation = np.sum([one.separation * (1 / len(passes)) for one in passes], axis=0)
    for one in passes:
        total._sums += one._sums
        total._flags |= one._flags
        total._diagnosed += one._diagnosed
    return total
