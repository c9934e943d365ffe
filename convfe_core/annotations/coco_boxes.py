"""The box of an annotation in the ways that COCO has: stated, or around an outline, a mask or keypoints.

Masks are stored as run lengths, down the columns: first the pixels outside the object, then those inside, and so on.
They are read here and not by pycocotools, whose C code stops the whole process on a mask of height 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from convfe_core.annotations.annotation import Box, box_around, finite_box, finite_values, stated_size

SIDES = ""
_SHARES = "boxes within 0 to 1 taken for shares of their picture's sides, where COCO has pixels"
_AS_CORNERS = "boxes read as two corners, for as COCO's x, y, width and height they would reach over their pictures"
_OVER = 2.0
"""Pixels by which a box reaches over its picture for another reason than rounding."""
_LONGEST_RUN_BITS = 50


def form_of_boxes(stated: Sequence[tuple[Any, tuple[int, int] | None]]) -> str:
    """How the boxes of a file are written: x, y, width and height in pixels, or what some programs write instead.

    Corners show when all boxes are corners in order, and a third of them would otherwise reach over their pictures.
    """
    numbers = [(_numbers(box), size) for box, size in stated]
    boxes = [(box, size) for box, size in numbers if box and box[2] and box[3]]  # without an area they stand for none
    if not boxes:
        return SIDES
    fractions = any(0 < number < 1 for box, _ in boxes for number in box)
    if fractions and all(min(box) >= 0 and max(box) <= 1 for box, _ in boxes):
        return _SHARES
    sized = [(*box, *size) for box, size in boxes if size is not None]
    over = sum(x + a > width + _OVER or y + b > height + _OVER for x, y, a, b, height, width in sized)
    corners = all(x < a <= width + 1 and y < b <= height + 1 for x, y, a, b, height, width in sized)
    return _AS_CORNERS if corners and 3 * over >= len(boxes) == len(sized) else SIDES


def _numbers(box: Any) -> Box | None:
    try:
        return finite_box(box) if isinstance(box, list) else None
    except ValueError:
        return None


def _stated_box(stated: Any, size: tuple[int, int] | None, form: str) -> Box:
    x, y, third, fourth = finite_box(stated)
    if form == _AS_CORNERS:
        return x, y, third, fourth
    if form == _SHARES:
        if size is None:
            raise ValueError("states its box in shares of a picture whose size is not stated")
        height, width = size
        return x * width, y * height, (x + third) * width, (y + fourth) * height
    return x, y, x + third, y + fourth


def item_box(item: Mapping[str, Any], size: tuple[int, int] | None, form: str) -> tuple[Box, str]:
    """An annotation's box, and what it is drawn around where none with an area is stated."""
    stated = item.get("bbox")
    flat: Box | None = None
    if isinstance(stated, list) and stated:
        flat = _stated_box(stated, size, form)
        if flat[0] != flat[2] and flat[1] != flat[3]:
            return flat, ""
    if item.get("segmentation") and (box := _outline_box(item["segmentation"], size)):
        return box, "the outline"
    if item.get("keypoints") and (box := _keypoints_box(item["keypoints"])):
        return box, "the visible keypoints"
    if flat is None:
        raise ValueError("has no box")
    return flat, ""


def _outline_box(outline: Any, size: tuple[int, int] | None) -> Box | None:
    """The box around polygons or a mask."""
    if isinstance(outline, dict):
        return _stated_mask_box(outline, size)
    if isinstance(outline, list) and outline and all(isinstance(part, dict) for part in outline):
        masks = [box for box in (_stated_mask_box(part, size) for part in outline) if box]
        corners = [value for box in masks for value in box]
        return box_around(corners[::2], corners[1::2]) if corners else None
    values = finite_values(list(_flattened(outline)))
    if len(values) % 2:
        raise ValueError(f"has an outline of {len(values)} numbers, expected pairs")
    return box_around(values[0::2], values[1::2]) if values else None


def _stated_mask_box(mask: Mapping[str, Any], size: tuple[int, int] | None) -> Box | None:
    sides = mask.get("size")
    stated = stated_size(*sides) if isinstance(sides, list) and len(sides) == 2 else None
    counts = mask.get("counts")
    if stated is None or not isinstance(counts, list | str):
        raise ValueError("has a mask without its size or its runs")
    if size not in (None, stated):
        raise ValueError(f"has a mask of {stated[1]} x {stated[0]} pixels, which is not the picture's size")
    return mask_box(counts, *stated)


def _flattened(values: Any) -> Iterator[Any]:
    """The numbers of lists in lists, in order."""
    if isinstance(values, list):
        for value in values:
            yield from _flattened(value)
    else:
        yield values


def _keypoints_box(values: Any) -> Box | None:
    """The box around the keypoints that are labelled: (x, y, visibility) each, visibility 0 for those that are not."""
    numbers = finite_values(list(_flattened(values)))
    if len(numbers) % 3:
        raise ValueError(f"has {len(numbers)} numbers for its keypoints, expected three for each")
    points = [(x, y) for x, y, seen in zip(numbers[0::3], numbers[1::3], numbers[2::3], strict=True) if seen > 0]
    return box_around(*zip(*points, strict=True)) if len(points) > 1 else None


def mask_box(counts: Sequence[int] | str, height: int, width: int) -> Box | None:
    """The box around a mask, or None where the mask is empty.

    Parameters
    ----------
    counts : run lengths, as numbers or compressed to a string
    height, width : of the mask, in pixels

    Raises
    ------
    ValueError : the runs are not those of a mask of this size

    Examples
    --------
    >>> mask_box([5, 2, 2, 2, 9], height=4, width=5)
    (1.0, 1.0, 3.0, 3.0)
    """
    runs = expand_counts(counts) if isinstance(counts, str) else list(counts)
    if any(isinstance(run, bool) or not isinstance(run, int) or run < 0 for run in runs) or sum(runs) != height * width:
        raise ValueError(f"has a mask whose runs do not add up to {width} x {height} pixels")
    rows: list[int] = []
    columns: list[int] = []
    start = 0
    for number, run in enumerate(runs):
        if number % 2 and run:
            (left, top), (right, bottom) = divmod(start, height), divmod(start + run - 1, height)
            columns += [left, right]
            rows += [top, bottom] if left == right else [0, height - 1]
        start += run
    if not rows:
        return None
    return float(min(columns)), float(min(rows)), max(columns) + 1.0, max(rows) + 1.0


def expand_counts(text: str) -> list[int]:
    """Run lengths from COCO's compressed string.

    Every character holds five bits and a sixth that says whether more follow, lowest bits first; from the fourth run
    on, the difference to the run before the last is stored.

    Raises
    ------
    ValueError : the string holds other characters, or ends within a number
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > _LONGEST_RUN_BITS:
            raise ValueError(f"has a mask with {character!r} in a place where no compressed mask holds it")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("has a mask that ends in the middle of a number")
    return runs
