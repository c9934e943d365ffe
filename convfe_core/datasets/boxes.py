"""Boxes around the objects of photographs, and the data set they make.

A box is ``(x_min, y_min, x_max, y_max)`` in pixels of the upright photograph; pixel ``i`` covers ``[i, i + 1)``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convfe_core.base.arrays import BoxArray
from convfe_core.base.errors import Skipped
from convfe_core.base.file_sets import FileSet
from convfe_core.base.wording import counted

CLIP_TOLERANCE = 0.5
"""Pixels that a box may reach over the edge without counting as clipped: rounding does that."""


@dataclass(frozen=True, eq=False)
class ImageBoxes:
    """The boxes of one photograph.

    Attributes
    ----------
    image : the photograph's name in its source
    height, width : of the upright photograph, in pixels
    boxes : (N, 4) float64, inside the photograph, each with an area; N may be 0
    labels : N class names
    """

    image: str
    height: int
    width: int
    boxes: BoxArray
    labels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Photographs with their boxes.

    Attributes
    ----------
    source : where the photographs' bytes come from
    format : ``VOC``, ``YOLO`` or ``COCO``
    images : one entry a photograph that has an annotation, by name
    classes : the class names that occur, sorted
    skipped : what was not used, and why
    clipped : how many boxes reached over an edge and were cut
    degenerate : how many boxes had no area inside their photograph and were dropped
    notes : what the reader decided and mended, each a phrase with a count: how lines were read, which boxes were drawn
        around an outline, cut, dropped or turned round
    """

    source: FileSet
    format: str
    images: Sequence[ImageBoxes]
    classes: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    clipped: int
    degenerate: int
    notes: tuple[str, ...] = ()

    @property
    def box_count(self) -> int:
        """How many boxes there are in all."""
        return sum(len(image.boxes) for image in self.images)

    @property
    def usual_size(self) -> tuple[int, int]:
        """The height and width that most of its photographs with boxes have."""
        sizes = Counter((int(image.height), int(image.width)) for image in self.images if len(image.boxes))
        return sizes.most_common(1)[0][0]

    @property
    def name(self) -> str:
        """The last part of where it comes from: a folder's name and not its whole path."""
        return self.source.label.rstrip("/").rpartition("/")[2] or self.source.label

    @property
    def in_words(self) -> str:
        """What was read, as one phrase."""
        parts = [
            counted(len(self.images), "image"),
            counted(self.box_count, "box", "boxes"),
            f"{counted(len(self.classes), 'class', 'classes')} ({self.format})",
        ]
        return ", ".join(parts)


@dataclass(frozen=True, eq=False)
class ClippedBoxes:
    """What is left of boxes inside a photograph.

    Attributes
    ----------
    boxes : (N, 4) float64
    kept : (M,) bool, which of the M boxes given are among `boxes`
    clipped, degenerate : how many were cut, how many were dropped for having no area
    """

    boxes: BoxArray
    kept: NDArray[np.bool_]
    clipped: int
    degenerate: int


def clip_boxes(boxes: BoxArray, height: int, width: int) -> ClippedBoxes:
    """Cut boxes to a photograph and drop those of which no area is left.

    Parameters
    ----------
    boxes : (M, 4) finite numbers
    height, width : of the photograph, in pixels

    Examples
    --------
    >>> clip_boxes(np.array([[-10.0, 2, 5, 8], [3, 3, 3, 9]]), height=10, width=10).boxes.tolist()
    [[0.0, 2.0, 5.0, 8.0]]
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    inside = np.clip(boxes, 0.0, np.array([width, height, width, height], np.float64))
    kept = (inside[:, 2] > inside[:, 0]) & (inside[:, 3] > inside[:, 1])
    moved = np.abs(inside - boxes).max(axis=1, initial=0.0) > CLIP_TOLERANCE
    return ClippedBoxes(inside[kept], kept, int((moved & kept).sum()), int((~kept).sum()))


def ordered_corners(boxes: BoxArray) -> BoxArray:
    """Boxes with their smaller coordinates first: a box drawn from right to left may be stored the other way round.

    Parameters
    ----------
    boxes : (N, 4)

    Examples
    --------
    >>> ordered_corners(np.array([[5.0, 2, 1, 8]])).tolist()
    [[1.0, 2.0, 5.0, 8.0]]
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    return np.concatenate([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], axis=1)


def upright_boxes(boxes: BoxArray, height: int, width: int, orientation: int) -> BoxArray:
    """Turn boxes with their photograph, from the stored picture to the upright one.

    Parameters
    ----------
    boxes : (N, 4) in pixels of the stored picture
    height, width : of the stored picture
    orientation : its EXIF orientation, 1 to 8 (Exif 2.32, tag 274)

    Returns
    -------
    (N, 4) in pixels of the upright picture
    """
    x_min, y_min, x_max, y_max = np.asarray(boxes, np.float64).reshape(-1, 4).T
    if orientation in (2, 3, 7, 8):  # stored x runs against the upright axis it ends up on
        x_min, x_max = width - x_max, width - x_min
    if orientation in (3, 4, 6, 7):
        y_min, y_max = height - y_max, height - y_min
    if orientation in (5, 6, 7, 8):
        x_min, y_min, x_max, y_max = y_min, x_min, y_max, x_max
    return np.stack([x_min, y_min, x_max, y_max], axis=1)


def scale_boxes(boxes: BoxArray, from_size: tuple[int, int], to_size: tuple[int, int]) -> BoxArray:
    """Stretch boxes from one photograph's frame to another's; sizes are (height, width)."""
    y, x = to_size[0] / from_size[0], to_size[1] / from_size[1]
    return np.asarray(boxes, np.float64).reshape(-1, 4) * np.array([x, y, x, y], np.float64)


def box_overlap(boxes: BoxArray, others: BoxArray) -> NDArray[np.float64]:
    """Intersection over union of every box with every other one.

    Parameters
    ----------
    boxes : (N, 4), each with an area
    others : (M, 4), each with an area

    Returns
    -------
    (N, M) in 0..1
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    sides = np.clip(high - low, 0.0, None)
    shared: NDArray[np.float64] = sides[..., 0] * sides[..., 1]
    united = box_areas(boxes)[:, None] + box_areas(others)[None, :] - shared
    return shared / united


def box_areas(boxes: BoxArray) -> NDArray[np.float64]:
    """(N, 4) -> (N,) areas in square pixels."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return sides[:, 0] * sides[:, 1]
