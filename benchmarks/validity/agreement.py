"""How well a number that is cheap to have puts backbones in the order that trained detectors put them in."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import spearmanr

from convfe_core.base.arrays import Values
from convfe_core.scoring.bootstrap import Estimate, interval


@dataclass(frozen=True)
class Agreement:
    """What a predictor is worth on one data set.

    Attributes
    ----------
    decided : pairs of backbones whose order the detectors decide: the interval of their difference is without 0
    in_order : how many of these the predictor puts in that order; one half for equal values
    rank_correlation : Spearman's
    regret : AP50 of the best backbone less that of the one that the predictor picks
    pick : the place of that one
    """

    decided: int
    in_order: Estimate
    rank_correlation: Estimate
    regret: Estimate
    pick: int


def agree(predicted: Values, predicted_again: Values, truth: Values, truth_again: Values) -> Agreement:
    """Compare a predictor with the truth.

    Parameters
    ----------
    predicted, truth : (B,) of each backbone
    predicted_again, truth_again : (R, B) of R resamples of the images, paired
    """
    pairs = []
    for one, other in combinations(range(len(truth)), 2):
        low, high = interval(truth_again[:, one] - truth_again[:, other])
        if not low <= 0 <= high:
            pairs.append((one, other) if truth[one] > truth[other] else (other, one))
    ordered = np.array([(_in_order(row, pairs)) for row in predicted_again])
    correlations = np.array([_rank_correlation(*rows) for rows in zip(predicted_again, truth_again, strict=True)])
    picks = predicted_again.argmax(axis=1)
    regrets = truth_again.max(axis=1) - truth_again[np.arange(len(picks)), picks]
    pick = int(predicted.argmax())
    return Agreement(
        decided=len(pairs),
        in_order=Estimate(_in_order(predicted, pairs), *interval(ordered)),
        rank_correlation=Estimate(_rank_correlation(predicted, truth), *interval(correlations)),
        regret=Estimate(float(truth.max() - truth[pick]), *interval(regrets)),
        pick=pick,
    )


def _in_order(values: Values, pairs: list[tuple[int, int]]) -> float:
    return float(
        sum(0.5 * (values[one] >= values[other]) + 0.5 * (values[one] > values[other]) for one, other in pairs)
    )


def _rank_correlation(one: Values, other: Values) -> float:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(spearmanr(one, other).statistic)
