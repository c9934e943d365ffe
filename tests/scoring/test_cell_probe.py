"""The cell probe is scikit-learn's PCA and ridge regression on held-out images, from sums; position gains nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from convfe_core.backbones.backbone import freeze_network
from convfe_core.backbones.network import open_network
from convfe_core.catalog.specs import parse_spec
from convfe_core.datasets.boxes import ImageBoxes
from convfe_core.maps.extraction import Projected, project_windows
from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.maps.input_size import Size
from convfe_core.photos.letterbox import place_on_canvas
from convfe_core.scoring.box_probe import FOLDS
from convfe_core.scoring.cell_probe import (
    BASIS,
    COMPONENTS,
    PENALTY,
    CellProbe,
    FoldMoments,
    deal_folds,
    held_out_maps,
    run_held_out_maps,
)
from convfe_core.scoring.separation import Comparison, inside_mask
from tests.support.builders import photo

Images = list[tuple[NDArray[np.float32], NDArray[np.bool_]]]


def images(count: int, channels: int, seed: int = 0) -> Images:
    """Features of grids of 24 or 40 cells, and a target that a part of their channels knows."""
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(channels, channels)) * np.geomspace(1, 0.1, channels)
    made = []
    for number in range(count):
        shape = (4, 6) if number % 2 else (5, 8)
        features = (random.normal(size=(*shape, channels)) @ mixing + random.normal(size=channels)).astype(np.float32)
        inside = features[..., 0] + random.normal(size=shape) > 0.5
        made.append((features, inside))
    return made


def learn(given: Images, seed: int = 0) -> CellProbe:
    folds = deal_folds(range(len(given)), seed)
    sums = FoldMoments(given[0][0].shape[-1], folds)
    for place, (features, inside) in enumerate(given):
        sums.add(place, features, inside)
    return sums.learn()


@pytest.mark.parametrize(("channels", "off"), [(12, 2e-5), (COMPONENTS + 16, 2e-5), (BASIS + 64, 0.01)])
def test_the_held_out_maps_are_those_of_scikit_learn(channels: int, off: float) -> None:
    from sklearn.decomposition import PCA
    from sklearn.linear_model import Ridge

    given = images(30 if channels > BASIS else 11, channels)
    learned = learn(given)
    assert learned.reason is None
    # Cells are repeated until every image has 120, and so the same weight.
    cells = [np.repeat(f.reshape(-1, channels), 120 // i.size, 0).astype(np.float64) for f, i in given]
    targets = [np.repeat(i.ravel(), 120 // i.size) for _, i in given]
    for fold in range(FOLDS):
        training = [place for place in learned.folds if learned.folds[place] != fold]
        whiten = PCA(min(COMPONENTS, channels), whiten=True, svd_solver="full")
        whitened = whiten.fit_transform(np.concatenate([cells[place] for place in training]))
        ridge = Ridge(PENALTY * (len(whitened) - 1)).fit(whitened, np.concatenate([targets[p] for p in training]))
        for place in learned.folds.keys() - training:
            features, inside = given[place]
            expected = ridge.predict(whiten.transform(features.reshape(-1, channels))).reshape(inside.shape)
            found = learned.held_out(place, features @ learned.directions)
            np.testing.assert_allclose(found - found.mean(), expected - expected.mean(), atol=off)


def test_an_image_that_nothing_was_learned_from_gets_what_all_folds_say_on_average() -> None:
    learned = learn(images(10, 6))
    features = images(1, 6, seed=1)[0][0]
    components = features @ learned.directions
    np.testing.assert_allclose(learned.held_out(99, components), components.mean(axis=-1))


def test_images_are_dealt_evenly_drawn_where_there_are_many_and_always_alike() -> None:
    places = list(range(3, 40, 2))
    folds = deal_folds(places)
    assert list(folds) == places
    sizes = np.bincount(list(folds.values()))
    assert len(sizes) == FOLDS
    assert sizes.max() - sizes.min() <= 1
    assert folds == deal_folds(places)
    assert folds != deal_folds(places, seed=1)
    few = deal_folds(places, most=7)
    assert len(few) == 7
    assert set(few) < set(places)
    assert deal_folds([]) == {}


def test_position_alone_finds_boxes_and_separates_nothing() -> None:
    """Boxes lie around the middle; features say where a cell is, so that raw AUROC is high, and S is 0."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:10, 0:10] * 32.0 + 16
    where = np.stack([y, x, y**2, x**2, x * y], axis=-1).astype(np.float32)
    marked = []
    for number in range(60):
        x_min, y_min = random.normal(110, 25, 2).clip(0, 200)
        marked.append(
            ImageBoxes(f"{number}.png", 320, 320, np.array([[x_min, y_min, x_min + 100, y_min + 100]]), ("a",))
        )
    centres = y[:, 0], x[0]
    learned = learn([(where, inside_mask(one.boxes, *centres)) for one in marked])
    comparison = Comparison(marked)
    maps = [learned.held_out(place, where @ learned.directions) for place in range(60)]
    scores = [comparison.score(place, found[None], *centres) for place, found in enumerate(maps)]
    assert np.mean([one.auroc[0] for one in scores]) > 0.8
    assert abs(np.mean([one.separation[0] for one in scores])) < 0.02


