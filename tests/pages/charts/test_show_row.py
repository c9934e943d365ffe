"""What a browser says about boxes is taken as the message of a stranger."""

import math

import pytest

from pages.charts.show_row import LONGEST_LABEL, MOST_BOXES, read_boxes

BOX = {"x0": 1.5, "y0": 2, "x1": 30, "y1": 40, "label": "cat"}


def test_boxes_come_as_they_were_drawn() -> None:
    assert read_boxes([BOX, {**BOX, "label": ""}]) == [BOX, {**BOX, "label": ""}]


@pytest.mark.parametrize(
    "told",
    [
        *(None, {}, "boxes", 7, [None], ["box"], [{}]),
        [{**BOX, "x1": 1.5}],
        [{**BOX, "y0": 40.5}],
        [{**BOX, "x0": "1"}],
        [{**BOX, "x0": math.nan}],
        [{**BOX, "y1": math.inf}],
        [{**BOX, "x0": None}],
    ],
)
def test_what_is_no_box_is_left_out(told: object) -> None:
    assert read_boxes(told) == []


def test_a_label_that_is_no_text_is_none_and_a_long_one_is_cut() -> None:
    assert read_boxes([{**BOX, "label": 7}])[0]["label"] == ""
    assert read_boxes([{**BOX, "label": "x" * 1000}])[0]["label"] == "x" * LONGEST_LABEL


def test_a_message_holds_so_many_boxes_at_most() -> None:
    assert len(read_boxes([BOX] * (MOST_BOXES + 1))) == MOST_BOXES
