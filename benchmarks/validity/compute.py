"""What the study computes: predictors, detectors with several seeds, and one detector under other conditions."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import methodcaller
from typing import Any

from benchmarks.machine import machine_name, versions
from benchmarks.validity.logme import logme
from benchmarks.validity.results import RESAMPLES, Candidate, Results
from convfe_core.backbones.network import load_as
from convfe_core.base.errors import ConvfeError
from convfe_core.catalog.specs import find_architecture
from convfe_core.datasets.boxes import Dataset
from convfe_core.jobs.local_engine import LocalEngine
from convfe_core.jobs.parts import Parts
from convfe_core.jobs.weight_pass import Pass
from convfe_core.maps.input_size import Size
from convfe_core.ranking.passes import PassRuns
from convfe_core.ranking.results import RankOptions
from convfe_core.ranking.score_rows import SCHEMA, SCORED, RankJob
from convfe_core.trial.detector import Recipe
from convfe_core.trial.trial_job import TrialOptions
from convfe_core.trial.trial_run import TrialRun

BY_IMAGE = {"S, mean map": "mean", "S, max map": "max", "S, cell probe": "probe"}
"""Predictors that are means over images, and the map of `SCORED` that each belongs to."""
PREDICTORS = "predictors"
VARIATIONS: Mapping[str, TrialOptions] = {
    "half of the images": TrialOptions(images=40),
    "120 epochs": TrialOptions(recipe=Recipe(epochs=120)),
    "640 pixels": TrialOptions(size=Size("640")),
    "at C4": TrialOptions(tap="C4"),
}
"""Trials that differ in one thing from the usual one, of 60 epochs on a map of 320 pixels' stage C5."""


@dataclass(frozen=True, eq=False)
class Task:
    """One result to be computed."""

    name: str
    dataset: Dataset
    candidate: Candidate
    what: str
    options: TrialOptions | None = None

    def run(self) -> tuple[dict[str, Any], float]:
        """The result, or why there is none, and the seconds it took."""
        start = time.perf_counter()
        try:
            if self.options is None:
                found = predictors(self.dataset, self.candidate)
            else:
                found = trial(self.dataset, self.candidate, self.options)
        except ConvfeError as error:
            found = {"failed": str(error)}
        told = {"machine": machine_name(), "versions": versions(), "date": datetime.now(UTC).date().isoformat()}
        return found | told, time.perf_counter() - start


def predictors(dataset: Dataset, candidate: Candidate) -> dict[str, Any]:
    """Every number that a ranking shows of a backbone, and what it is compared with."""
    spec = candidate.spec
    options = RankOptions(tap=candidate.layer, control=False, cost=False)
    one = Pass(spec)
    job = RankJob(dataset, options, {one.name: one}, bfloat16=False)
    runs = PassRuns(job, [one], LocalEngine(), Parts(None, SCHEMA))
    runs.finish([one])
    scores = runs.scores(one)
    features, names, _ = scores.box_features(job.probe.labels)
    probed = scores.probe(job.probe.labels, options.seed).balanced_accuracy
    imagenet = spec.weights == "imagenet" and spec.architecture is not None
    places = job.places
    return {
        **{title: scores.separation[places, SCORED.index(name)].tolist() for title, name in BY_IMAGE.items()},
        "box probe": probed and probed.value,
        "LogME of box features": logme(features, names.tolist()) if len(set(names.tolist())) > 1 else None,
        "ImageNet top-1": find_architecture(spec.name).top1 if imagenet else None,
        "parameters": load_as(methodcaller("count_params"), spec, candidate.layer),
    }


def trial(dataset: Dataset, candidate: Candidate, options: TrialOptions) -> dict[str, Any]:
    """A detector trained and tried."""
    found = TrialRun(dataset, [candidate.spec], options, control=False).result(candidate.spec)
    again = found.matches.resampled_ap50(resamples=RESAMPLES)
    scores = found.scores
    return {
        "ap50": scores.ap50.value,
        "again": again.tolist(),
        "ap": scores.ap,
        "recall": scores.recall,
        "seconds": scores.seconds,
        "images": scores.images,
    }


def tasks(data: Mapping[str, Dataset], candidates: Sequence[Candidate], seeds: int) -> Iterator[Task]:
    """All that the tables ask for: the first seed of everything, then the others a data set at a time."""
    for one in candidates:
        for name, dataset in data.items():
            yield Task(name, dataset, one, PREDICTORS)
            yield Task(name, dataset, one, "trial 0", TrialOptions(tap=one.layer))
    for name, dataset in data.items():
        for seed in range(1, seeds):
            for one in candidates:
                yield Task(name, dataset, one, f"trial {seed}", TrialOptions(tap=one.layer, seed=seed))


def variations(name: str, dataset: Dataset, one: Candidate) -> Iterator[Task]:
    """One backbone's trial on one data set under other conditions, to see what it is held back by."""
    for title, options in VARIATIONS.items():
        yield Task(name, dataset, one, title, options)


def compute(results: Results, wanted: Sequence[Task], processes: int) -> None:
    """Compute what is missing, each in one of so many processes."""
    left = [one for one in wanted if results.get(one.name, one.candidate.label, one.what) is None]
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(one.run): one for one in left}
        for number, done in enumerate(as_completed(running), 1):
            one = running[done]
            found, seconds = done.result()
            results.keep(found, one.name, one.candidate.label, one.what)
            said = f"{number} of {len(left)}: {one.name}, {one.candidate.label}, {one.what}, {seconds:.0f} s"
            print(said, file=sys.stderr, flush=True)