def test_a_channel_that_marks_the_objects_is_found_among_others() -> None:
    random = np.random.default_rng(0)
    given = []
    for _ in range(10):
        inside = np.zeros((8, 8), np.bool_)
        row, column = random.integers(0, 5, 2)
        inside[row : row + 3, column : column + 3] = True
        features = random.normal(0, 100, (8, 8, 20)).astype(np.float32)
        features[..., 7] = inside
        given.append((features, inside))
    learned = learn(given)
    for place, (features, inside) in enumerate(given):
        found = learned.held_out(place, features @ learned.directions)
        assert found[inside].min() > found[~inside].max()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (images(1, 4), "expected two images at least"),
        ([(f, np.zeros_like(i)) for f, i in images(6, 4)], "no cell of this map has its centre in a box"),
        ([(f, np.ones_like(i)) for f, i in images(6, 4)], "every cell of this map has its centre in a box"),
    ],
)
def test_where_there_is_nothing_to_learn_the_probe_says_why(given: Images, reason: str) -> None:
    learned = learn(given)
    assert learned.reason is not None
    assert reason in learned.reason
    assert not learned.directions.any()


@pytest.mark.parametrize("count", [2, 3, 5])
def test_fewer_images_than_folds_still_learn_from_each_other(count: int) -> None:
    learned = learn(images(count, 4))
    assert learned.reason is None
    for fold in learned.folds.values():
        assert learned.directions[:, fold].any()


@pytest.mark.parametrize(
    "features",
    [np.zeros((4, 4, 3), np.float32), np.full((4, 4, 3), 1e30, np.float32), np.ones((1, 1, 3), np.float32)],
)
def test_features_that_are_all_alike_give_a_flat_map(features: NDArray[np.float32]) -> None:
    inside = np.zeros(features.shape[:2], np.bool_)
    inside[0] = True
    learned = learn([(features, inside if number % 2 else ~inside) for number in range(6)])
    assert np.ptp(learned.held_out(0, features @ learned.directions)) == 0


def test_each_photograph_gets_the_map_that_the_others_taught() -> None:
    """By features in memory and by a backbone that runs twice, where one photograph has no box."""
    network = open_network(parse_spec("TinyResNet"))
    backbone = freeze_network(network)
    whole = np.eye(backbone.channels, dtype=np.float32)
    box = np.array([[10.0, 20, 70, 80]])
    photos, boxes = [photo(96, 128, seed) for seed in range(6)] + [photo(96, 96, 7)], [box] * 6 + [np.empty((0, 4))]
    named = ((None, one) for one in photos)
    (kept,) = project_windows(backbone, named, Size("128"), whole, lambda _one, found: found)
    features = [
        network.features(place_on_canvas(one, found.maps.frame)[None]).numpy()[0, : len(found.maps.max)]
        for one, found in zip(photos, kept, strict=True)
    ]
    features = [one[:, : found.maps.max.shape[1]] for one, found in zip(features, kept, strict=True)]
    sums = FoldMoments(backbone.channels, deal_folds(range(6)))
    for place in range(6):
        sums.add(place, features[place], inside_mask(box, kept[place].maps.centres_y, kept[place].maps.centres_x))
    learned = sums.learn()
    told: list[int] = []
    for found, reason in (
        held_out_maps(kept, boxes),
        run_held_out_maps(backbone, photos, boxes, Size("128"), tell=told.append),
    ):
        assert reason is None
        for place, one in enumerate(features):
            expected = learned.held_out(place, one @ learned.directions)
            np.testing.assert_allclose(found[place], expected, rtol=0.02, atol=0.02 * np.ptp(expected))
    assert told == list(range(1, 15))


def test_one_photograph_with_boxes_teaches_no_other(make_maps: Callable[..., FeatureMaps]) -> None:
    maps = make_maps([[0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]])
    features = [Projected(maps, np.ones((2, 3, 4), np.float32))] * 2
    maps_of, reason = held_out_maps(features, [np.array([[0.0, 0, 32, 32]]), np.empty((0, 4))])
    assert maps_of == []
    assert reason is not None
    assert "expected two images at least" in reason
