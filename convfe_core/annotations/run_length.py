"""Boxes of masks that are stored as run lengths, as COCO stores them.

Runs go down the columns, first the pixels outside the object, then those inside, and so on. Read here and not by
pycocotools, whose C code stops the whole process on a mask of height 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from convfe_core.annotations.annotation import Box

_LONGEST_RUN_BITS = 50


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
