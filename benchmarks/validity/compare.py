"""Predictors beside detectors on one data set: what is finished of both, and how well they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from benchmarks.validity.agreement import Agreement, agree
from benchmarks.validity.compute import BY_IMAGE, PREDICTORS
from benchmarks.validity.results import FACTOR, RESAMPLES, Candidate, Results, result_name
from convfe_core.base.arrays import Values
from convfe_core.scoring.bootstrap import image_draws

TRIAL, END_TO_END = "trial", result_name(FACTOR, 0).removesuffix(" 0")
"""What results of detectors are called, before the seed."""
BY_BACKBONE = ("box probe", "LogME of box features", "ImageNet top-1", "parameters")
TRIAL_PREDICTS = "AP50 of the trial"
FEWEST = 3
"""Backbones without which nothing is compared."""


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
        """What a predictor is worth, over the backbones that have it, and these; None for too few."""
        known = np.flatnonzero(np.isfinite(self.values[predictor]))
        if len(known) < FEWEST:
            return None
        found = agree(
            self.values[predictor][known],
            self.values_again[predictor][:, known],
            self.truth[known],
            self.truth_again[:, known],
        )
        return found, [self.labels[k] for k in known]

    def misplaced(self, predictor: str) -> str:
        """The backbone that a predictor puts farthest from its place, with both places from the best on."""
        known = np.flatnonzero(np.isfinite(self.values[predictor]))
        given, right = rankdata(-self.values[predictor][known]), rankdata(-self.truth[known])
        worst = int(np.abs(given - right).argmax())
        if given[worst] == right[worst]:
            return ""
        return f"{self.labels[known[worst]]}: place {given[worst]:g}, is {right[worst]:g}"


def compare(
    results: Results, name: str, candidates: Sequence[Candidate], seeds: int, top1: Mapping[str, float], truth: str
) -> Compared | None:
    """What is finished of a data set; None while that is too little.

    Parameters
    ----------
    truth : which detectors to compare with, `TRIAL` or `END_TO_END`; trials are predictors of the latter
    """
    columns: list[tuple[str, list[dict[str, Any]], dict[str, Any], list[dict[str, Any]]]] = []
    for one in candidates:
        trials = _seeds(results, name, one, TRIAL, seeds)
        tried = trials if truth == TRIAL else _seeds(results, name, one, truth, seeds)
        told = results.get(name, one.label, PREDICTORS)
        if tried and trials and told and "failed" not in told:
            known = {"ImageNet top-1": top1[one.label]} if one.label in top1 else {}
            columns.append((one.label, tried, told | known, trials))
    if len(columns) < FEWEST:
        return None
    values: dict[str, Values] = {}
    again: dict[str, Values] = {}
    for title in BY_IMAGE:
        scores = np.array([told[title] for _, _, told, _ in columns], np.float64).T
        values[title] = np.nanmean(scores, axis=0)
        draws = np.concatenate([*image_draws(len(scores), resamples=RESAMPLES)])
        again[title] = np.array([np.nanmean(scores[draw], axis=0) for draw in draws])
    for kept in (values, again):
        mean, largest = kept["S, mean map"], kept["S, max map"]
        kept |= {
            "S, mean map, without its sign": np.abs(mean),
            "S, the larger of mean and max": np.maximum(mean, largest),
        }
    for title in BY_BACKBONE:
        numbers = [np.nan if told[title] is None else told[title] for _, _, told, _ in columns]
        values[title] = np.array(numbers, np.float64)
        again[title] = np.tile(values[title], (RESAMPLES, 1))
    if truth != TRIAL:
        values[TRIAL_PREDICTS], again[TRIAL_PREDICTS] = _ap50([trials for _, _, _, trials in columns])
    found, found_again = _ap50([tried for _, tried, _, _ in columns])
    return Compared(
        labels=[label for label, _, _, _ in columns],
        seeds=[len(tried) for _, tried, _, _ in columns],
        truth=found,
        truth_again=found_again,
        values=values,
        values_again=again,
    )


def _seeds(results: Results, name: str, one: Candidate, what: str, seeds: int) -> list[dict[str, Any]]:
    """The detectors that were trained, one a seed; none where one failed."""
    found = [told for seed in range(seeds) if (told := results.get(name, one.label, f"{what} {seed}"))]
    return [] if any("failed" in told for told in found) else found


def _ap50(detectors: Sequence[Sequence[dict[str, Any]]]) -> tuple[Values, Values]:
    """(B,) means over the seeds of each backbone, and (R, B) of resamples."""
    means = np.array([np.mean([one["ap50"] for one in tried]) for tried in detectors])
    return means, np.array([np.mean([one["again"] for one in tried], axis=0) for tried in detectors]).T
