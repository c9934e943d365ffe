"""Intervals: reproducible, paired, as wide as theory says, adjusted for many comparisons."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from convfe_core.scoring import bootstrap
from convfe_core.scoring.bootstrap import Estimate, estimate, holm_intervals, image_draws, interval, resampled_means

SCORES = np.random.default_rng(4).normal(0.2, 0.1, (60, 3))


def test_the_same_seed_gives_the_same_means_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = resampled_means(SCORES, seed=7)
    assert whole.shape == (2000, 3)
    monkeypatch.setattr(bootstrap, "_BLOCK", 1000)
    np.testing.assert_array_equal(resampled_means(SCORES, seed=7), whole)
    assert (resampled_means(SCORES, seed=8) != whole).any()


def test_columns_share_their_draws() -> None:
    means = resampled_means(np.stack([SCORES[:, 0], SCORES[:, 0] + 0.5], axis=1))
    np.testing.assert_allclose(means[:, 1] - means[:, 0], 0.5)


def test_the_interval_is_scipys() -> None:
    column = SCORES[:, 0]
    ours = estimate(column, resampled_means(column[:, None])[:, 0])
    theirs = stats.bootstrap((column,), np.mean, n_resamples=2000, method="percentile", rng=0).confidence_interval
    assert ours.value == pytest.approx(column.mean())
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs), abs=0.004)


def test_one_image_has_an_interval_of_no_width() -> None:
    assert estimate(np.array([0.3]), resampled_means(np.array([[0.3]]))[:, 0]) == Estimate(0.3, 0.3, 0.3)


def test_no_image_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        next(image_draws(0))


def test_holm_holds_the_clearest_difference_to_the_strictest_level() -> None:
    random = np.random.default_rng(0)
    means = random.normal([5.0, 2.2, 0.1], 1.0, (200_000, 3))
    (far_low, far_high, far), (_, _, middle), (near_low, near_high, near) = holm_intervals(means)
    assert far
    half = stats.norm.ppf(1 - 0.05 / 3 / 2)
    assert (far_low, far_high) == pytest.approx((5 - half, 5 + half), abs=0.03)
    assert not middle  # 2.2 clears the plain level, 1.96, but not the second of three, 2.24
    assert interval(means[:, 1])[0] > 0
    assert not near
    assert (near_low, near_high) == pytest.approx((0.1 - 1.96, 0.1 + 1.96), abs=0.03)


def test_after_a_tie_nothing_differs() -> None:
    column = np.random.default_rng(0).normal(2.1, 1.0, 100_000)
    assert [differs for _, _, differs in holm_intervals(np.stack([column, column + 0.001, column], axis=1))] == [
        False
    ] * 3
    assert [differs for _, _, differs in holm_intervals(column[:, None])] == [True]
