"""The box probe: perfect features score one, meaningless ones chance, and what cannot be asked is said."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold
from sklearn.neighbors import KNeighborsClassifier

from convfe_core.datasets.boxes import ImageBoxes, box_overlap
from convfe_core.scoring.box_probe import BACKGROUND, MOST_BOXES_PER_IMAGE, background_boxes, plan_probe, probe_boxes

BOXES = np.array([[10.0, 10, 30, 40], [60, 20, 90, 30]])


def test_background_crops_have_the_boxes_sizes_and_keep_away_from_them() -> None:
    crops = background_boxes(BOXES, BOXES, height=100, width=120, seed=3)
    assert crops.shape == (2, 4)
    np.testing.assert_allclose(crops[:, 2:] - crops[:, :2], BOXES[:, 2:] - BOXES[:, :2])
    assert (box_overlap(crops, BOXES) < 0.1).all()
    assert (crops >= 0).all()
    assert (crops <= [120, 100, 120, 100]).all()
    np.testing.assert_array_equal(crops, background_boxes(BOXES, BOXES, 100, 120, seed=3))


def test_where_there_is_no_background_there_is_no_crop() -> None:
    whole, none = np.array([[0.0, 0, 100, 100]]), np.empty((0, 4))
    assert background_boxes(whole, whole, 100, 100).shape == (0, 4)
    assert background_boxes(none, none, 100, 100).shape == (0, 4)
    assert background_boxes(none, whole, 100, 100).shape == (0, 4)


def test_of_an_image_with_very_many_boxes_some_are_asked_and_crops_have_their_sizes() -> None:
    sides = np.linspace(2, 9, 60)
    corners = np.stack([np.arange(60) % 10 * 20.0, np.arange(60) // 10 * 20.0], axis=1)
    boxes = np.concatenate([corners, corners + sides[:, None]], axis=1)
    image = ImageBoxes("crowd.png", 400, 400, boxes, ("ant",) * 60)
    plan = plan_probe([image], [0], seed=0)
    assert plan.labels[0] == ("ant",) * MOST_BOXES_PER_IMAGE + (BACKGROUND,) * MOST_BOXES_PER_IMAGE
    asked, crops = np.split(plan.boxes[0], 2)
    np.testing.assert_allclose(crops[:, 2:] - crops[:, :2], asked[:, 2:] - asked[:, :2])
    assert (box_overlap(crops, boxes) < 0.1).all()


def boxes_of(classes: list[str], each: int, signal: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = np.repeat(classes, each)
    axes = np.repeat(np.eye(len(classes), 12), each, axis=0)
    features = random.normal(0, 1, (len(labels), 12)) + signal * axes
    images = random.integers(0, 15, len(labels))
    return features.astype(np.float32), labels, images


def test_features_that_tell_classes_apart_score_one() -> None:
    result = probe_boxes(*boxes_of(["cat", "dog", BACKGROUND], 30, signal=50))
    assert result.balanced_accuracy is not None
    assert result.balanced_accuracy.value == 1
    assert result.chance == pytest.approx(1 / 3)
    assert result.classes == (BACKGROUND, "cat", "dog")
    assert (result.left_out, result.boxes, result.reason) == ((), 90, None)


def test_meaningless_features_score_chance_within_the_interval() -> None:
    found = probe_boxes(*boxes_of(["cat", BACKGROUND], 200, signal=0)).balanced_accuracy
    assert found is not None
    assert found.low < 0.5 < found.high
    assert found.high - found.low < 0.2


def test_the_number_is_scikit_learns_with_cosine_neighbours_and_images_kept_whole() -> None:
    features, labels, images = boxes_of(["a", "b", "c"], 40, signal=2)
    folds = GroupKFold(5, shuffle=True, random_state=0)
    predicted = np.empty_like(labels)
    for train, test in folds.split(features, labels, images):
        assert not set(images[train]) & set(images[test])
        model = KNeighborsClassifier(5, metric="cosine").fit(features[train], labels[train])
        predicted[test] = model.predict(features[test])
    found = probe_boxes(features, labels, images).balanced_accuracy
    assert found is not None
    assert found.value == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert found.low < found.value < found.high


def test_scale_does_not_matter_and_the_same_input_gives_the_same_numbers() -> None:
    features, labels, images = boxes_of(["a", "b"], 40, signal=2)
    lengths = np.random.default_rng(1).random((80, 1)) + 0.1
    assert probe_boxes(features * lengths, labels, images) == probe_boxes(features, labels, images)


def test_rare_classes_are_left_out_and_named() -> None:
    features, labels, images = boxes_of(["cat", "dog", BACKGROUND], 20, signal=50)
    labels = np.where((labels == "dog") & (np.arange(60) % 3 > 0), "yak", labels)
    result = probe_boxes(features, labels, images)
    assert result.left_out == ("dog",)
    assert result.classes == (BACKGROUND, "cat", "yak")
    assert result.boxes == 60 - int((labels == "dog").sum())


@pytest.mark.parametrize(
    ("classes", "images", "reason"),
    [(["cat"], 15, "at least two classes"), (["cat", "dog"], 4, "at least 5 images")],
)
def test_what_cannot_be_asked_is_said(classes: list[str], images: int, reason: str) -> None:
    features, labels, places = boxes_of(classes, 20, signal=1)
    result = probe_boxes(features, labels, places % images)
    assert result.balanced_accuracy is None
    assert result.reason is not None
    assert reason in result.reason


def test_boxes_that_nearly_all_lie_on_one_image_have_no_neighbours() -> None:
    features, labels, _ = boxes_of(["cat", "dog"], 12, signal=9)
    images = np.array([0] * 10 + [1, 2] + [0] * 10 + [3, 4])
    result = probe_boxes(features, labels, images)
    assert result.balanced_accuracy is None
    assert result.reason == "expected 5 boxes outside any fifth of the images, got nearly all on a few"


def test_no_boxes_at_all_and_boxes_without_numbers_are_fine() -> None:
    features, labels, images = boxes_of(["cat", "dog"], 20, signal=9)
    assert probe_boxes(features[:0], labels[:0], images[:0]).balanced_accuracy is None
    features[:3] = np.nan
    assert probe_boxes(features, labels, images).boxes == 37
