"""How well a number that is cheap to have puts backbones in the order that trained detectors put them in."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import rankdata

from convfe_core.base.arrays import Values
from convfe_core.scoring.bootstrap import Estimate, interval


@dataclass(frozen=True, eq=False)
class Agreement:
    """What a predictor is worth on one data set.

    Attributes
    ----------
    decided : pairs of backbones whose order the detectors decide: the interval of their difference is without 0
    in_order, in_order_again : how many of these the predictor puts in that order, one half for equal values; and (R,)
        of the resamples
    rank_correlation : Spearman's
    regret : AP50 of the best backbone less that of the one that the predictor picks
    pick : the place of that one
    """

    decided: int
    in_order: Estimate
    in_order_again: Values
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
    ordered = _in_order(predicted_again, pairs)
    picks = predicted_again.argmax(axis=1)
    regrets = truth_again.max(axis=1) - truth_again[np.arange(len(picks)), picks]
    pick = int(predicted.argmax())
    return Agreement(
        decided=len(pairs),
        in_order=Estimate(float(_in_order(predicted[None], pairs)[0]), *interval(ordered)),
        in_order_again=ordered,
        rank_correlation=Estimate(
            float(_rank_correlation(predicted[None], truth[None])[0]),
            *interval(_rank_correlation(predicted_again, truth_again)),
        ),
        regret=Estimate(float(truth.max() - truth[pick]), *interval(regrets)),
        pick=pick,
    )


def _in_order(values: Values, pairs: list[tuple[int, int]]) -> Values:
    """(R, B) -> (R,) pairs whose first has the larger value, one half for equal ones."""
    better, worse = (values[:, [pair[k] for pair in pairs]] for k in (0, 1))
    found: Values = (0.5 * (better >= worse) + 0.5 * (better > worse)).sum(axis=1)
    return found


def _rank_correlation(one: Values, other: Values) -> Values:
    """(R, B) twice -> (R,) Spearman's of each row; 0 where all of one are equal."""
    first, second = (rankdata(values, axis=1) - (values.shape[1] + 1) / 2 for values in (one, other))
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    found: Values = np.divide((first * second).sum(axis=1), lengths, out=np.zeros(len(one)), where=lengths > 0)
    return found
