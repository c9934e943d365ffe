"""What a detector is to say at each cell follows from the boxes, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from convfe_core.geometry.cell_geometry import CellGrid
from convfe_core.photos.letterbox import Frame
from convfe_core.trial.targets import LEAST_DISTANCE, CellPlaces, boxes_at, cell_places, detector_targets


def places(rows: int, columns: int, stride: float = 10.0) -> CellPlaces:
    """Cells of a photograph whose sides are whole strides."""
    return CellPlaces((np.arange(rows) + 0.5) * stride, (np.arange(columns) + 0.5) * stride, stride, stride)


def test_cells_lie_where_the_photograph_was_before_it_was_resized():
    frame = Frame(200, 400, 100, 200, 128, 224)
    found = cell_places(frame, CellGrid(3, 6, 32.0, 32.0, 16.0, 16.0))
    assert found.centres_y.tolist() == [32, 96, 160]
    assert found.centres_x.tolist() == [32, 96, 160, 224, 288, 352]
    assert (found.stride_y, found.stride_x, found.shape) == (64, 64, (3, 6))


def test_a_cell_belongs_to_the_smallest_box_that_holds_its_centre():
    found = detector_targets(np.array([[0.0, 0, 30, 10], [10, 0, 20, 10]]), places(2, 3))
    assert found.owner.tolist() == [[0, 1, 0], [-1, -1, -1]]
    assert not found.without_cell.any()


def test_distances_are_logarithms_in_strides_left_up_right_and_down():
    found = detector_targets(np.array([[0.0, 0, 40, 10]]), places(1, 4))
    assert np.exp(found.distances[0, 1]) == pytest.approx([1.5, 0.5, 2.5, 0.5])


def test_the_score_is_the_centreness_of_the_cell():
    found = detector_targets(np.array([[0.0, 0, 40, 10]]), places(2, 4))
    assert found.score[0] == pytest.approx([np.sqrt(0.5 / 3.5), np.sqrt(1.5 / 2.5), np.sqrt(1.5 / 2.5), np.sqrt(1 / 7)])
    assert found.score[1].tolist() == [0, 0, 0, 0]


def test_a_box_without_a_cell_gets_the_nearest_one_with_a_full_score():
    found = detector_targets(np.array([[11.0, 1, 14, 4]]), places(2, 2))
    assert found.owner.tolist() == [[-1, 0], [-1, -1]]
    assert found.score[0, 1] == 1
    assert found.without_cell.tolist() == [True]
    assert np.exp(found.distances[0, 1]) == pytest.approx([0.4, 0.4, LEAST_DISTANCE, LEAST_DISTANCE])


def test_the_nearest_cell_is_not_taken_from_a_box_that_has_no_other():
    boxes = np.array([[0.0, 0, 10, 10], [1, 1, 6, 3]])
    found = detector_targets(boxes, places(1, 2))
    assert found.owner.tolist() == [[0, 1]]  # its centre lies less than a stride away
    assert detector_targets(boxes, places(1, 1)).owner.tolist() == [[0]]
    wide = detector_targets(np.array([[0.0, 0, 20, 10], [6, 1, 9, 3]]), places(1, 2))
    assert wide.owner.tolist() == [[1, 0]]


def test_a_box_that_another_hides_entirely_is_one_without_a_cell():
    found = detector_targets(np.array([[0.0, 0, 10, 10], [1, 1, 9, 9]]), places(1, 1))
    assert found.owner.tolist() == [[1]]
    assert found.without_cell.tolist() == [True, False]


def test_no_boxes_leave_every_cell_free():
    found = detector_targets(np.empty((0, 4)), places(2, 2))
    assert found.owner.tolist() == [[-1, -1], [-1, -1]]
    assert found.score.sum() == found.distances.sum() == 0


def test_what_is_to_be_said_gives_the_boxes_back():
    boxes = np.array([[3.0, 2, 41, 37], [22, 40, 58, 59]])
    where = places(6, 6)
    found = detector_targets(boxes, where)
    owned = found.owner.ravel() >= 0
    said = boxes_at(found.distances, where, 60, 60)[owned]
    assert said == pytest.approx(boxes[found.owner.ravel()[owned]], abs=1e-4)


def test_boxes_are_cut_to_the_photograph():
    said = boxes_at(np.full((1, 1, 4), 3.0, np.float32), places(1, 1), 8, 9)
    assert said.tolist() == [[0, 0, 9, 8]]
