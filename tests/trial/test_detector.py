"""A head learns where objects are from features, gives the same numbers each time, and does not see padding."""

from __future__ import annotations

import numpy as np
import pytest

from convfe_core.datasets.boxes import ImageBoxes
from convfe_core.trial.average_precision import match_detections
from convfe_core.trial.detector import Detector, Example, Recipe, spread_of, suppress
from convfe_core.trial.targets import CellPlaces, detector_targets

CHANNELS, SMALL = 6, Recipe(width=16, groups=4, epochs=25, batch=4, rate=1e-2)


def places(rows: int, columns: int) -> CellPlaces:
    return CellPlaces((np.arange(rows) + 0.5) * 10, (np.arange(columns) + 0.5) * 10, 10.0, 10.0)


def lit(count: int, rows: int = 4, columns: int = 5) -> tuple[list[np.ndarray], list[ImageBoxes]]:
    """Maps whose first channel is lit where a box of 20 x 20 pixels lies, the others noise."""
    random = np.random.default_rng(0)
    maps, images = [], []
    for k in range(count):
        values = random.normal(size=(rows, columns, CHANNELS)).astype(np.float16)
        y, x = int(random.integers(0, rows - 1)), int(random.integers(0, columns - 1))
        values[..., 0] = 0
        values[y : y + 2, x : x + 2, 0] = 5
        box = np.array([[x, y, x + 2, y + 2]], np.float64) * 10
        maps.append(values)
        images.append(ImageBoxes(f"{k}.png", rows * 10, columns * 10, box, ("x",)))
    return maps, images


def search(detector: Detector, maps: list[np.ndarray]) -> list:
    return list(detector.find([(one, places(*one.shape[:2]), 10 * len(one), 10 * one.shape[1]) for one in maps]))


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector((4, 5, CHANNELS), SMALL, seed=0)


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    maps, images = lit(16)
    return [Example(one, detector_targets(image.boxes, places(4, 5))) for one, image in zip(maps, images, strict=True)]


def test_it_finds_what_features_show(detector, examples):
    detector.fit(examples, lambda _epoch: None)
    maps, images = lit(24)
    found = match_detections(images[16:], search(detector, maps[16:]))
    assert found.ap50 > 0.9
    assert found.recall == 1


def test_it_gives_the_same_numbers_each_time(detector, examples):
    def learn(one: Detector) -> list[list[float]]:
        one.fit(examples[:6], lambda _epoch: None)
        return [[*found.boxes.ravel().tolist(), *found.scores.tolist()] for found in search(one, lit(3)[0])]

    first = learn(detector)
    assert learn(detector) == first
    assert learn(Detector((4, 5, CHANNELS), SMALL, seed=0)) == first


def test_another_seed_gives_another_head(detector):
    other = Detector((4, 5, CHANNELS), SMALL, seed=1)
    one, another = (search(head, lit(1)[0])[0].boxes for head in (Detector((4, 5, CHANNELS), SMALL, seed=0), other))
    assert not np.array_equal(one, another)


def test_padding_changes_nothing(examples):
    maps, _ = lit(2, rows=3, columns=3)
    exact, padded = (Detector((*size, CHANNELS), SMALL, seed=0) for size in ((3, 3), (6, 7)))
    for one, other in zip(search(exact, maps), search(padded, maps), strict=True):
        assert other.boxes == pytest.approx(one.boxes, abs=1e-3)
        assert other.scores == pytest.approx(one.scores, abs=1e-6)


def test_who_listens_can_end_the_learning(detector, examples):
    heard = []

    def stop(epoch: int) -> None:
        heard.append(epoch)
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        detector.fit(examples, stop)
    assert heard == [1, 2]


def test_features_are_centred_by_channel_and_divided_by_one_deviation():
    maps = [np.random.default_rng(k).normal(k, 1 + k, (3, 4 + k, 5)).astype(np.float16) for k in range(3)]
    cells = np.concatenate([one.reshape(-1, 5) for one in maps]).astype(np.float64)
    spread = spread_of(maps, [5])
    assert spread.means == pytest.approx(cells.mean(axis=0), abs=1e-6)
    assert spread.deviations == pytest.approx(np.full(5, (cells - cells.mean(axis=0)).std()), abs=1e-6)
    assert spread.centred(maps[1]) == pytest.approx(
        (maps[1].astype(np.float64) - cells.mean(axis=0)) / spread.deviations, abs=1e-5
    )


def test_each_stage_has_a_deviation_of_its_own():
    one = np.random.default_rng(0).normal(0, [1, 1, 9], (6, 7, 3)).astype(np.float16)
    centred = spread_of([one], [2, 1]).centred(one)
    assert centred[..., :2].std() == pytest.approx(1, abs=1e-5)
    assert centred[..., 2].std() == pytest.approx(1, abs=1e-5)


def test_features_that_are_all_alike_are_left_as_zeros():
    assert not spread_of([np.full((2, 2, 3), 7, np.float16)], [3]).centred(np.full((2, 2, 3), 7, np.float16)).any()


def test_boxes_that_overlap_a_better_one_are_dropped():
    boxes = np.array([[0.0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60], [0, 0, 10, 25]])
    found = suppress(boxes, np.array([0.5, 0.9, 0.1, 0.3]), SMALL)
    assert found.boxes.tolist() == [[1, 0, 11, 10], [0, 0, 10, 25], [50, 50, 60, 60]]
    assert found.scores.tolist() == [0.9, 0.3, 0.1]
    assert len(suppress(boxes, np.ones(4), Recipe(most_boxes=2)).scores) == 2
