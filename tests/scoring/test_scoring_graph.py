"""The scoring graph gives the maps of the plain one and the averages of NumPy; cells lie where training put them."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from PIL import Image

from convfe_core.backbones.backbone import freeze_network
from convfe_core.backbones.measured_cost import PeakMemory, time_batches
from convfe_core.backbones.network import open_network
from convfe_core.catalog.specs import parse_spec
from convfe_core.maps.extraction import extract_maps
from convfe_core.maps.input_size import Size
from convfe_core.photos.gallery import load_sample
from convfe_core.photos.letterbox import place_on_canvas
from convfe_core.scoring.roi_align import roi_weights
from convfe_core.scoring.scoring_graph import freeze_for_scoring, score_windows
from tests.support.builders import photo, roi_average

LIMIT_S = 60
SMALL = parse_spec("MobileNet-0.25:untrained")
BOXES = {0: np.array([[3.0, 5, 60, 70], [20, 20, 90, 80]]), 2: np.array([[0.0, 0, 128, 96]])}


def test_maps_and_averages_are_those_of_the_feature_map() -> None:
    network = open_network(SMALL)
    backbone = freeze_for_scoring(network)
    photos = [photo(96, 128, seed) for seed in range(3)] + [photo(130, 90, 3)]
    windows = score_windows(
        backbone, enumerate(photos), Size("96"), BOXES, backbone.no_directions, lambda _place, one: one
    )
    scored = {place: one for window in windows for place, one in window}
    plain = list(extract_maps(freeze_network(network), photos, Size("96")))
    for place, maps in enumerate(plain):
        np.testing.assert_allclose(scored[place].maps.max, maps.max, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(scored[place].maps.mean, maps.mean, rtol=1e-4, atol=1e-5)
        assert scored[place].maps.grid == maps.grid
        canvas = place_on_canvas(photos[place], maps.frame)[None]
        features: Any = network.features(canvas).numpy()[0]
        assert scored[place].dead == pytest.approx((features == 0).all(axis=(0, 1)).mean(), abs=0.02)
        boxes = BOXES.get(place, np.empty((0, 4)))
        weights = roi_weights(boxes, maps.centres_y, maps.centres_x)
        on_photo = features[: maps.grid.rows, : maps.grid.columns]
        np.testing.assert_allclose(scored[place].averages, roi_average(on_photo, *weights), rtol=1e-3, atol=1e-4)


def test_flops_count_a_multiply_add_as_two() -> None:
    flops = open_network(parse_spec("VGG16:untrained")).count_flops(224, 224)
    assert flops / 1e9 == pytest.approx(30.7, abs=0.1)


def test_latency_is_per_image_and_its_clock_is_given() -> None:
    ticks = iter(np.cumsum([0, 0.008] * 500))
    batches: list[int] = []
    one, eight = time_batches(
        lambda batch: batches.append(len(batch)), 8, 8, seconds=0.05, clock=lambda: float(next(ticks))
    )
    assert (one.batch, one.median, one.p95, one.runs) == (1, pytest.approx(8), pytest.approx(8), 7)
    assert (eight.batch, eight.median) == (8, pytest.approx(1))
    assert set(batches) == {1, 8}


def test_peak_memory_sees_what_came_and_went() -> None:
    with PeakMemory() as memory:
        block = np.ones(60_000_000, np.uint8)
        end = time.monotonic() + LIMIT_S
        while memory.added_mb < 40:  # it looks again and again, in a thread that has to have its turn
            assert time.monotonic() < end
        del block
    assert memory.added_mb > 40


@pytest.mark.parametrize("name", ["TinyResNet", "TinyMobileNet"])
def test_cells_of_a_trained_network_lie_where_a_mirrored_photograph_says(name: str) -> None:
    """A mirrored photograph gives the mirrored map about the right place of the first cell, and about no other."""
    network = open_network(parse_spec(name))
    backbone = freeze_network(network)
    stride = network.tap.stride
    grid = network.path.grid(160, 160)
    pairs = []
    for sample in ("chelsea", "astronaut", "motorcycle", "coffee", "rocket"):
        canvas = np.asarray(Image.fromarray(load_sample(sample).pixels).resize((160, 160)))
        maps, mirrored = (backbone.reduce(np.ascontiguousarray(c)[None])[1][0] for c in (canvas, canvas[:, ::-1]))
        pairs.append((maps, mirrored[:, ::-1]))

    def agreement(offset: float) -> float:
        own = offset + stride * np.arange(grid.columns)
        other = 160 - own[::-1]
        common = np.linspace(max(own[1], other[1]), min(own[-2], other[-2]), 24)
        return float(
            np.mean(
                [
                    np.corrcoef(
                        np.concatenate([np.interp(common, own, row) for row in one]),
                        np.concatenate([np.interp(common, other, row) for row in two]),
                    )[0, 1]
                    for one, two in pairs
                ]
            )
        )

    best = max(np.arange(0, 1.3 * stride, 0.5), key=agreement)
    kernels = open_network(parse_spec(f"{name}:untrained")).path.grid(160, 160).offset_x
    assert abs(best - grid.offset_x) < 0.25 * stride
    assert abs(best - grid.offset_x) < abs(best - kernels)
