"""What predicts a detector? Cheap numbers against detectors that were trained, written to docs/validity.md.

    python -m benchmarks.validity --results DIR [--data raccoon] [--data coco128] [--backbone SPEC[@LAYER] ...]
                                  [--seeds 1] [--images 80] [--top1 LABEL=PERCENT] [--only NAME] [--only-write]

Every data set of `--data`, and two that are drawn here, under every backbone. What is finished lies in DIR, one JSON
file each, and is not computed again, so that it can run in pieces; the page is written from what is there. Seeds come
one after the other: after the first one there is a page already.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from benchmarks.machine import describe_machine
from benchmarks.validity.agreement import Agreement, agree
from benchmarks.validity.drawn_pictures import cells, stars
from benchmarks.validity.logme import logme
from convfe_core.backbones.network import load_as
from convfe_core.base.arrays import Values
from convfe_core.base.errors import ConvfeError
from convfe_core.base.file_sets import UploadedFiles, open_files
from convfe_core.base.folders import write_whole
from convfe_core.catalog.specs import Spec, find_architecture, parse_spec
from convfe_core.datasets.boxes import Dataset
from convfe_core.datasets.read_dataset import read_dataset
from convfe_core.jobs.local_engine import LocalEngine
from convfe_core.jobs.parts import Parts
from convfe_core.jobs.weight_pass import Pass
from convfe_core.ranking.passes import PassRuns
from convfe_core.ranking.results import RankOptions
from convfe_core.ranking.score_rows import SCHEMA, SCORED, RankJob
from convfe_core.scoring.bootstrap import Estimate, image_draws, interval
from convfe_core.trial.trial_job import TrialOptions
from convfe_core.trial.trial_run import TrialRun

PAGE = Path(__file__).resolve().parents[2] / "docs" / "validity.md"
MARK = "<!-- what follows is written by python -m benchmarks.validity -->"
BACKBONES = (
    "MobileNet-0.25:imagenet",
    "TinyResNet",
    "TinyResNet:untrained",
    "MobileNetV2-0.35:imagenet",
    "TinyMobileNet",
    "MobileNet-0.25:untrained",
    "MobileNetV2-0.35:untrained",
    "MobileNetV2-0.35:imagenet@C4",
)
DRAWN: Mapping[str, Callable[[int], dict[str, bytes]]] = {"drawn cells": cells, "drawn stars": stars}
RESAMPLES = 1000
BY_IMAGE = {"S, mean map": "mean", "S, max map": "max", "S, cell probe": "probe"}
"""Predictors that are means over images, and the map of `SCORED` that each belongs to."""
BY_BACKBONE = ("box probe", "LogME of box features", "ImageNet top-1", "parameters")


@dataclass(frozen=True)
class Candidate:
    """A backbone looked at in one layer."""

    spec: Spec
    layer: str = "auto"

    @property
    def label(self) -> str:
        """What it is called in the tables."""
        name = self.spec.label if self.spec.own else self.spec.text
        return name if self.layer == "auto" else f"{name} at {self.layer}"


class Results:
    """Finished results in a folder, a JSON file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, *names: str) -> dict[str, Any] | None:
        """What is there of a data set, a backbone and what was computed."""
        path = self._path(names)
        return json.loads(path.read_bytes()) if path.is_file() else None

    def keep(self, found: Mapping[str, Any], *names: str) -> None:
        """Write it."""
        write_whole(self._path(names), json.dumps(found).encode())

    def _path(self, names: Sequence[str]) -> Path:
        return self._folder / f"{'--'.join(name.replace('/', '_').replace(':', '=') for name in names)}.json"


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
        "parameters": load_as(methodcaller("count_params"), spec),
    }


def trial(dataset: Dataset, candidate: Candidate, seed: int) -> dict[str, Any]:
    """A detector trained and tried with one seed."""
    run = TrialRun(dataset, [candidate.spec], TrialOptions(tap=candidate.layer, seed=seed), control=False)
    found = run.result(candidate.spec)
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


