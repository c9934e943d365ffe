"""A picture of a trial shows which boxes are right, missed and false."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageColor

from convfe_core.datasets.boxes import ImageBoxes
from convfe_core.scoring.bootstrap import Estimate
from convfe_core.scoring.trial_scores import TrialScores
from convfe_core.trial.average_precision import Detections, match_detections
from convfe_core.trial.found_boxes import (
    FALSE,
    MISSED,
    RIGHT,
    FoundBoxes,
    best_and_worst_found,
    found_boxes,
    found_png,
)
from convfe_core.trial.trial_run import Tried
from tests.support.builders import photo

LEFT, RIGHT_HAND, ELSEWHERE = [5.0, 5, 25, 25], [60.0, 40, 90, 80], [100.0, 60, 120, 90]


def tried(marked: list[list[list[float]]], found: list[list[tuple[list[float], float]]]) -> Tried:
    images = [
        ImageBoxes(f"{k}.png", 96, 128, np.array(boxes).reshape(-1, 4), ("x",) * len(boxes))
        for k, boxes in enumerate(marked)
    ]
    detections = [
        Detections(np.array([box for box, _ in some]).reshape(-1, 4), np.array([score for _, score in some]))
        for some in found
    ]
    scores = TrialScores(Estimate(0, 0, 0), 0, 0, len(images), 0, np.zeros(1))
    return Tried(scores, (), images, detections, match_detections(images, detections))


def test_boxes_are_right_missed_or_false():
    one = tried([[LEFT, RIGHT_HAND], [LEFT]], [[(RIGHT_HAND, 0.9), (ELSEWHERE, 0.8)], [(LEFT, 0.7), (ELSEWHERE, 0.1)]])
    assert one.matches.best_score == 0.7
    first, second = found_boxes(one, 0), found_boxes(one, 1)
    assert (first.right.tolist(), first.missed.tolist(), first.false.tolist()) == ([RIGHT_HAND], [LEFT], [ELSEWHERE])
    assert first.in_words == "1 right, 1 missed, 1 false"
    assert (second.right.tolist(), len(second.missed), len(second.false)) == ([LEFT], 0, 0)
    assert (first.quality, second.quality) == (0.5, 1)
    assert best_and_worst_found(one, 1) == ([1], [0])
    assert best_and_worst_found(one, 5) == ([1, 0], [])


def test_where_nothing_is_right_nothing_is_drawn_but_what_is_missed():
    one = tried([[LEFT]], [[(ELSEWHERE, 0.9)]])
    found = found_boxes(one, 0)
    assert (len(found.right), found.missed.tolist(), len(found.false)) == (0, [LEFT], 0)


@pytest.mark.parametrize("shrunk", [1, 3], ids=["as its file", "reduced since"])
def test_each_kind_has_its_colour_where_its_box_is(shrunk):
    boxes = FoundBoxes(*(shrunk * np.array([box]) for box in (LEFT, RIGHT_HAND, ELSEWHERE)))
    one = replace(photo(96, 128), reduced_from=(96 * shrunk, 128 * shrunk))
    picture = Image.open(io.BytesIO(found_png(one, boxes)))
    assert picture.size == (128, 96)
    for box, colour in ((LEFT, RIGHT), (RIGHT_HAND, MISSED), (ELSEWHERE, FALSE)):
        assert picture.getpixel((int(box[0]), int(box[1]))) == ImageColor.getrgb(colour)
