"""The box probe: do the features inside a box tell its class, and an object from background?

Features are averaged over each box, scaled to length one, and each box gets the class that most of its five nearest
neighbours (by cosine, from other images) have. k-nearest-neighbours on frozen features told good backbones from bad
better than 23 transferability scores did (arXiv 2503.18528).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convfe_core.base.arrays import BoxArray
from convfe_core.datasets.boxes import ImageBoxes, box_overlap
from convfe_core.scoring.bootstrap import SEED, Estimate, image_draws, interval

BACKGROUND = "background"
NEIGHBOURS = 5
FOLDS = 5
FEWEST_BOXES = 10
"""Classes with fewer boxes are left out."""
BACKGROUND_OVERLAP = 0.1
"""A background crop overlaps every box by less than this (intersection over union)."""
_TRIES = 50
MOST_BOXES = 6000
"""Most boxes that are taken from a data set, so that their features stay in memory; background comes on top."""
MOST_BOXES_PER_IMAGE = 40


@dataclass(frozen=True)
class ProbeResult:
    """How well boxes are told apart.

    Attributes
    ----------
    balanced_accuracy : mean over classes of the share told right, with its interval; None when there was nothing to ask
    chance : what guessing reaches, 1 / classes
    classes : the classes told apart, background among them
    left_out : classes with too few boxes
    boxes : how many boxes and background crops there were
    reason : why there is no result, or None
    """

    balanced_accuracy: Estimate | None
    chance: float | None
    classes: tuple[str, ...]
    left_out: tuple[str, ...]
    boxes: int
    reason: str | None = None


def background_boxes(
    wanted: BoxArray, boxes: BoxArray, height: int, width: int, seed: int | list[int] = SEED
) -> BoxArray:
    """Draw, for each of some boxes, a crop of its size that shows background.

    Parameters
    ----------
    wanted : (N, 4) the boxes whose sizes crops get
    boxes : (K, 4) all boxes of the image, which crops keep away from
    height, width : of the image
    seed : the same seed gives the same crops

    Returns
    -------
    (M, 4), M at most N: where no place was found in 50 tries, there is no crop
    """
    random = np.random.default_rng(seed)
    crops = []
    for x_min, y_min, x_max, y_max in wanted:
        size = np.array([x_max - x_min, y_max - y_min])
        corners = random.random((_TRIES, 2)) * (np.array([width, height]) - size)
        candidates = np.concatenate([corners, corners + size], axis=1)
        free = (box_overlap(candidates, boxes) < BACKGROUND_OVERLAP).all(axis=1)
        if free.any():
            crops.append(candidates[int(free.argmax())])
    return np.array(crops, np.float64).reshape(-1, 4)


@dataclass(frozen=True)
class ProbePlan:
    """Which boxes and background crops of which images the probe looks at, and what they are."""

    boxes: Mapping[int, BoxArray]
    labels: Mapping[int, tuple[str, ...]]


NO_PROBE = ProbePlan({}, {})


def plan_probe(images: Sequence[ImageBoxes], places: Sequence[int], seed: int) -> ProbePlan:
    """Choose boxes, images in a fixed-seed order until there are `MOST_BOXES`, and background beside them."""
    boxes: dict[int, BoxArray] = {}
    labels: dict[int, tuple[str, ...]] = {}
    count = 0
    for place in np.random.default_rng(seed).permutation(np.array(places, np.int64)).tolist():
        if count >= MOST_BOXES:
            break
        image = images[place]
        draw = np.random.default_rng([seed, place])
        kept = np.sort(draw.permutation(len(image.boxes))[:MOST_BOXES_PER_IMAGE])
        chosen = image.boxes[kept]
        crops = background_boxes(chosen, image.boxes, image.height, image.width, [seed, place])
        boxes[place] = np.concatenate([chosen, crops])
        labels[place] = (*(image.labels[k] for k in kept), *[BACKGROUND] * len(crops))
        count += len(kept)
    return ProbePlan(boxes, labels)


def probe_boxes(
    features: NDArray[np.floating], labels: NDArray[np.str_], images: NDArray[np.int64], seed: int = SEED
) -> ProbeResult:
    """Classify each box by its neighbours in other images.

    Parameters
    ----------
    features : (N, C) averages over boxes and background crops
    labels : (N,) class names, `BACKGROUND` for crops
    images : (N,) which image each is from; images are never split between folds

    Returns
    -------
    ProbeResult, without a number where fewer than two classes, five images or five neighbours are left
    """
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.neighbors import KNeighborsClassifier

    counts = Counter(labels.tolist())
    left_out = tuple(sorted(name for name, count in counts.items() if count < FEWEST_BOXES))
    kept = np.isfinite(features).all(axis=1) & ~np.isin(labels, left_out)
    features, labels, images = features[kept], labels[kept], images[kept]
    classes, truth = np.unique(labels, return_inverse=True)
    names = tuple(classes.tolist())
    if len(classes) < 2:
        reason = f"expected at least two classes of {FEWEST_BOXES} boxes, background among them"
        return ProbeResult(None, None, names, left_out, len(labels), reason)
    if len(np.unique(images)) < FOLDS:
        reason = f"expected boxes on at least {FOLDS} images"
        return ProbeResult(None, None, names, left_out, len(labels), reason)
    folds = list(GroupKFold(FOLDS, shuffle=True, random_state=seed).split(features, truth, images))
    if min(len(train) for train, _ in folds) < NEIGHBOURS:
        reason = f"expected {NEIGHBOURS} boxes outside any fifth of the images, got nearly all on a few"
        return ProbeResult(None, None, names, left_out, len(labels), reason)
    # Between vectors of length one the Euclidean distance orders as the cosine does, in far less memory.
    neighbours = KNeighborsClassifier(NEIGHBOURS, algorithm="brute")
    predicted = cross_val_predict(neighbours, _unit_length(features), truth, cv=folds)
    accuracy = _balanced_accuracy(truth, predicted, images, len(classes), seed)
    return ProbeResult(accuracy, 1 / len(classes), names, left_out, len(labels))


def _balanced_accuracy(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], images: NDArray[np.int64], classes: int, seed: int
) -> Estimate:
    """Balanced accuracy, and its interval over whole images."""
    from sklearn.metrics import balanced_accuracy_score

    _, image = np.unique(images, return_inverse=True)
    asked, right = (np.zeros((image.max() + 1, classes)) for _ in range(2))
    np.add.at(asked, (image, truth), 1)
    np.add.at(right, (image, truth), truth == predicted)
    accuracies = []
    for draw in image_draws(len(asked), seed, columns=2 * classes):
        asked_here, right_here = asked[draw].sum(axis=1), right[draw].sum(axis=1)
        there = asked_here > 0  # a draw may miss a rare class; it is then no part of the mean, as scikit-learn has it
        recall = np.where(there, right_here / np.maximum(asked_here, 1), 0.0)
        accuracies.append(recall.sum(axis=1) / there.sum(axis=1))
    return Estimate(float(balanced_accuracy_score(truth, predicted)), *interval(np.concatenate(accuracies)))


def _unit_length(features: NDArray[np.floating]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)
