"""Separation: exact small cases, the same numbers as counting pairs, nothing for boxes that mean nothing."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from convfe_core.datasets.boxes import ImageBoxes
from convfe_core.scoring.separation import (
    COMPARISONS,
    Comparison,
    auroc,
    aurocs,
    box_cells,
    inside_mask,
)

CENTRES = np.arange(4) * 10.0 + 5  # of a 4 x 4 grid on 40 x 40 pixels


def image(*boxes: tuple[float, float, float, float], name: str = "a", side: int = 40) -> ImageBoxes:
    return ImageBoxes(name, side, side, np.array(boxes, np.float64).reshape(-1, 4), ("thing",) * len(boxes))


def count_pairs(values: NDArray[np.float64], inside: NDArray[np.bool_]) -> float:
    """AUROC as its definition says it."""
    pairs = list(product(values[inside], values[~inside]))
    return sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs)


INSIDE = np.array([[True, True, False], [False, False, False]])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[3, 2, 1], [0, 0, 1]], 1.0),
        ([[0, 0, 1], [2, 3, 1]], 0.0),
        ([[7, 7, 7], [7, 7, 7]], 0.5),
        ([[1, 0, 1], [0, 0, 0]], (1 * 3.5 + 1 * 1.5) / 8),
        ([[np.inf, 5, 1], [0, 0, -np.inf]], 1.0),
    ],
)
def test_auroc_of_a_perfect_an_inverted_a_constant_and_a_tied_map(values: list[list[float]], expected: float) -> None:
    assert auroc(np.array(values, np.float32), INSIDE) == expected


def test_auroc_is_undefined_when_no_cell_is_inside_or_none_outside_or_a_value_is_missing() -> None:
    values = np.arange(6.0).reshape(2, 3)
    assert np.isnan(auroc(values, np.zeros((2, 3), bool)))
    assert np.isnan(auroc(values, np.ones((2, 3), bool)))
    assert np.isnan(aurocs(np.array([[1.0, np.nan, 2.0], [1.0, 2.0, 3.0]]), np.array([[True, False, False]]))[0, 0])
    assert aurocs(np.array([[1.0, np.nan, 2.0], [1.0, 2.0, 3.0]]), np.array([[True, False, False]]))[1, 0] == 0.0


def test_auroc_is_the_share_of_pairs_won() -> None:
    random = np.random.default_rng(1)
    values = random.integers(0, 6, (5, 30)).astype(np.float64)
    inside = random.random((7, 30)) < 0.4
    expected = [[count_pairs(v, m) for m in inside] for v in values]
    np.testing.assert_allclose(aurocs(values, inside), expected, atol=1e-12)


def test_a_cell_is_inside_when_its_centre_is() -> None:
    mask = inside_mask(np.array([[5.0, 15.0, 25.0, 16.0], [35, 35, 36, 36]]), CENTRES, CENTRES)
    expected = np.zeros((4, 4), bool)
    expected[1, [0, 1]] = True  # the lower bound belongs to the box, the upper one does not
    expected[3, 3] = True
    np.testing.assert_array_equal(mask, expected)
    assert not inside_mask(np.empty((0, 4)), CENTRES, CENTRES).any()


def test_separation_is_the_own_auroc_less_the_mean_over_other_images() -> None:
    images = [image((0, 0, 10, 10)), image((0, 0, 80, 80), side=160), image((30, 30, 40, 40))]
    values = np.zeros((1, 4, 4), np.float32)
    values[0, 0, 0] = 1
    scores = Comparison(images).score(0, values, CENTRES, CENTRES)
    assert scores.auroc[0] == 1.0
    quarter = 0.5 + 0.5 / 4  # the second image's box covers the top left 2 x 2 cells once stretched to this frame
    corner = 0.5 * (14 / 15)  # the third image's cell beats no cell, is level with 14 and below one
    assert scores.others[0] == pytest.approx((quarter + corner) / 2)
    assert scores.separation[0] == pytest.approx(1 - (quarter + corner) / 2)


@pytest.mark.parametrize(
    "images",
    [
        [image((0, 0, 10, 10))],
        [image((0, 0, 10, 10)), image()],
        [image((0, 0, 40, 40)), image((0, 0, 10, 10))],
        [image((1, 1, 3, 3)), image((0, 0, 10, 10))],
        [image((0, 0, 10, 10)), image((1, 1, 3, 3)), image((0, 0, 40, 40))],
    ],
    ids=["one image", "others without boxes", "box covers everything", "box holds no cell", "others say nothing"],
)
def test_images_that_cannot_be_scored_are_left_out(images: list[ImageBoxes]) -> None:
    values = np.random.default_rng(0).random((2, 4, 4))
    assert np.isnan(Comparison(images).score(0, values, CENTRES, CENTRES).separation).all()


def test_a_single_cell_and_maps_without_numbers_are_left_out() -> None:
    comparison = Comparison([image((0, 0, 30, 30)), image((20, 20, 40, 40))])
    for values, centres in [(np.ones((2, 1, 1)), np.array([20.0])), (np.full((2, 4, 4), np.nan), CENTRES)]:
        assert np.isnan(comparison.score(0, values, centres, centres).separation).all()
        assert np.isnan(np.stack([*comparison.score_sizes(0, values, centres, centres).values()])).all()


def test_a_constant_map_separates_nothing() -> None:
    images = [image((0, 0, 10, 10)), image((20, 20, 40, 40))]
    scores = Comparison(images).score(0, np.ones((1, 4, 4)), CENTRES, CENTRES)
    assert (scores.auroc[0], scores.separation[0]) == (0.5, 0.0)


def test_many_other_images_are_sampled_alike_every_time() -> None:
    images = [image((0, 0, 10, 10)) for _ in range(200)]
    images[7] = image()
    chosen = Comparison(images).others(3)
    assert len(chosen) == len(set(chosen)) == COMPARISONS
    assert not {3, 7} & set(chosen)
    np.testing.assert_array_equal(chosen, Comparison(images).others(3))
    assert set(chosen) != set(Comparison(images).others(4))
    assert len(Comparison(images[: COMPARISONS + 1]).others(3)) == COMPARISONS - 1


def test_boxes_shuffled_between_images_separate_nothing() -> None:
    """Maps that know their own boxes score high; the same maps against boxes of other images score nothing."""
    random = np.random.default_rng(5)
    corners = random.random((120, 2)) * 25
    images = [image((x, y, x + 15, y + 15)) for x, y in corners]
    maps = [inside_mask(i.boxes, CENTRES, CENTRES) + random.random((4, 4)) for i in images]

    def separations(scored: list[ImageBoxes]) -> NDArray[np.float64]:
        comparison = Comparison(scored)
        found = [comparison.score(k, m[None], CENTRES, CENTRES).separation[0] for k, m in enumerate(maps)]
        return np.array(found)[np.isfinite(found)]

    honest = separations(images)
    shuffled = separations([images[k] for k in random.permutation(len(images))])
    assert honest.mean() > 0.3
    assert abs(shuffled.mean()) < 1.96 * shuffled.std() / np.sqrt(len(shuffled))


def test_box_sizes_are_counted_in_cells() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [0, 0, 40, 10]])
    assert box_cells(boxes, CENTRES, CENTRES).tolist() == [1.0, 2.0]


def test_each_size_of_box_is_scored_on_its_own() -> None:
    images = [image((0, 0, 10, 10), (10, 20, 40, 40)), image((30, 0, 40, 10)), image((0, 0, 30, 20))]
    values = np.zeros((1, 4, 4))
    values[0, 2:, 1:] = 5  # the medium box's cells shine
    values[0, 0, 0] = 1  # the small box's cell is above the background, below the medium box's
    sizes = Comparison(images).score_sizes(0, values, CENTRES, CENTRES)
    small_elsewhere = (8 * 0.5) / 15  # the second image's cell, (0, 3), is level with 8 others and below 7
    assert sizes["small"][0] == pytest.approx(1 - small_elsewhere)
    assert sizes["medium"][0] > 0.4
    assert np.isnan(sizes["large"][0])


def test_sizes_agree_with_the_plain_score_when_all_boxes_are_of_one_size() -> None:
    random = np.random.default_rng(3)
    images = [image((x, y, x + 12, y + 12)) for x, y in random.random((9, 2)) * 28]
    values = random.integers(0, 4, (3, 4, 4)).astype(np.float64)
    comparison = Comparison(images)
    plain = comparison.score(2, values, CENTRES, CENTRES).separation
    np.testing.assert_allclose(comparison.score_sizes(2, values, CENTRES, CENTRES)["small"], plain, atol=1e-12)


def test_maps_of_another_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="Expected maps of 4 x 4 cells"):
        Comparison([image((0, 0, 9, 9))]).score(0, np.zeros((1, 3, 4)), CENTRES, CENTRES)
