"""What a detector found on a photograph, as a picture: right, missed and false boxes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from convfe_core.base.arrays import BoxArray
from convfe_core.photos.photo import Photo

if TYPE_CHECKING:  # a page that shows no trial waits for none of what one takes
    from convfe_core.trial.trial_run import Tried

RIGHT, MISSED, FALSE = "#009e73", "#e69f00", "#0072b2"
"""Told apart by people who are colour-blind (M. Okabe and K. Ito, 2002), as are whole, dashed and dotted lines."""
FOUND_LINES = "right boxes green, missed ones orange and dashed, false ones blue and dotted"
LONGEST = 480
"""Longest side of a picture, in pixels."""
_LINE = 3


@dataclass(frozen=True, eq=False)
class FoundBoxes:
    """Boxes on one photograph, in pixels of its file, (N, 4) each.

    Attributes
    ----------
    right : detections that find a box
    missed : marked boxes that none finds
    false : detections that find none
    """

    right: BoxArray
    missed: BoxArray
    false: BoxArray

    @property
    def in_words(self) -> str:
        """``3 right, 1 missed, 2 false``."""
        return f"{len(self.right)} right, {len(self.missed)} missed, {len(self.false)} false"

    @property
    def quality(self) -> float:
        """F1: right boxes against missed and false ones, 0..1."""
        return 2 * len(self.right) / max(2 * len(self.right) + len(self.missed) + len(self.false), 1)


def found_boxes(tried: Tried, number: int) -> FoundBoxes:
    """What a trial found on one of its photographs, of the detections whose scores are high enough.

    High enough is the score at which there are most right boxes for the missed and false ones over all photographs.

    Parameters
    ----------
    number : among ``tried.images``
    """
    matches, boxes = tried.matches, tried.images[number].boxes
    mine = np.flatnonzero((matches.image == number) & (matches.scores >= matches.best_score))
    detected, finds = tried.detections[number].boxes[: len(mine)], matches.box[mine]
    return FoundBoxes(
        right=detected[finds >= 0],
        missed=boxes[~np.isin(np.arange(len(boxes)), finds)],
        false=detected[finds < 0],
    )


def best_and_worst_found(tried: Tried, most: int = 3) -> tuple[list[int], list[int]]:
    """Numbers of the photographs on which a detector does best, and worst, none twice."""
    quality = [found_boxes(tried, number).quality for number in range(len(tried.images))]
    order = sorted(range(len(quality)), key=lambda number: -quality[number])
    best = order[:most]
    return best, [number for number in order[::-1][:most] if number not in best]


def found_png(photo: Photo, found: FoundBoxes) -> bytes:
    """Draw boxes on a photograph, as `FOUND_LINES` has it, into a PNG."""
    picture = Image.fromarray(photo.pixels)
    picture.thumbnail((LONGEST, LONGEST), Image.Resampling.BILINEAR)
    pen = ImageDraw.Draw(picture)
    scale = picture.width / photo.file_size[1]
    for boxes, colour, dash in ((found.false, FALSE, 2), (found.missed, MISSED, 9), (found.right, RIGHT, 0)):
        for box in boxes * scale:
            _outline(pen, box.tolist(), colour, dash)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _outline(pen: ImageDraw.ImageDraw, box: list[float], colour: str, dash: int) -> None:
    """Draw the sides of a box, whole or in dashes of so many pixels, bright beneath so that they show on dark."""
    left, top, right, bottom = box
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])
    for start, end in pairwise(corners):
        length = float(np.abs(end - start).sum())
        pieces = max(1, round(length / (2 * dash))) if dash else 1
        for width, shade in ((_LINE + 2, "#ffffff"), (_LINE, colour)):
            for piece in range(pieces):
                first = start + (end - start) * piece / pieces
                last = start + (end - start) * (piece + (0.6 if dash else 1.0)) / pieces
                pen.line((*first, *last), shade, width)
