"""Moments over cells are NumPy's weighted ones; what leaves the graph along directions is what Keras computes."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from convfe_core.backbones.backbone import collapse_channels, freeze_network, load_backbone, project_features
from convfe_core.backbones.network import open_network
from convfe_core.catalog.specs import parse_spec
from convfe_core.maps.cell_moments import CellMoments
from convfe_core.maps.extraction import extract_maps, project_windows
from convfe_core.maps.input_size import Size
from convfe_core.photos.letterbox import place_on_canvas
from tests.support.builders import noise, photo

SMALL = parse_spec("MobileNetV2-0.35:untrained")
RANDOM = np.random.default_rng(0)
SETS = [RANDOM.normal(3, 1 + RANDOM.random(5), (cells, 5)).astype(np.float32) for cells in (7, 40, 1)]
TARGETS = [RANDOM.random(len(cells)) < 0.5 for cells in SETS]


def moments(*places: int) -> CellMoments:
    made = CellMoments(5)
    for place in places:
        made.add(SETS[place], TARGETS[place])
    return made


def test_every_photograph_weighs_the_same_in_mean_and_covariance() -> None:
    weights = np.concatenate([np.full(len(cells), 1 / len(cells)) for cells in SETS])
    cells, targets = np.concatenate(SETS).astype(np.float64), np.concatenate(TARGETS)
    found = moments(0, 1, 2)
    assert (found.photographs, found.channels) == (3, 5)
    np.testing.assert_allclose(found.mean, np.average(cells, axis=0, weights=weights), rtol=1e-12)
    expected = np.cov(np.column_stack([cells, targets]).T, aweights=weights, ddof=0)
    np.testing.assert_allclose(found.covariance, expected[:5, :5], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.target_covariance, expected[5, :5], rtol=1e-9, atol=1e-12)
    assert found.target_mean == pytest.approx(np.average(targets, weights=weights))


def test_a_part_can_be_added_and_taken_out_again() -> None:
    whole = moments(0, 1) + moments(2)
    np.testing.assert_allclose(whole.covariance, moments(0, 1, 2).covariance, rtol=1e-12)
    without = whole - moments(1)
    assert without.photographs == 2
    np.testing.assert_allclose(without.mean, moments(0, 2).mean, rtol=1e-12)
    np.testing.assert_allclose(without.covariance, moments(0, 2).covariance, rtol=1e-9, atol=1e-12)


def test_principal_components_are_those_of_sklearn_with_the_largest_loading_positive() -> None:
    one = CellMoments(5)
    one.add(SETS[1])
    directions, variances = one.principal_components(3)
    known = PCA(3).fit(SETS[1].astype(np.float64))
    loadings = known.components_.T
    loadings = loadings * np.sign(loadings[np.abs(loadings).argmax(0), range(3)])
    np.testing.assert_allclose(directions, loadings, atol=1e-9)
    np.testing.assert_allclose(variances, known.explained_variance_ * 39 / 40, rtol=1e-9)


@pytest.mark.parametrize(
    ("cells", "components"),
    [
        (np.full((9, 4), 7.3), 0),
        (np.zeros((9, 4)), 0),
        (np.ones((1, 4)), 0),
        (RANDOM.random((9, 1)) * [[1, 2, 0, 3]] + 5, 1),
        (RANDOM.random((9, 2)), 2),
    ],
)
def test_there_are_no_more_components_than_the_features_vary_in(cells, components) -> None:
    found = CellMoments(cells.shape[1])
    found.add(cells.astype(np.float32))
    directions, variances = found.principal_components(3)
    assert directions.shape == (cells.shape[1], components)
    assert variances.shape == (components,)


def test_moments_of_nothing_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least one photograph"):
        _ = CellMoments(3).mean
    with pytest.raises(ValueError, match="at least one cell"):
        CellMoments(3).add(np.empty((0, 3), np.float32))


@pytest.mark.machine
@pytest.mark.parametrize("precision", ["float32", "fast"])
def test_a_graph_projects_the_features_that_keras_computes(precision) -> None:
    import keras

    network = open_network(SMALL)
    model = keras.Model(network.model.inputs, network.tensor)
    batch = np.stack([noise(96, 128), noise(96, 128, seed=1)])
    features = np.asarray(model(batch.astype(np.float32) / 127.5 - 1, training=False))
    backbone = freeze_network(network, precision)
    assert backbone.channels == features.shape[-1]
    directions = np.random.default_rng(1).normal(0, 0.03, (backbone.channels, 3)).astype(np.float32)
    size = np.ptp(features)
    exact = precision == "float32" or backbone.precision == "float32"
    _, _, projection = backbone.run(batch, directions)
    _, _, whole = backbone.run(batch, np.eye(backbone.channels, dtype=np.float32))
    np.testing.assert_allclose(whole, features, atol=(1e-4 if exact else 0.1) * size)
    np.testing.assert_allclose(projection, whole @ directions, atol=1e-5 * size)
    maximum, mean, nothing = backbone.run(batch, backbone.no_directions)
    assert nothing.shape == (2, 3, 4, 0)
    np.testing.assert_array_equal(maximum, whole.max(-1))
    np.testing.assert_allclose(mean, whole.mean(-1), atol=1e-6 * size)


def test_a_feature_that_is_no_number_does_not_spread() -> None:
    features = np.ones((1, 2, 2, 3), np.float32)
    features[0, 0, 0, 1], features[0, 1, 1, 2] = np.inf, np.nan
    _, mean = collapse_channels(features)
    whole = project_features(features, mean, np.eye(3, dtype=np.float32))
    np.testing.assert_array_equal(np.isfinite(mean[0]), [[False, True], [True, False]])
    expected = np.ones((1, 2, 2, 3))
    expected[0, 0, 0, 1] = expected[0, 1, 1, 2] = 0
    np.testing.assert_array_equal(whole, expected)


def test_whole_features_are_those_of_the_product_with_the_identity() -> None:
    features = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    swapped = np.eye(5, dtype=np.float32)[[1, 0, 2, 3, 4]]
    for directions in (np.eye(5, dtype=np.float32), swapped, swapped[:, :2], swapped[:, :0]):
        found = project_features(features, features.mean(axis=-1), directions)
        np.testing.assert_array_equal(found, features @ directions)


def test_components_are_of_the_cells_on_the_photograph() -> None:
    backbone = load_backbone(SMALL)
    photos = [photo(50, 160), photo(96, 128, 1), photo(50, 160, 2)]
    directions = np.eye(backbone.channels, dtype=np.float32)[:, :4]
    windows = project_windows(
        backbone, enumerate(photos), Size("160"), directions, lambda one, found: (one.key, found.maps, found.components)
    )
    found = [member for window in windows for member in window]
    for (key, maps, components), plain in zip(found, extract_maps(backbone, photos, Size("160")), strict=True):
        np.testing.assert_allclose(maps.max, plain.max, rtol=1e-4, atol=1e-5)
        assert components.shape == (*plain.max.shape, 4)
        canvas = place_on_canvas(photos[key], plain.frame)[None]
        _, _, whole = backbone.run(canvas, directions)
        np.testing.assert_allclose(components, whole[0, : maps.grid.rows, : maps.grid.columns], rtol=1e-4, atol=1e-5)
