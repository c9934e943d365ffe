"""Average precision is that of pycocotools, and so is that of every resample."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from convfe_core.datasets.boxes import ImageBoxes
from convfe_core.scoring.bootstrap import image_draws
from convfe_core.trial.average_precision import Detections, match_detections

MOST = 6


def scattered(images: int = 12, seed: int = 0, digits: int = 9) -> tuple[list[ImageBoxes], list[Detections]]:
    """Boxes, and detections of which some lie near them; with few digits many scores are equal."""
    random = np.random.default_rng(seed)
    marked, found = [], []
    for k in range(images):
        corners = random.uniform(0, 60, (1 + k % 4, 2))
        boxes = np.concatenate([corners, corners + random.uniform(8, 40, corners.shape)], axis=1)
        near = np.repeat(boxes, 2, axis=0)[:MOST] + random.normal(0, 3, (min(2 * len(boxes), MOST), 4))
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        order = np.argsort(-(scores := random.uniform(size=len(near)).round(digits)), kind="stable")
        marked.append(ImageBoxes(f"{k}.png", 100, 100, boxes, ("x",) * len(boxes)))
        found.append(Detections(near[order], scores[order]) if k != 5 else Detections(np.empty((0, 4)), np.empty(0)))
    return marked, found


def by_pycocotools(marked: list[ImageBoxes], found: list[Detections]) -> COCOeval:
    def annotation(number: int, image: int, box: np.ndarray) -> dict:
        x, y, right, down = box.tolist()
        area = (right - x) * (down - y)
        shape = {"bbox": [x, y, right - x, down - y], "area": area, "iscrowd": 0}
        return {"id": number, "image_id": image, "category_id": 1, **shape}

    boxes = [(k, box) for k, one in enumerate(marked) for box in one.boxes]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": k, "width": 100, "height": 100} for k in range(len(marked))],
            "categories": [{"id": 1, "name": "x"}],
            "annotations": [annotation(n, k, box) for n, (k, box) in enumerate(boxes, 1)],
        }
        truth.createIndex()
        results = [
            annotation(0, k, box) | {"score": score}
            for k, one in enumerate(found)
            for box, score in zip(one.boxes, one.scores.tolist(), strict=True)
        ]
        compared = COCOeval(truth, truth.loadRes(results), "bbox")
        compared.params.maxDets = [1, 2, MOST]
        compared.evaluate()
        compared.accumulate()
    return compared


@pytest.mark.parametrize("seed", range(4))
def test_numbers_are_those_of_pycocotools(seed):
    marked, found = scattered(seed=seed, digits=1 + seed % 2)
    matches, compared = match_detections(marked, found), by_pycocotools(marked, found)
    precision = compared.eval["precision"][:, :, 0, 0, 2]
    assert matches.ap50 == pytest.approx(precision[0].mean(), abs=1e-12)
    assert matches.ap == pytest.approx(precision.mean(), abs=1e-12)
    assert matches.recall == pytest.approx(compared.eval["recall"][0, 0, 0, 2], abs=1e-12)
    assert matches.curve == pytest.approx(precision[0], abs=1e-12)


def test_a_resample_counts_as_a_data_set_that_holds_its_images_so_often():
    marked, found = scattered()
    resampled = match_detections(marked, found).resampled_ap50(seed=3, resamples=5)
    for value, draw in zip(resampled, next(image_draws(12, 3, 5)), strict=True):
        compared = by_pycocotools([marked[k] for k in draw], [found[k] for k in draw])
        assert value == pytest.approx(compared.eval["precision"][0, :, 0, 0, 2].mean(), abs=1e-12)


def test_finding_every_box_alone_is_a_precision_of_one():
    marked, _ = scattered()
    matches = match_detections(marked, [Detections(one.boxes, np.ones(len(one.boxes))) for one in marked])
    assert (matches.ap50, matches.ap, matches.recall) == (1, 1, 1)
    assert (matches.resampled_ap50(resamples=10) == 1).all()


def test_finding_nothing_is_a_precision_of_zero():
    marked, found = scattered(images=3)
    matches = match_detections(marked, [Detections(np.empty((0, 4)), np.empty(0)) for _ in found])
    assert (matches.ap50, matches.ap, matches.recall) == (0, 0, 0)
    assert (matches.resampled_ap50(resamples=10) == 0).all()


def test_pycocotools_prints_nothing(capsys):
    match_detections(*scattered(images=3))
    assert capsys.readouterr().out == ""