def compute(results: Results, data: Mapping[str, Dataset], candidates: Sequence[Candidate], seeds: int) -> None:
    """Compute what is missing, every backbone on every data set before the next seed."""
    wanted: list[tuple[str, Candidate, str, Callable[[], dict[str, Any]]]] = []
    for seed in range(seeds):
        for one in candidates:
            for name, dataset in data.items():
                if seed == 0:
                    wanted.append((name, one, "predictors", partial(predictors, dataset, one)))
                wanted.append((name, one, f"trial {seed}", partial(trial, dataset, one, seed)))
    left = [want for want in wanted if results.get(want[0], want[1].label, want[2]) is None]
    for number, (name, one, what, work) in enumerate(left, 1):
        start = time.perf_counter()
        try:
            results.keep(work(), name, one.label, what)
        except ConvfeError as error:
            results.keep({"failed": str(error)}, name, one.label, what)
        spent = time.perf_counter() - start
        print(f"{number} of {len(left)}: {name}, {one.label}, {what}, {spent:.0f} s", file=sys.stderr, flush=True)


@dataclass(frozen=True, eq=False)
class Compared:
    """One data set: B backbones, their predictors and what their detectors found.

    Attributes
    ----------
    labels, seeds : of each backbone, and with how many seeds detectors were trained
    truth, truth_again : (B,) AP50, and (R, B) of resamples of the images
    values, values_again : by predictor, the same; NaN where a backbone has no such number
    """

    labels: list[str]
    seeds: list[int]
    truth: Values
    truth_again: Values
    values: dict[str, Values]
    values_again: dict[str, Values]

    def agreement(self, predictor: str) -> tuple[Agreement, list[str]] | None:
        """What a predictor is worth, over the backbones that have it, and these; None under 3."""
        known = np.flatnonzero(np.isfinite(self.values[predictor]))
        if len(known) < 3:
            return None
        found = agree(
            self.values[predictor][known],
            self.values_again[predictor][:, known],
            self.truth[known],
            self.truth_again[:, known],
        )
        return found, [self.labels[k] for k in known]


def gather(
    results: Results, name: str, candidates: Sequence[Candidate], seeds: int, top1: Mapping[str, float]
) -> Compared | None:
    """What is finished of a data set; None while that is too little."""
    columns: list[tuple[str, list[dict[str, Any]], dict[str, Any]]] = []
    for one in candidates:
        tried = [found for seed in range(seeds) if (found := results.get(name, one.label, f"trial {seed}"))]
        told = results.get(name, one.label, "predictors")
        if tried and told and not any("failed" in found for found in (*tried, told)):
            columns.append(
                (one.label, tried, told | ({"ImageNet top-1": top1[one.label]} if one.label in top1 else {}))
            )
    if len(columns) < 3:
        return None
    told_all = [told for _, _, told in columns]
    values, again = {}, {}
    for title in BY_IMAGE:
        scores = np.array([told[title] for told in told_all], np.float64).T
        values[title] = np.nanmean(scores, axis=0)
        draws = np.concatenate([*image_draws(len(scores), resamples=RESAMPLES)])
        again[title] = np.array([np.nanmean(scores[draw], axis=0) for draw in draws])
    for title in BY_BACKBONE:
        values[title] = np.array([np.nan if told[title] is None else told[title] for told in told_all], np.float64)
        again[title] = np.tile(values[title], (RESAMPLES, 1))
    return Compared(
        labels=[label for label, _, _ in columns],
        seeds=[len(tried) for _, tried, _ in columns],
        truth=np.array([np.mean([one["ap50"] for one in tried]) for _, tried, _ in columns]),
        truth_again=np.array([np.mean([one["again"] for one in tried], axis=0) for _, tried, _ in columns]).T,
        values=values,
        values_again=again,
    )


def page(compared: Mapping[str, tuple[str, Compared]], missing: Sequence[str], machine: str) -> Iterator[str]:
    """The tables of the page, a paragraph at a time."""
    if missing:
        yield f"**Not computed yet:** {'; '.join(missing)}."
    yield "## Each data set"
    for name, (extent, found) in compared.items():
        yield f"### {name}"
        yield f"{extent}."
        yield _backbone_table(found)
        yield _predictor_table(found)
    yield "## All data sets together"
    yield _total_table([found for _, found in compared.values()])
    yield "Computed on: " + "; ".join(machine.splitlines()) + "."


def not_computed(results: Results, names: Sequence[str], candidates: Sequence[Candidate]) -> list[str]:
    """For each data set the backbones that have not been tried on it, or could not be."""
    said = []
    for name in names:
        found = [(one.label, results.get(name, one.label, "trial 0")) for one in candidates]
        absent = [label for label, trial in found if trial is None]
        said += [f"{name} under {'any backbone' if len(absent) == len(found) else ', '.join(absent)}"] if absent else []
        said += [
            f"{name} under {label} failed: {trial['failed']}" for label, trial in found if trial and "failed" in trial
        ]
    return said


