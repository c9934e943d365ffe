"""Box averages: the same as reading a map bilinearly at every point."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from convfe_core.scoring.roi_align import SAMPLES, roi_weights
from tests.support.builders import roi_average

CENTRES_Y, CENTRES_X = np.arange(5) * 16.0 + 8, np.arange(7) * 16.0 + 4
FEATURES = np.random.default_rng(0).random((5, 7, 3)).astype(np.float32)
BOXES = np.array([[10.0, 12, 60, 50], [0, 0, 112, 80], [3, 3, 5, 4], [90, 70, 112, 80]])


def test_averages_are_those_of_bilinear_reads() -> None:
    rows, columns = roi_weights(BOXES, CENTRES_Y, CENTRES_X)
    places = (np.arange(SAMPLES) + 0.5) / SAMPLES
    for box, average in zip(BOXES, roi_average(FEATURES, rows, columns), strict=True):
        y = (box[1] + (box[3] - box[1]) * places - 8) / 16
        x = (box[0] + (box[2] - box[0]) * places - 4) / 16
        points = np.meshgrid(y, x, indexing="ij")
        for channel in range(3):
            read = map_coordinates(FEATURES[..., channel], points, order=1, mode="nearest")
            assert average[channel] == pytest.approx(read.mean(), abs=1e-6)


def test_weights_add_up_to_one_and_a_flat_map_stays_flat() -> None:
    rows, columns = roi_weights(BOXES, CENTRES_Y, CENTRES_X)
    np.testing.assert_allclose(rows.sum(axis=1), 1)
    np.testing.assert_allclose(columns.sum(axis=1), 1)
    np.testing.assert_allclose(roi_average(np.full((5, 7, 2), 3.0), rows, columns), 3.0, rtol=1e-6)


def test_no_box_and_a_single_cell_are_fine() -> None:
    rows, columns = roi_weights(np.empty((0, 4)), CENTRES_Y, CENTRES_X)
    assert (rows.shape, columns.shape) == ((0, 5), (0, 7))
    rows, columns = roi_weights(BOXES, np.array([8.0]), np.array([8.0]))
    np.testing.assert_allclose(roi_average(FEATURES[:1, :1], rows, columns), np.tile(FEATURES[0, 0], (4, 1)))
