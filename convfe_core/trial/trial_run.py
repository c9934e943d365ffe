"""A trial of backbones: a small detector on the features of each, and what it found in photographs it had not seen."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from convfe_core.backbones.precision import computes_in_bfloat16
from convfe_core.base.errors import AnnotationError, ConvfeError, SpecError
from convfe_core.base.folders import Folder, LocalFolder
from convfe_core.base.pace import Pace, Tell, tell_nobody
from convfe_core.base.wording import counted
from convfe_core.catalog.memory_need import require_room
from convfe_core.catalog.specs import Spec
from convfe_core.datasets.boxes import Dataset, ImageBoxes
from convfe_core.jobs.local_engine import LocalEngine
from convfe_core.jobs.parts import Parts
from convfe_core.jobs.shards import Engine, Row
from convfe_core.jobs.weight_pass import Pass
from convfe_core.scoring.bootstrap import Estimate, interval
from convfe_core.scoring.trial_scores import FEWEST_TRIAL_IMAGES, TrialScores
from convfe_core.trial.average_precision import Detections, Matches, match_detections
from convfe_core.trial.stages import ADDED, STAGES
from convfe_core.trial.trial_job import SCHEMA, TRIAL_IMAGES, TrialJob, TrialOptions

IMAGE_SECONDS = 1.2
"""What a trial takes for an image on one core, all folds together, with a map of 10 x 10 cells."""
CONTROL_SEED = 0
"""Of the untrained weights that a trained backbone is compared with."""


@dataclass(frozen=True, eq=False)
class Tried:
    """What was found out by trying a detector on one backbone.

    Attributes
    ----------
    scores : beside those of its control, where there is one
    notes : what to know about them, a sentence each
    images : the photographs it was tried on, with their boxes
    detections : what it found on each of them
    matches : which of these find boxes
    """

    scores: TrialScores
    notes: tuple[str, ...]
    images: Sequence[ImageBoxes]
    detections: Sequence[Detections]
    matches: Matches


def expected_minutes(dataset: Dataset, specs: Sequence[Spec], *, control: bool, cores: int) -> int:
    """About how long trials take, at least a minute."""
    images = min(TRIAL_IMAGES, sum(len(image.boxes) > 0 for image in dataset.images))
    return max(1, round(IMAGE_SECONDS * images * sum(len(_passes_of(spec, control)) for spec in specs) / cores / 60))


class TrialRun:
    """Tries detectors on backbones.

    Parameters
    ----------
    dataset : photographs with boxes
    specs : the backbones, all of them, for the time that is left
    options : how they are tried
    control : try the untrained control of each trained backbone, too
    work : folder for finished parts, from which a run that was killed resumes, and for features
    keep_features : leave these there
    engine, on_progress, clock, make_room : as of `convfe_core.ranking.run.RankRun`
    """

    def __init__(
        self,
        dataset: Dataset,
        specs: Sequence[Spec],
        options: TrialOptions,
        *,
        control: bool = True,
        work: Folder | str | Path | None = None,
        keep_features: bool = False,
        engine: Engine | None = None,
        on_progress: Tell = tell_nobody,
        clock: Callable[[], float] = time.monotonic,
        make_room: Callable[[Spec], None] = require_room,
    ) -> None:
        self.options = options
        self._dataset = dataset
        self._passes = {spec: _passes_of(spec, control) for spec in specs}
        by_name = {one.name: one for passes in self._passes.values() for one in passes}
        self._parts = Parts(work, SCHEMA)
        local = self._parts.folder.path / "features" if isinstance(self._parts.folder, LocalFolder) else None
        bfloat16 = computes_in_bfloat16(options.precision)
        self._job = TrialJob(dataset, options, by_name, bfloat16, local, keep_features, make_room)
        self._engine = engine or LocalEngine()
        self._tell = on_progress
        self._pace = Pace(sum(map(self.work, specs)), clock)
        self._errors: dict[Spec, ConvfeError | None] = {}  # None for what went well
        self._elsewhere = partial(
            TrialRun,
            dataset,
            control=False,
            work=work,
            keep_features=keep_features,
            engine=engine,
            on_progress=on_progress,
            clock=clock,
            make_room=make_room,
        )

    def work(self, spec: Spec) -> int:
        """How many images its trial takes, those of its control included."""
        return len(self._job.places) * len(self._passes[spec])

    def compute(self, specs: Sequence[Spec]) -> None:
        """Try detectors on backbones and their controls; `result` says what came of it.

        Raises
        ------
        SpecError : no such backbone or layer
        """
        shards = {one.name: self._job.shards(one) for spec in specs for one in self._passes[spec]}
        every = [shard for some in shards.values() for shard in some]
        errors = self._engine.finish(self._job, every, self._parts, self._pace, self._tell)
        for spec in specs:
            reasons = [errors[s.name] for one in self._passes[spec] for s in shards[one.name] if s.name in errors]
            self._errors[spec] = next(iter(reasons), None)

    def result(self, spec: Spec) -> Tried:
        """Try a detector on one backbone, unless that is done, and say how good it is.

        Raises
        ------
        ConvfeError : why it cannot be tried
        """
        if spec not in self._errors:
            self.compute([spec])
        if error := self._errors[spec]:
            raise error
        own, *controls = (self._tried(one) for one in self._passes[spec])
        for control in controls:
            return replace(own, scores=replace(own.scores, control=control.scores))
        return own

    def by_stage(self, spec: Spec) -> dict[str, Tried]:
        """Try a detector on one backbone at each stage that it has, and on all added up, without controls.

        Raises
        ------
        ConvfeError : why it cannot be tried
        """
        found = {}
        for tap in (*STAGES, ADDED):
            with suppress(SpecError):  # it has no such stage
                found[tap] = self._elsewhere([spec], replace(self.options, tap=tap)).result(spec)
        return found

    def _tried(self, one: Pass) -> Tried:
        """Put together what a finished pass found."""
        rows = [pair for shard in self._job.shards(one) for pair in self._parts.rows(shard)]
        rows = [(image, row) for image, row in rows if not row["reason"]]
        if not rows:
            raise AnnotationError(f"{self._dataset.source.label}: expected images with boxes to try, got none.")
        rows.sort(key=lambda pair: pair[0].place)
        images = [self._dataset.images[image.place] for image, _ in rows]
        numbers = [np.frombuffer(row["found"], np.float32).reshape(-1, 5).astype(np.float64) for _, row in rows]
        detections = [Detections(some[:, :4], some[:, 4]) for some in numbers]
        matches = match_detections(images, detections)
        resampled = matches.resampled_ap50(self.options.seed)
        scores = TrialScores(
            ap50=Estimate(matches.ap50, *interval(resampled)),
            ap=matches.ap,
            recall=matches.recall,
            images=len(images),
            seconds=sum(row["seconds"] for _, row in rows),
            resampled=resampled,
        )
        notes = self._notes(images, [row for _, row in rows])
        return Tried(scores, notes, images, detections, matches)

    def _notes(self, images: Sequence[ImageBoxes], rows: Sequence[Row]) -> tuple[str, ...]:
        said = []
        boxed = sum(len(image.boxes) > 0 for image in self._dataset.images)
        if boxed > len(self._job.places):
            said.append(f"trial on {len(self._job.places):,} images drawn from {boxed:,}")
        if len(images) < FEWEST_TRIAL_IMAGES:
            said.append(f"trial on {counted(len(images), 'image')}; under {FEWEST_TRIAL_IMAGES} it names no winner")
        boxes, alone = sum(len(image.boxes) for image in images), sum(row["without_cell"] for row in rows)
        if alone:
            said.append(
                f"trial: no cell belongs to {alone:,} of {counted(boxes, 'box', 'boxes')} ({alone / boxes:.0%}); the "
                "nearest that is free stands for each"
            )
        if all(row["cells"] == 1 for row in rows):
            said.append("trial: its map is a single cell, so that one box an image can be found at most")
        return tuple(said)


def _passes_of(spec: Spec, control: bool) -> list[Pass]:
    """A backbone's own pass, and that of its control where its weights are trained."""
    own = Pass(spec)
    return [own, Pass(spec, CONTROL_SEED)] if control and own.spec.trained else [own]
