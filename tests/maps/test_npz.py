"""Archives open with plain NumPy and hold what their description says."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from convfe_core.geometry.cell_geometry import CellGrid
from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.maps.npz import maps_npz, single_npz
from convfe_core.photos.letterbox import Frame

MakeMaps = Callable[..., FeatureMaps]


def opened(data: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return dict(archive)


def test_a_single_archive_holds_maps_names_and_sizes(make_maps: MakeMaps) -> None:
    maps = make_maps(
        [[1, 2, 3], [4, 5, np.nan]],
        np.ones((2, 3)),
        label="VGG16:untrained",
        frame=Frame(640, 960, 64, 96, 64, 128),
        grid=CellGrid(2, 3, 32.0, 32.5, 16.0, 15.5),
    )
    content = opened(single_npz(maps))
    np.testing.assert_array_equal(content["max"], maps.max)
    np.testing.assert_array_equal(content["mean"], maps.mean)
    assert content["max"].dtype == content["mean"].dtype == np.float32
    assert {name: value.tolist() for name, value in content.items() if name not in {"max", "mean"}} == {
        "image": "a.png",
        "digest": "a",
        "label": "VGG16:untrained",
        "weights": "imagenet",
        "tap": "block5_conv3",
        "image_size": [640, 960],
        "content_size": [64, 96],
        "input_size": [64, 128],
        "stride": [32.0, 32.5],
        "offset": [16.0, 15.5],
    }


def test_the_documented_formula_gives_the_centres(make_maps: MakeMaps) -> None:
    maps = make_maps(np.ones((2, 3)), np.ones((2, 3)), frame=Frame(640, 960, 64, 96, 64, 96))
    content = opened(single_npz(maps))
    scale = content["image_size"] / content["content_size"]
    centres = (content["offset"] + np.array([1, 2]) * content["stride"]) * scale
    assert centres.tolist() == [maps.centres_y[1], maps.centres_x[2]]


def test_an_archive_of_several_keeps_maps_of_different_sizes_apart(make_maps: MakeMaps) -> None:
    first = make_maps(np.ones((2, 3)), np.zeros((2, 3)))
    second = make_maps(np.full((4, 4), 7), np.full((4, 4), 6), digest="bb", label="ResNet50")
    content = opened(maps_npz([first, second]))
    assert content["max_0000"].shape == (2, 3)
    assert content["mean_0001"].tolist() == np.full((4, 4), 6.0).tolist()
    assert content["label"].tolist() == ["VGG16", "ResNet50"]
    assert content["digest"].tolist() == ["a", "bb"]
    assert content["image_size"].tolist() == [[64, 96], [64, 96]]
    assert content["stride"].shape == (2, 2)


def test_an_archive_of_nothing_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="at least one pair of maps"):
        maps_npz([])


def test_colours_are_in_the_archive_where_they_were_asked_for(make_maps: MakeMaps) -> None:
    maps = replace(make_maps([[1, 2]], [[1, 2]]), pca=np.arange(6, dtype=np.uint8).reshape(1, 2, 3))
    np.testing.assert_array_equal(opened(single_npz(maps))["pca"], maps.pca)
    both = opened(maps_npz([maps, replace(maps, pca=None)]))
    np.testing.assert_array_equal(both["pca_0000"], maps.pca)
    assert "pca_0001" not in both
