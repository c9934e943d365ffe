"""docs/validity.md: the tables below its mark are made of the results, what stands above it is written by people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from tabulate import tabulate

from benchmarks.validity.compare import (
    BY_BACKBONE,
    END_TO_END,
    TRIAL,
    Compared,
    compare,
)
from benchmarks.validity.compute import BY_IMAGE, VARIATIONS
from benchmarks.validity.keep_results import machines
from benchmarks.validity.results import FACTOR, Candidate, Results, result_name
from convfe_core.datasets.boxes import Dataset
from convfe_core.scoring.bootstrap import Estimate, interval

PAGE = Path(__file__).resolve().parents[2] / "docs" / "validity.md"
MARK = "<!-- what follows is written by python -m benchmarks.validity -->"


def write_page(
    results: Results,
    data: Mapping[str, Dataset],
    candidates: Sequence[Candidate],
    seeds: int,
    top1: Mapping[str, float],
) -> None:
    """Write the tables below the mark; what people wrote above it stays."""
    kept = PAGE.read_text("utf-8").partition(MARK)[0].rstrip()
    paragraphs = _paragraphs(results, data, candidates, seeds, top1)
    PAGE.write_text("\n\n".join([kept, MARK, *paragraphs]) + "\n", "utf-8")


def _paragraphs(
    results: Results,
    data: Mapping[str, Dataset],
    candidates: Sequence[Candidate],
    seeds: int,
    top1: Mapping[str, float],
) -> Iterator[str]:
    if missing := _not_computed(results, [*data], candidates):
        yield f"**Not computed:** {'; '.join(missing)}."
    by_trial = {name: found for name in data if (found := compare(results, name, candidates, seeds, top1, TRIAL))}
    by_end = {name: found for name in data if (found := compare(results, name, candidates, seeds, top1, END_TO_END))}
    yield "## All data sets together"
    yield "Against trials:\n\n" + _totals([*by_trial.values()])
    last = [one for one in candidates if one.layer == "auto"]
    if len(last) < len(candidates):
        at_last = [found for name in data if (found := compare(results, name, last, seeds, top1, TRIAL))]
        yield "Against trials, backbones at their last map alone:\n\n" + _totals(at_last)
    if by_end:
        yield f"Against detectors trained end to end, {' and '.join(by_end)}:\n\n" + _totals([*by_end.values()])
    yield "## Each data set"
    for name, found in by_trial.items():
        yield f"### {name}"
        yield f"{data[name].in_words}."
        yield _backbones(found, by_end.get(name))
        yield "Against trials:\n\n" + _predictors(found)
        if name in by_end:
            yield "Against detectors trained end to end:\n\n" + _predictors(by_end[name])
    for name in by_end:
        yield f"## How fast the backbone learns, {name}"
        yield _factors(results, name, candidates)
    for name in data:
        if table := _varied(results, name, candidates[0]):
            yield f"## What holds detectors back on {name}"
            yield table
    yield "Computed on: " + ". ".join(machines(results)) + "."


def _not_computed(results: Results, names: Sequence[str], candidates: Sequence[Candidate]) -> list[str]:
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


def _backbones(found: Compared, other: Compared | None) -> str:
    titles = [title for title in (*BY_IMAGE, *BY_BACKBONE) if np.isfinite(found.values[title]).any()]
    rows = []
    for k in np.argsort(-found.truth, kind="stable"):
        row = [found.labels[k], *_truth(found, k)]
        if other:
            row += _truth(other, other.labels.index(row[0])) if row[0] in other.labels else ["", ""]
        rows.append([*row, *(_number(title, found.values[title][k]) for title in titles)])
    heads = ["AP50 of the trial", "seeds", *(["AP50, end to end", "seeds"] if other else [])]
    return _table(rows, ["backbone", *heads, *titles])


def _truth(found: Compared, place: int) -> list[str]:
    """AP50 with its interval, and the number of seeds."""
    low, high = interval(found.truth_again[:, place])
    return [f"{found.truth[place]:.2f} [{low:.2f}, {high:.2f}]", str(found.seeds[place])]


def _number(title: str, value: float) -> str:
    if not np.isfinite(value):
        return ""
    if title == "parameters":
        return f"{value / 1e6:.2f} M"
    form = {"ImageNet top-1": ".1f"}.get(title, "+.3f" if title.startswith("S,") else ".2f")
    return f"{value:{form}}"


def _predictors(found: Compared) -> str:
    rows = []
    for title in found.values:
        if told := found.agreement(title):
            one, labels = told
            order = _in_order(one.in_order.value, one.in_order.low, one.in_order.high, one.decided)
            row = [title, len(labels), order, _estimate(one.rank_correlation, "+.2f"), _estimate(one.regret, ".2f")]
            rows.append([*row, labels[one.pick], found.misplaced(title)])
    titles = ["predictor", "backbones", "decided pairs in order", "rank correlation", "regret of the pick", "pick"]
    return _table(rows, [*titles, "most misplaced"])


def _totals(every: Sequence[Compared]) -> str:
    rows = []
    for title in dict.fromkeys(title for one in every for title in one.values):
        found = [told[0] for one in every if title in one.values and (told := one.agreement(title))]
        if found:
            right, decided = sum(one.in_order.value for one in found), sum(one.decided for one in found)
            low, high = interval(np.sum([one.in_order_again for one in found], axis=0))
            worst = max(one.regret.value for one in found)
            order = _in_order(right, low, high, decided)
            rows.append([title, len(found), order, f"{right / decided:.0%}" if decided else "", f"{worst:.2f}"])
    return _table(rows, ["predictor", "data sets", "decided pairs in order", "share", "largest regret"])


def _varied(results: Results, name: str, one: Candidate) -> str | None:
    """One backbone's AP50 under other conditions, and on large boxes; None where none was tried."""
    rows = []
    for title, what in {"as usual": "trial 0", **{title: title for title in VARIATIONS}}.items():
        if found := results.get(name, one.label, what):
            low, high = interval(np.array(found["again"]))
            rows.append([title, f"{found['ap50']:.3f} [{low:.3f}, {high:.3f}]", f"{found['recall']:.2f}"])
    if len(rows) < 2:
        return None
    ended = results.get(name, one.label, result_name(FACTOR, 0)) or {"by side": {}}
    for side, (boxes, ap50) in ended["by side"].items():
        rows.append([f"end to end, {boxes} boxes of at least {side} x {side} pixels", f"{ap50:.3f}", ""])
    return _table(rows, [f"{one.label}, first seed", "AP50", "recall"])


def _factors(results: Results, name: str, candidates: Sequence[Candidate]) -> str:
    """AP50 of detectors trained end to end at each rate of the backbone, beside the trial's, the first seed of each."""
    titles = {"trial": "trial 0", **{f"factor {factor:g}": result_name(factor, 0) for factor in (0, 0.02, 0.1)}}
    rows = []
    for one in candidates:
        found = [results.get(name, one.label, what) for what in titles.values()]
        if sum(told is not None for told in found) > 2:
            rows.append([one.label, *(f"{told['ap50']:.3f}" if told else "" for told in found)])
    return _table(rows, ["backbone, first seed", *titles])


def _in_order(right: float, low: float, high: float, decided: int) -> str:
    """How many pairs are in order; some count half."""
    value, least, most = (f"{round(2 * count) / 2:g}" for count in (right, low, high))
    return f"{value} [{least}, {most}] of {decided}"


def _estimate(found: Estimate, form: str) -> str:
    return f"{found.value:{form}} [{found.low:{form}}, {found.high:{form}}]"


def _table(rows: Sequence[Sequence[object]], titles: Sequence[str]) -> str:
    return tabulate(rows, titles, tablefmt="github", disable_numparse=True)
