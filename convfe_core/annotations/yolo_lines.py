"""What the numbers of a YOLO label line mean: a box, a pose or a polygon, and a confidence or track number after it.

A line does not say. ``0 .39 .42 .47 .42 .23 .31 .55 .52`` is a box with two keypoints in one data set and a turned box
in the next, so all lines of a data set are judged together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from convfe_core.annotations.annotation import Box, box_around
from convfe_core.base.wording import counted

Numbers = Sequence[float]
"""The numbers of a line after the class."""

_LOOSEST = 1.0
"""How far a normalised value may lie outside 0..1, in image sides, before it cannot be normalised at all."""
_ROUNDING = 0.01
"""How far a box may reach over its picture's edge, or a keypoint over its box's, in image sides."""
_ENOUGH_LINES = 3
"""So many lines that agree are no chance."""
_MOST = 0.95
"""The share of lines that a reading must fit: one damaged line does not change how the others are read."""
_VISIBILITIES = {0.0, 1.0, 2.0}
"""Of a keypoint that is not labelled, hidden or seen; a network writes its confidence instead, from 0 to 1."""
_TAILS = ("", "a confidence or a track number", "a confidence and a track number")
_KINDS = {"boxes": "boxes", "polygons": "polygons or turned boxes"}


@dataclass(frozen=True)
class Reading:
    """One way to read the numbers of a line.

    Attributes
    ----------
    kind : ``boxes``, ``poses`` or ``polygons``
    tail : how many numbers follow them: none, a confidence (or a track number), or both
    keypoints : of a pose, how many there are and how many numbers each has
    """

    kind: str
    tail: int = 0
    keypoints: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        """As in “read as boxes with a confidence”."""
        what = _KINDS.get(self.kind) or f"poses of {counted(self.keypoints[0], 'keypoint')}"
        return f"{what} with {_TAILS[self.tail]}" if self.tail else what

    def box(self, numbers: Numbers) -> Box:
        """The box (x_min, y_min, x_max, y_max) in image sides."""
        if self.kind == "polygons":
            corners = numbers[: len(numbers) - self.tail]
            return box_around(corners[0::2], corners[1::2])
        x, y, width, height = numbers[:4]
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2

    def fits(self, numbers: Numbers) -> bool:
        """Whether a line can be read in this way."""
        length = len(numbers) - self.tail
        if not self._tail_fits(numbers[length:]):
            return False
        if self.kind == "polygons":
            return length >= 6 and length % 2 == 0 and near_picture(numbers[:length])
        keypoints, each = self.keypoints
        # Seven numbers may be three corners: only a box inside its picture speaks against that.
        return length == 4 + keypoints * each and (in_picture(numbers) if self.tail == 2 else near_picture(numbers[:4]))

    def _tail_fits(self, tail: Numbers) -> bool:
        if not tail:
            return True
        last = tail[-1]
        counts = last >= 0 and float(last).is_integer()
        return 0 <= tail[0] <= 1 and counts if len(tail) == 2 else counts or 0 <= last <= 1


class Readings:
    """How the lines of a data set are read.

    Parameters
    ----------
    lines : the numbers of many lines of it, without the classes
    keypoints : what its data.yaml states as ``kpt_shape``, or None
    """

    def __init__(self, lines: Iterable[Numbers] = (), keypoints: tuple[int, int] | None = None) -> None:
        self._keypoints = keypoints
        by_length: dict[int, list[Numbers]] = defaultdict(list)
        for line in lines:
            by_length[len(line)].append(line)
        self._long = {length for length in by_length if length > 6}
        ends = [line[-1] for length in self._long if length % 2 == 0 for line in by_length[length]]
        self._tracked = _are_tracks(ends)
        self._chosen = {length: (len(some), self._fitting(length, some)) for length, some in by_length.items()}

    def of(self, numbers: Numbers) -> tuple[Reading, ...]:
        """How to read one line: the reading taken, then others that would have fitted as well; empty if none does."""
        _, found = self._chosen.get(len(numbers), (0, ()))
        if found and found[0].fits(numbers):
            return found
        return () if self.usual(len(numbers)) else self._fitting(len(numbers), [numbers])

    def usual(self, length: int) -> Reading | None:
        """How lines of so many numbers are read, where enough of them agree."""
        count, found = self._chosen.get(length, (0, ()))
        return found[0] if found and count >= _ENOUGH_LINES else None

    def _fitting(self, length: int, lines: Sequence[Numbers]) -> tuple[Reading, ...]:
        """Readings that fit nearly all of `lines`, likeliest first."""
        if self._keypoints is not None:
            for tail in range(3):
                if _most(Reading("poses", tail, self._keypoints).fits, lines):
                    return (Reading("poses", tail, self._keypoints),)
        possible = sorted(self._possible(length, lines), key=lambda pair: not pair[1])
        return tuple(reading for reading, _ in possible if _most(reading.fits, lines))

    def _possible(self, length: int, lines: Sequence[Numbers]) -> Iterator[tuple[Reading, bool]]:
        """Readings of lines of so many numbers, each with whether it is likelier than those that are not."""
        if 4 <= length <= 6:
            yield Reading("boxes", length - 4), length < 6 or not self._long
        if length > 6 and len(self._long | {length}) == 1:  # polygons have many lengths, poses have one
            poses = [(pose, _surely_poses(lines, pose)) for pose in _poses_of(length, lines)]
            yield from sorted(poses, key=lambda pair: not pair[1])[:1]  # all of them have the same box
        yield Reading("polygons", 2), length > 6 and (self._tracked or _are_tracks([line[-1] for line in lines]))
        yield Reading("polygons"), True
        yield Reading("polygons", 1), True


def _poses_of(length: int, lines: Sequence[Numbers]) -> Iterator[Reading]:
    """Poses that lines of so many numbers may be."""
    for tail, each in ((0, 3), (0, 2), (1, 3), (1, 2), (2, 3), (2, 2)):
        keypoints, rest = divmod(length - 4 - tail, each)
        if not rest and keypoints and _most(partial(_is_pose, keypoints=keypoints, each=each), lines):
            yield Reading("poses", tail, (keypoints, each))


def _most(fits: Callable[[Numbers], bool], lines: Sequence[Numbers]) -> bool:
    return sum(map(fits, lines)) >= _MOST * len(lines)


def _are_tracks(numbers: Sequence[float]) -> bool:
    """Whether the last numbers of lines count tracks, and are no shares of a picture's side."""
    if not numbers or sum(float(number).is_integer() for number in numbers) < _MOST * len(numbers):
        return False
    return len(numbers) >= _ENOUGH_LINES or max(numbers) > 1


