"""How good detections are: average precision and recall as COCO has them, and how sure that is.

Which detection finds which box is decided by `pycocotools`, once for each image. A resample of images then only counts
its images so many times, which gives the very numbers of a data set that holds them so often.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.base.arrays import BoxArray, Values
from convfe_core.datasets.boxes import ImageBoxes, box_areas
from convfe_core.scoring.bootstrap import RESAMPLES, SEED, image_draws

OVERLAPS = np.linspace(0.5, 0.95, 10)
"""Intersection over union from which a detection finds a box."""
RECALLS = np.linspace(0.0, 1.0, 101)
"""Recalls at which precision is read."""


@dataclass(frozen=True, eq=False)
class Detections:
    """What a detector found on one photograph: (N, 4) boxes in its pixels and (N,) scores, the highest first."""

    boxes: BoxArray
    scores: Values


@dataclass(frozen=True, eq=False)
class Matches:
    """Which detections find boxes.

    Attributes
    ----------
    marked : (I,) boxes of each image
    image : (D,) the image of each detection, the one with the highest score first
    scores : (D,) in this order
    hits : (T, D) bool, whether it finds a box at each of `OVERLAPS`
    box : (D,) the box of its image that it finds at an overlap of .5, -1 for none
    """

    marked: NDArray[np.int64]
    image: NDArray[np.int64]
    scores: Values
    hits: NDArray[np.bool_]
    box: NDArray[np.int64]

    @property
    def ap50(self) -> float:
        """Average precision at an overlap of .5."""
        return float(self.precisions(self._once, 0).mean())

    @property
    def ap(self) -> float:
        """Mean of the average precisions at all `OVERLAPS`."""
        return float(np.mean([self.precisions(self._once, k).mean() for k in range(len(OVERLAPS))]))

    @property
    def recall(self) -> float:
        """Share of the boxes that are found at an overlap of .5."""
        return float(self.hits[0].sum() / self.marked.sum())

    @property
    def best_score(self) -> float:
        """The score from which on F1 is greatest: right boxes against missed and false ones; infinite without any."""
        right = np.cumsum(self.hits[0])
        quality = 2 * right / (np.arange(1, len(right) + 1) + self.marked.sum())
        return float(self.scores[quality.argmax()]) if right.any() else float("inf")

    @property
    def curve(self) -> Values:
        """(101,) precision at each of `RECALLS`, at an overlap of .5."""
        curve: Values = self.precisions(self._once, 0)[0]
        return curve

    def precisions(self, times: NDArray[np.int64], overlap: int) -> Values:
        """Precision at `RECALLS` where images count several times.

        Parameters
        ----------
        times : (R, I) how often each image counts in each of R resamples; some image with boxes does
        overlap : place among `OVERLAPS`

        Returns
        -------
        (R, 101), the most precise for this recall or more, 0 for recalls that are not reached
        """
        counts = times[:, self.image]
        found = np.cumsum(counts * self.hits[overlap], axis=1)
        precision = found / np.maximum(np.cumsum(counts, axis=1), 1)
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        precision = np.pad(precision, ((0, 0), (0, 1)))
        recall = found / (times @ self.marked)[:, None]
        places = [np.searchsorted(row, RECALLS, side="left") for row in recall]
        return np.take_along_axis(precision, np.array(places), axis=1)

    def resampled_ap50(self, seed: int = SEED, resamples: int = RESAMPLES) -> Values:
        """(resamples,) average precision at .5 over draws of images, see `image_draws`."""
        images = len(self.marked)
        found = []
        for draw in image_draws(images, seed, resamples, columns=1 + len(self.image) // images):
            times = np.zeros((len(draw), images), np.int64)
            np.add.at(times, (np.arange(len(draw))[:, None], draw), 1)
            found.append(self.precisions(times, 0).mean(axis=1))
        return np.concatenate(found)

    @property
    def _once(self) -> NDArray[np.int64]:
        return np.ones((1, len(self.marked)), np.int64)


def match_detections(images: Sequence[ImageBoxes], found: Sequence[Detections]) -> Matches:
    """Decide which detections find boxes, whatever the boxes' classes.

    Parameters
    ----------
    images : with their boxes; some image has one
    found : on each of them
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def described(boxes: Sequence[BoxArray], scores: Sequence[Values]) -> Any:
        coco = COCO()
        records: list[dict[str, Any]] = []
        for k, (some, sure) in enumerate(zip(boxes, scores, strict=True)):
            for box, area, score in zip(some.tolist(), box_areas(some).tolist(), sure.tolist(), strict=True):
                shape = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
                facts = {"image_id": k, "category_id": 0, "bbox": shape, "area": area, "iscrowd": 0, "score": score}
                records.append({"id": len(records) + 1, **facts})
        coco.dataset = {
            "images": [{"id": k} for k in range(len(boxes))],
            "categories": [{"id": 0}],
            "annotations": records,
        }
        coco.createIndex()
        return coco

    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints what it does
        marked = described([one.boxes for one in images], [np.ones(len(one.boxes)) for one in images])
        detected = described([one.boxes for one in found], [one.scores for one in found])
        compared = COCOeval(marked, detected, "bbox")
        compared.params.iouThrs = OVERLAPS
        compared.params.maxDets = [max([1, *(len(one.scores) for one in found)])]
        compared.params.areaRng, compared.params.areaRngLbl = [[0, 1e10]], ["all"]
        compared.evaluate()
    of_images = [one for one in compared.evalImgs if one is not None]  # None without boxes and detections
    scores = np.concatenate([np.empty(0), *(one["dtScores"] for one in of_images)])
    order = np.argsort(-scores, kind="stable")
    finds = [np.empty((len(OVERLAPS), 0)), *(one["dtMatches"] for one in of_images if len(one["dtScores"]))]
    found_ids = np.concatenate(finds, axis=1)[:, order].astype(np.int64)  # of the boxes, from 1 on; 0 for none
    image = np.concatenate([np.empty(0, np.int64), *(_same(one) for one in of_images)])[order]
    counts = np.array([len(one.boxes) for one in images], np.int64)
    before = np.cumsum(counts) - counts
    return Matches(
        marked=counts,
        image=image,
        scores=scores[order],
        hits=found_ids > 0,
        box=np.where(found_ids[0] > 0, found_ids[0] - 1 - before[image], -1),
    )


def _same(one: dict[str, Any]) -> NDArray[np.int64]:
    """The image of each of its detections."""
    return np.full(len(one["dtScores"]), one["image_id"], np.int64)
