"""Diagnostics: the same numbers as independent computations, and never NaN."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import shannon_entropy

from convfe_core.maps.map_diagnostics import (
    diagnose_map,
    gini_index,
    map_warning,
    morans_i,
    otsu_separability,
    saturated_share,
    scale_to_unit,
    value_entropy,
)

NOISE = np.random.default_rng(2).random((9, 13))
CHEQUERED = np.indices((6, 8)).sum(axis=0) % 2 * 1.0
BLOB = np.exp(-((np.indices((12, 12)) - 5.5) ** 2).sum(axis=0) / 8)


@pytest.mark.parametrize("values", [NOISE, BLOB, CHEQUERED])
def test_gini_is_half_the_relative_mean_difference(values: np.ndarray) -> None:
    flat = values.ravel()
    expected = np.abs(flat[:, None] - flat[None, :]).mean() / (2 * flat.mean())
    assert gini_index(values) == pytest.approx(expected)


def test_gini_of_equal_and_of_one_sided_shares() -> None:
    assert gini_index(np.ones((3, 4))) == pytest.approx(0)
    assert gini_index(np.eye(1, 10)) == pytest.approx(0.9)
    assert gini_index(np.zeros((2, 2))) == 0


@pytest.mark.parametrize("values", [NOISE, BLOB, CHEQUERED, NOISE[:1]])
def test_moran_counts_rook_neighbours(values: np.ndarray) -> None:
    rook = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]])
    deviations = values - values.mean()
    weights = ndimage.convolve(np.ones_like(values), rook, mode="constant").sum()
    products = (deviations * ndimage.convolve(deviations, rook, mode="constant")).sum()
    expected = values.size / weights * products / (deviations**2).sum()
    assert morans_i(values) == pytest.approx(expected)


def test_moran_of_a_chequered_and_a_smooth_map() -> None:
    assert morans_i(CHEQUERED) == pytest.approx(-1)
    assert morans_i(BLOB) > 0.8
    assert morans_i(np.ones((1, 1))) == 0


@pytest.mark.parametrize("values", [NOISE, BLOB, CHEQUERED])
def test_otsu_explains_the_variance_between_its_two_groups(values: np.ndarray) -> None:
    above = values > threshold_otsu(values)
    within = above.mean() * values[above].var() + (1 - above.mean()) * values[~above].var()
    assert otsu_separability(values) == pytest.approx(1 - within / values.var())


def test_otsu_of_two_values_is_perfect_and_of_one_nothing() -> None:
    assert otsu_separability(CHEQUERED) == pytest.approx(1)
    assert otsu_separability(np.full((3, 3), 2.0)) == 0


def test_entropy_is_scikit_images_over_32_levels() -> None:
    levels = np.minimum((scale_to_unit(NOISE) * 32).astype(int), 31)
    assert value_entropy(scale_to_unit(NOISE)) == pytest.approx(shannon_entropy(levels))
    assert value_entropy(CHEQUERED) == pytest.approx(1)


def test_saturation_counts_the_cells_at_the_top() -> None:
    assert saturated_share(np.array([[6, 6, 6, 1.0]])) == 0.75
    assert saturated_share(NOISE) == 0


@pytest.mark.parametrize("values", [np.full((4, 5), 3.0), np.zeros((1, 1)), np.full((2, 2), -7e30)])
def test_a_constant_map_gives_zeros_and_a_flag(values: np.ndarray) -> None:
    found = diagnose_map(values.astype(np.float32), dead=0.25)
    assert found.flat
    assert found.finite
    assert (found.gini, found.moran, found.clarity, found.otsu, found.entropy, found.saturated) == (0,) * 6
    assert found.dead == 0.25


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_map_with_no_numbers_gives_zeros_and_a_flag(bad: float) -> None:
    values = NOISE.astype(np.float32)
    values[0, 0] = bad
    found = diagnose_map(values)
    assert not found.finite
    assert (found.gini, found.moran, found.clarity, found.otsu, found.entropy) == (0,) * 5
    assert map_warning(values) == (
        "under 1 % of the cells are no numbers: the network overflowed or its weights are damaged"
    )


def test_clarity_is_gini_times_moran_and_scale_does_not_matter() -> None:
    small, large = diagnose_map(BLOB), diagnose_map(BLOB * 1e6 - 500)
    assert small.clarity == pytest.approx(small.gini * small.moran)
    assert small.clarity > diagnose_map(NOISE).clarity + 0.3
    for name in ("gini", "moran", "otsu", "entropy"):
        assert getattr(small, name) == pytest.approx(getattr(large, name), abs=1e-6)


def test_huge_values_scale_without_overflow() -> None:
    assert scale_to_unit(np.array([[-3e38, 0, 3e38]], np.float32)).tolist() == [[0, 0.5, 1]]
    assert scale_to_unit(np.array([[-1.7e308, 1.7e308]])).tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("values", "beginning"),
    [
        (BLOB, None),
        (np.zeros((4, 4)), "flat"),
        (1e6 + NOISE * 1e-3, "flat"),
        (np.minimum(NOISE, np.quantile(NOISE, 0.3)), "cut off: 70 %"),
        (np.minimum(NOISE, np.quantile(NOISE, 0.6)), None),
        (np.zeros((1, 1)), "a single cell"),
        (np.full((2, 2), np.nan), "100 % of the cells are no numbers"),
    ],
)
def test_a_map_that_cannot_be_trusted_says_why(values: np.ndarray, beginning: str | None) -> None:
    said = map_warning(values.astype(np.float32))
    assert said is None if beginning is None else said is not None and said.startswith(beginning)
