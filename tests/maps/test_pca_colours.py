"""PCA colours are those that scikit-learn gives for the features that plain Keras computes."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.decomposition import PCA

from convfe_core.backbones.backbone import load_backbone
from convfe_core.backbones.network import open_network
from convfe_core.base.errors import ImageError
from convfe_core.catalog.specs import parse_spec
from convfe_core.maps.every_layer import EveryLayer
from convfe_core.maps.extraction import Projected, extract_maps
from convfe_core.maps.input_size import Size
from convfe_core.maps.pca_colours import (
    PcaBasis,
    colour_features,
    coloured_windows,
    extract_coloured,
    extract_coloured_layers,
    fit_basis,
)
from convfe_core.photos.gallery import load_sample
from convfe_core.photos.letterbox import place_on_canvas
from tests.support.builders import feature_maps, photo

SPEC, SIZE = parse_spec("TinyResNet"), Size("128")


@pytest.fixture(scope="module")
def tiny():
    return load_backbone(SPEC)


@pytest.fixture(scope="module")
def photos():
    return [load_sample("chelsea"), photo(50, 160), load_sample("coffee")]


@pytest.fixture(scope="module")
def coloured(tiny, photos):
    return extract_coloured(tiny, photos, SIZE)


def sklearn_colours(features: list[np.ndarray]) -> list[np.ndarray]:
    """By the definition: cells repeated until every photograph has as many."""
    cells = [one.reshape(-1, one.shape[-1]).astype(np.float64) for one in features]
    times = np.lcm.reduce([len(one) for one in cells])
    every = np.concatenate([np.repeat(one, times // len(one), axis=0) for one in cells])
    known = PCA(3, svd_solver="covariance_eigh").fit(every)
    axes = known.components_.T
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), range(3)])
    low, high = np.percentile(every @ axes, (1, 99), axis=0, method="inverted_cdf")
    return [np.clip((one @ axes - low) / (high - low), 0, 1) * 255 for one in features]


def keras_features(photos, maps) -> list[np.ndarray]:
    import keras

    network = open_network(SPEC)
    model = keras.Model(network.model.inputs, network.tensor)
    found = []
    for picture, one in zip(photos, maps, strict=True):
        canvas = place_on_canvas(picture, one.frame)[None].astype(np.float32)
        pixels = {"raw": canvas, "unit": canvas / 255, "tf": canvas / 127.5 - 1}[network.preprocessing]
        found.append(np.asarray(model(pixels, training=False))[0, : one.grid.rows, : one.grid.columns])
    return found


@pytest.mark.machine
def test_colours_are_the_first_three_components_of_the_cells_of_all_photographs(photos, coloured) -> None:
    assert coloured[0].max.shape == coloured[2].max.shape != coloured[1].max.shape  # batches mix up the order
    for one, known in zip(coloured, sklearn_colours(keras_features(photos, coloured)), strict=True):
        assert one.pca.shape == (*one.max.shape, 3)
        assert one.pca.dtype == np.uint8
        assert np.abs(one.pca - known).max() < 1.5
    assert np.ptp(coloured[0].pca, axis=(0, 1)).min() > 30


def test_the_maps_beside_the_colours_are_the_usual_ones(tiny, photos, coloured) -> None:
    for one, plain in zip(coloured, extract_maps(tiny, photos, SIZE), strict=True):
        np.testing.assert_allclose(one.max, plain.max, rtol=1e-4, atol=1e-5)
        assert list(one.pictures) == ["max", "mean", "pca"]
        assert list(one.scalars) == list(plain.pictures) == ["max", "mean"]
        assert (one.digest, one.grid, one.notes) == (plain.digest, plain.grid, plain.notes)


def test_a_basis_colours_photographs_that_it_was_not_found_with(tiny, photos, coloured) -> None:
    told: list[int] = []
    basis, _ = fit_basis(tiny, photos, SIZE, tell=told.append)
    assert told == [1, 2, 3, 4, 5, 6]
    others = [*photos, load_sample("rocket")]
    found = [one for window in coloured_windows(tiny, basis, enumerate(others), SIZE) for one in window]
    assert [key for key, _, _ in found] == [0, 1, 2, 3]
    for (_, _, maps), known in zip(found, coloured, strict=False):
        assert np.abs(maps.pca.astype(int) - known.pca).max() <= 1
    assert found[3][2].pca.shape == (*found[3][2].max.shape, 3)


def test_every_stage_has_colours_of_its_own(tiny, photos, coloured) -> None:
    layers = EveryLayer(open_network(SPEC))
    by_photo = extract_coloured_layers(layers.stages, photos, SIZE)
    assert [len(stages) for stages in by_photo] == [len(layers.stages.layers)] * 3
    assert all(maps.pca.shape == (*maps.max.shape, 3) for stages in by_photo for maps in stages)
    usual = extract_coloured_layers(layers.layer(), photos, SIZE)
    for (maps,), known in zip(usual, coloured, strict=True):
        assert np.abs(maps.pca.astype(int) - known.pca).max() <= 1


def test_one_photograph_of_whole_features_is_coloured_as_if_it_were_all(tiny, photos) -> None:
    (whole,) = EveryLayer(open_network(SPEC)).layer().whole(photos[0], SIZE)
    (alone,) = extract_coloured(tiny, photos[:1], SIZE)
    assert np.abs(colour_features([whole])[0].pca.astype(int) - alone.pca).max() <= 1


def of_features(features: np.ndarray) -> Projected:
    maps = replace(feature_maps(features.max(-1)), mean=features.mean(-1).astype(np.float32))
    return Projected(maps, np.where(np.isfinite(features), features, 0).astype(np.float32))


@pytest.mark.parametrize(
    ("features", "note"),
    [
        (np.full((4, 5, 8), 2.5), "the same on all cells"),
        (np.full((1, 1, 8), 2.5), "the same on all cells"),
        (np.zeros((4, 5, 8)), "the same on all cells"),
        (np.random.default_rng(0).random((4, 5, 2)), "2 components of 3"),
        (np.random.default_rng(0).random((4, 5, 1)) * np.ones(60), "1 component of 3"),
    ],
)
def test_what_has_no_component_is_grey_and_said(features: np.ndarray, note: str) -> None:
    maps = colour_features([of_features(features)])[0]
    assert note in maps.notes[-1]
    missing = 3 - (0 if "same" in note else int(note[0]))
    assert (maps.pca[..., 3 - missing :] == 128).all()
    assert (np.ptp(maps.pca[..., : 3 - missing], axis=(0, 1)) == 255).all()


def test_a_cell_that_is_no_number_is_black_and_changes_no_other() -> None:
    features = np.random.default_rng(0).random((4, 5, 8))
    broken = features.copy()
    broken[1, 2, 3] = np.nan
    cells = np.delete(features.reshape(20, 8), 7, axis=0).reshape(1, 19, 8)
    found = colour_features([of_features(broken)])[0].pca
    assert (found[1, 2] == 0).all()
    (whole,) = colour_features([of_features(cells)])
    np.testing.assert_array_equal(np.delete(found.reshape(20, 3), 7, axis=0), whole.pca[0])
    everywhere = colour_features([of_features(np.full((2, 2, 4), np.nan))])[0]
    assert (everywhere.pca == 0).all()


def test_equal_percentiles_take_the_middle_and_what_is_beyond_them_the_ends() -> None:
    basis = PcaBasis(np.ones((1, 1), np.float32), np.array([3.0]), np.array([3.0]))
    maps = feature_maps(np.zeros((1, 3), np.float32))
    found = basis.paint(Projected(maps, np.float32([[[2], [3], [4]]])))
    assert found.pca[0, :, 0].tolist() == [0, 128, 255]


def test_a_basis_needs_a_photograph(tiny) -> None:
    with pytest.raises(ImageError, match="Expected an image"):
        fit_basis(tiny, [], SIZE)