def near_picture(numbers: Numbers) -> bool:
    """Whether all numbers can be shares of a picture's sides."""
    return not numbers or (min(numbers) >= -_LOOSEST and max(numbers) <= 1 + _LOOSEST)


def in_picture(numbers: Numbers) -> bool:
    """Whether numbers begin with a box that has an area and lies inside its picture, but for rounding."""
    x, y, width, height = numbers[:4]
    reach = max(width / 2 - x, height / 2 - y, x + width / 2 - 1, y + height / 2 - 1)
    return min(width, height) > 0 and reach <= _ROUNDING


def _is_pose(line: Numbers, keypoints: int, each: int) -> bool:
    """Whether the box lies in the picture and what follows can be its keypoints."""
    x, y, width, height = line[:4]
    points = line[4 : 4 + keypoints * each]
    seen = set(points[2::3]) if each == 3 else set()
    if not in_picture(line):
        return False
    if seen and seen <= _VISIBILITIES:
        return True
    inside = all(
        (px, py) == (0, 0) or (abs(px - x) <= width / 2 + _ROUNDING and abs(py - y) <= height / 2 + _ROUNDING)
        for px, py in zip(points[0::each], points[1::each], strict=True)
    )
    return inside and all(0 <= value <= 1 for value in seen)


def _surely_poses(lines: Sequence[Numbers], reading: Reading) -> bool:
    """Whether lines that fit a pose are hardly polygons with the same number of corners."""
    keypoints, each = reading.keypoints
    seen = [line[6 + 3 * k] for line in lines for k in range(keypoints)] if each == 3 else []
    if seen and set(seen) <= _VISIBILITIES:  # a corner would have to be 0, 1 or 2 wherever one stands
        return 2.0 in seen or len(seen) > _ENOUGH_LINES
    if len(lines) < _ENOUGH_LINES or reading.tail:
        return False
    return sum(map(_goes_round, lines)) < len(lines) / 2 if len(lines[0]) == 8 else keypoints > 1


def _goes_round(line: Numbers) -> bool:
    """Whether four points are the corners of a turned box in their order: every turn is to the same side."""
    points = list(zip(line[0:8:2], line[1:8:2], strict=True))
    turns = []
    for k in range(4):
        (ax, ay), (bx, by), (cx, cy) = points[k], points[(k + 1) % 4], points[(k + 2) % 4]
        turns.append((bx - ax) * (cy - by) - (by - ay) * (cx - bx))
    return min(turns) > 0 or max(turns) < 0
