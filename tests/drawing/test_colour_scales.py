"""Colour scales reach from the lowest to the highest value of what shares them; percentiles are exact."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import rankdata

from convfe_core.drawing.colour_scales import SCOPES, percentiles, scale_limits
from convfe_core.maps.feature_maps import FeatureMaps, value_range

MakeMaps = Callable[..., FeatureMaps]


@pytest.fixture
def four(make_maps: MakeMaps) -> list[FeatureMaps]:
    return [
        make_maps([[0, 10]], [[0, 1]], digest="a", label="VGG16"),
        make_maps([[5, 20]], [[1, 2]], digest="a", label="ResNet50"),
        make_maps([[-1, 7]], [[2, 3]], digest="b", label="VGG16"),
        make_maps([[8, 40]], [[3, 4]], digest="b", label="ResNet50"),
    ]


@pytest.mark.parametrize(
    ("scope", "maxima", "means"),
    [
        ("map", [(0, 10), (5, 20), (-1, 7), (8, 40)], [(0, 1), (1, 2), (2, 3), (3, 4)]),
        ("image", [(0, 20), (0, 20), (-1, 40), (-1, 40)], [(0, 2), (0, 2), (2, 4), (2, 4)]),
        ("backbone", [(-1, 10), (5, 40), (-1, 10), (5, 40)], [(0, 3), (1, 4), (0, 3), (1, 4)]),
        ("all", [(-1, 40)] * 4, [(0, 4)] * 4),
    ],
)
def test_a_scope_shares_its_scale_and_reductions_never_do(
    four: list[FeatureMaps], scope: str, maxima: list[tuple[float, float]], means: list[tuple[float, float]]
) -> None:
    limits = scale_limits(four, scope)
    assert len(limits) == 8
    assert [limits[maps.digest, maps.label, "max"] for maps in four] == maxima
    assert [limits[maps.digest, maps.label, "mean"] for maps in four] == means


@pytest.mark.parametrize("scope", SCOPES)
def test_no_maps_have_no_scales(scope: str) -> None:
    assert scale_limits([], scope) == {}


def test_an_unknown_scope_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match=r"Expected a scope among map, image, backbone, all\. Received: 'row'"):
        scale_limits([], "row")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3], (1, 3)),
        ([np.nan, 2, np.inf, 3, -np.inf], (2, 3)),
        ([np.nan, np.inf], (0, 1)),
        ([], (0, 1)),
        ([3, 3], (1.5, 4.5)),
        ([0, 0], (-0.5, 0.5)),
        ([-2, np.nan], (-3, -1)),
    ],
)
def test_a_range_counts_finite_values_and_is_never_empty(values: list[float], expected: tuple[float, float]) -> None:
    assert value_range([np.float32([values])]) == expected


def test_maps_without_values_leave_the_range_to_the_others() -> None:
    assert value_range([np.float32([[np.nan]]), np.float32([[1, 2]])]) == (1, 2)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[4, 1], [2, 3]], [[100, 25], [50, 75]]),
        ([[0, 5], [5, 9]], [[25, 62.5], [62.5, 100]]),
        ([[7, 7, 7]], [[200 / 3, 200 / 3, 200 / 3]]),
        ([[1, np.nan], [np.inf, 2]], [[50, np.nan], [np.nan, 100]]),
        ([[np.nan]], [[np.nan]]),
        ([[3]], [[100]]),
    ],
)
def test_percentiles_are_exactly_these(values: list[list[float]], expected: list[list[float]]) -> None:
    np.testing.assert_allclose(percentiles(np.float32(values)), expected, rtol=1e-12)


@given(arrays(np.float32, (4, 5), elements=st.floats(width=32)))
def test_percentiles_are_averaged_ranks(values: np.ndarray) -> None:
    found = percentiles(values)
    finite = np.isfinite(values)
    assert np.isnan(found[~finite]).all()
    assert ((found[finite] > 0) & (found[finite] <= 100)).all()
    np.testing.assert_allclose(found[finite], rankdata(values[finite]) / max(finite.sum(), 1) * 100)
