"""Boxes: clipping, stretching, turning with EXIF, overlap."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from PIL import Image, ImageOps

from convfe_core.datasets.boxes import ImageBoxes, box_areas, box_overlap, clip_boxes, scale_boxes, upright_boxes
from convfe_core.datasets.packed_boxes import PackedBoxes


@pytest.mark.parametrize(
    ("boxes", "expected", "clipped", "degenerate"),
    [
        ([], [], 0, 0),
        ([[1, 2, 3, 4]], [[1, 2, 3, 4]], 0, 0),
        ([[-5, 2, 30, 40]], [[0, 2, 20, 10]], 1, 0),
        ([[-0.3, 0, 20.4, 10]], [[0, 0, 20, 10]], 0, 0),
        ([[5, 5, 5, 9], [9, 1, 4, 8], [30, 1, 40, 5]], [], 0, 3),
    ],
)
def test_boxes_are_cut_to_the_picture_and_counted(
    boxes: list[list[float]], expected: list[list[float]], clipped: int, degenerate: int
) -> None:
    given = np.array(boxes, np.float64).reshape(-1, 4)
    before = given.copy()
    cut = clip_boxes(given, height=10, width=20)
    np.testing.assert_array_equal(cut.boxes, np.array(expected, np.float64).reshape(-1, 4))
    assert (cut.clipped, cut.degenerate) == (clipped, degenerate)
    assert cut.kept.sum() == len(expected)
    np.testing.assert_array_equal(given, before)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_turn_as_pillow_turns_the_picture(orientation: int) -> None:
    stored = np.zeros((30, 50), np.uint8)
    stored[4:9, 11:31] = 255
    picture = Image.fromarray(stored)
    exif = picture.getexif()
    exif[274] = orientation
    turned = np.asarray(ImageOps.exif_transpose(picture)) > 0
    (x_min, y_min, x_max, y_max) = upright_boxes(np.array([[11, 4, 31, 9]]), 30, 50, orientation)[0].astype(int)
    expected = np.zeros(turned.shape, bool)
    expected[y_min:y_max, x_min:x_max] = True
    np.testing.assert_array_equal(turned, expected)


def test_boxes_stretch_to_another_frame() -> None:
    assert scale_boxes(np.array([[1, 2, 3, 4]]), (10, 10), (20, 5)).tolist() == [[0.5, 4, 1.5, 8]]


def test_overlap_is_intersection_over_union() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [20, 20, 30, 30]])
    others = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10]])
    np.testing.assert_allclose(box_overlap(boxes, others), [[1, 1 / 3, 0], [0, 0, 0]])
    assert box_areas(boxes).tolist() == [100, 100]
    assert box_overlap(np.empty((0, 4)), others).shape == (0, 3)


def test_packed_boxes_are_the_boxes() -> None:
    images = [
        ImageBoxes("a.png", 10, 20, np.array([[1.0, 2, 3, 4], [0, 0, 9, 9]]), ("cat", "dog")),
        ImageBoxes("sub/ä\udcff.png", 30, 40, np.empty((0, 4)), ()),
        ImageBoxes("c.png", 5, 6, np.array([[0.5, 0, 3, 4]]), ("dog",)),
    ]
    packed = pickle.loads(pickle.dumps(PackedBoxes(images)))
    assert len(packed) == 3
    for one, other in zip(packed, images, strict=True):
        assert (one.image, one.height, one.width, one.labels) == (other.image, other.height, other.width, other.labels)
        np.testing.assert_array_equal(one.boxes, other.boxes)
    assert packed[-1].image == "c.png"
    assert [image.image for image in packed[:2]] == ["a.png", "sub/ä\udcff.png"]
    assert not len(PackedBoxes([]))
    with pytest.raises(IndexError):
        packed[3]
