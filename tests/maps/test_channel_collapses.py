"""Channels, stages and layers, with exact small arrays where the maths gives them."""

import numpy as np
import plotly.graph_objects as go
import pytest

from convfe_core.backbones.backbone import load_backbone
from convfe_core.backbones.network import open_network
from convfe_core.catalog.specs import parse_spec
from convfe_core.drawing.map_traces import Look
from convfe_core.drawing.tile_figure import Tile, tile_figure
from convfe_core.maps.channel_collapses import COLLAPSES, cells_in_box, dead_channels, strongest_channels
from convfe_core.maps.every_layer import EveryLayer
from convfe_core.maps.extraction import extract_maps
from convfe_core.maps.input_size import Size
from tests.support.builders import photo

FEATURES = np.zeros((2, 3, 4), np.float32)
FEATURES[0, 0] = (1, 0, 5, 2)
FEATURES[1, 2] = (3, 0, 1, 2)


@pytest.fixture(scope="module")
def tiny():
    return EveryLayer(open_network(parse_spec("TinyResNet")))


def test_each_collapse_is_its_formula() -> None:
    np.testing.assert_allclose(COLLAPSES["std"](FEATURES), FEATURES.std(-1))
    np.testing.assert_allclose(COLLAPSES["L2"](FEATURES)[0, 0], np.sqrt(30), rtol=1e-6)
    np.testing.assert_allclose(COLLAPSES["median"](FEATURES)[0, 0], 1.5)


def test_the_first_component_agrees_with_the_l2_map_whatever_the_sign_of_the_decomposition() -> None:
    random = np.random.default_rng(0)
    strength = random.random((5, 6, 1), np.float32)
    features = strength * random.random(8).astype(np.float32)
    component = COLLAPSES["first component"](features)
    np.testing.assert_allclose(component, COLLAPSES["L2"](features), rtol=1e-4)
    np.testing.assert_allclose(np.abs(COLLAPSES["first component"](-features)), component, rtol=1e-4)


@pytest.mark.parametrize(("order", "first"), [("maximum", 2), ("mean", 2), ("variance", 2)])
def test_the_strongest_channels_at_a_place_come_first_and_dead_ones_never(order: str, first: int) -> None:
    place = cells_in_box(np.array([10.0, 20]), np.array([10.0, 20, 30]), (10, 10, 10, 10))
    assert place.sum() == 1
    found = strongest_channels(FEATURES, place, order, count=10)
    assert found[0].channel == first
    assert 1 not in [one.channel for one in found]
    assert dead_channels(FEATURES) == [1]


def test_a_box_between_cells_takes_the_nearest_one() -> None:
    place = cells_in_box(np.array([10.0, 20]), np.array([10.0, 20, 30]), (23, 12, 24, 13))
    np.testing.assert_array_equal(np.argwhere(place), [[0, 1]])
    assert cells_in_box(np.array([10.0, 20]), np.array([10.0, 20, 30]), (0, 0, 99, 99)).all()


def test_an_unknown_order_is_refused() -> None:
    with pytest.raises(ValueError, match="variance"):
        strongest_channels(FEATURES, np.ones((2, 3), bool), "size")


def test_stages_are_what_each_stage_gives_on_its_own(tiny) -> None:
    stages = tiny.stages
    assert [stage.tap.stride for stage in stages.layers] == [4, 8, 16]
    fields = [stage.receptive_field for stage in stages.layers]
    assert fields == sorted(fields)
    picture = photo(96, 128)
    for name, maps in zip(("C2", "C3", "C4"), stages.maps(picture, Size("128")), strict=True):
        alone = next(extract_maps(load_backbone(parse_spec("TinyResNet"), name), [picture], Size("128")))
        assert maps.label.startswith(name)
        np.testing.assert_allclose(maps.max, alone.max, atol=1e-4)
        np.testing.assert_allclose(maps.mean, alone.mean, atol=1e-4)


def test_whole_features_collapse_to_the_maps(tiny) -> None:
    picture = photo(96, 128)
    (found,) = tiny.layer().whole(picture, Size("128"))
    maps = next(extract_maps(load_backbone(parse_spec("TinyResNet")), [picture], Size("128")))
    np.testing.assert_allclose(found.components.max(-1), maps.max, atol=1e-4)
    np.testing.assert_allclose(found.components.mean(-1), maps.mean, atol=1e-4)


def test_tiles_stand_in_lines_and_zoom_together() -> None:
    centres = np.array([10.0, 20]), np.array([10.0, 20, 30])
    tiles = [Tile(f"#{k}", FEATURES[..., k % 4], *centres) for k in range(7)]
    figure = tile_figure(photo(64, 96), tiles, Look(panel_width=100), columns=3)
    go.Figure(figure)  # raises on anything that Plotly does not know
    assert len(figure["data"]) == 7
    assert figure["layout"]["width"] == 3 * 100 + 2 * 12
    assert figure["layout"]["xaxis7"]["matches"] == "x"
    assert figure["layout"]["yaxis7"]["domain"][1] < figure["layout"]["yaxis"]["domain"][0]