def _backbone_table(found: Compared) -> str:
    titles = [*BY_IMAGE, *BY_BACKBONE]
    rows = []
    for k in np.argsort(-found.truth, kind="stable"):
        low, high = interval(found.truth_again[:, k])
        numbers = (_number(title, found.values[title][k]) for title in titles)
        rows.append([found.labels[k], f"{found.truth[k]:.2f} [{low:.2f}, {high:.2f}]", found.seeds[k], *numbers])
    return tabulate(rows, ["backbone", "AP50", "seeds", *titles], tablefmt="github", disable_numparse=True)


def _number(title: str, value: float) -> str:
    if not np.isfinite(value):
        return ""
    if title == "parameters":
        return f"{value / 1e6:.2f} M"
    return (
        f"{value:.1f}" if title == "ImageNet top-1" else f"{value:+.3f}" if title.startswith("S,") else f"{value:.2f}"
    )


def _predictor_table(found: Compared) -> str:
    rows = []
    for title in (*BY_IMAGE, *BY_BACKBONE):
        told = found.agreement(title)
        if told is not None:
            one, labels = told
            order = f"{one.in_order.value:g} [{one.in_order.low:g}, {one.in_order.high:g}] of {one.decided}"
            row = [title, len(labels), order, _estimate(one.rank_correlation, "+.2f"), _estimate(one.regret, ".2f")]
            rows.append([*row, labels[one.pick]])
    titles = ["predictor", "backbones", "decided pairs in order", "rank correlation", "regret of the pick", "pick"]
    return tabulate(rows, titles, tablefmt="github", disable_numparse=True)


def _total_table(every: Sequence[Compared]) -> str:
    rows = []
    for title in (*BY_IMAGE, *BY_BACKBONE):
        found = [told[0] for one in every if (told := one.agreement(title)) is not None]
        if found:
            right, decided = sum(one.in_order.value for one in found), sum(one.decided for one in found)
            worst = max(one.regret.value for one in found)
            rows.append([title, len(found), f"{right:g} of {decided}", f"{worst:.2f}"])
    titles = ["predictor", "data sets", "decided pairs in order", "largest regret"]
    return tabulate(rows, titles, tablefmt="github", disable_numparse=True)


def _estimate(found: Estimate, form: str) -> str:
    return f"{found.value:{form}} [{found.low:{form}}, {found.high:{form}}]"


def write_page(paragraphs: Iterator[str]) -> None:
    """Write the tables below the mark; what people wrote above it stays."""
    kept = PAGE.read_text("utf-8").partition(MARK)[0].rstrip()
    PAGE.write_text("\n\n".join([kept, MARK, *paragraphs]) + "\n", "utf-8")


def main() -> None:
    """Compute what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, metavar="DIR")
    parser.add_argument("--data", action="append", default=[], metavar="PATH")
    parser.add_argument(
        "--backbone", action="append", default=[], metavar="SPEC[@LAYER]", help="besides the usual ones"
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--images", type=int, default=80, help="of each drawn data set")
    parser.add_argument(
        "--top1", action="append", default=[], metavar="LABEL=PERCENT", help="of a backbone of --backbone"
    )
    parser.add_argument("--only", action="append", metavar="NAME", help="compute nothing but this data set")
    parser.add_argument("--only-write", action="store_true", help="compute nothing")
    options = parser.parse_args()
    machine, results = describe_machine(), Results(options.results)
    parts = (text.rpartition("@") if "@" in text else (text, "", "auto") for text in (*BACKBONES, *options.backbone))
    candidates = [Candidate(parse_spec(text), layer) for text, _, layer in parts]
    top1 = {label: float(value) for label, _, value in (text.partition("=") for text in options.top1)}
    data = {(one := read_dataset(open_files(Path(path)))).name: one for path in options.data}
    data |= {name: read_dataset(UploadedFiles(draw(options.images).items())) for name, draw in DRAWN.items()}
    if not options.only_write:
        wanted = {name: dataset for name, dataset in data.items() if name in (options.only or data)}
        compute(results, wanted, candidates, options.seeds)
    compared = {
        name: (dataset.in_words, found)
        for name, dataset in data.items()
        if (found := gather(results, name, candidates, options.seeds, top1))
    }
    write_page(page(compared, not_computed(results, [*data], candidates), machine))


if __name__ == "__main__":
    main()
