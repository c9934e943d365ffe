"""Whether a map is fine enough for the boxes: a box smaller than a cell leaves no trace of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_FINEST_STAGE = 2
_WORTH_A_REMEDY = 0.1
"""From this share of boxes under one cell on, the words say what to do."""


@dataclass(frozen=True)
class BoxSizes:
    """The boxes of a data set measured in the cells of one backbone's map.

    Attributes
    ----------
    under_one_cell : share of the boxes whose area is below a cell's, 0..1
    median : half of the boxes are smaller; the side, in cells, of a square of their area
    text : the same in words, with what to do about it
    """

    under_one_cell: float
    median: float
    text: str


def box_sizes(sides: NDArray[np.float64], stride: float) -> BoxSizes:
    """Sum up how large boxes are in cells.

    Parameters
    ----------
    sides : (N,) of all boxes, in cells, see `convfe_core.scoring.separation.box_cells`; N at least 1
    stride : of the map, in input pixels

    Examples
    --------
    >>> box_sizes(np.array([0.2, 0.5, 0.7, 3.0]), stride=32).text
    'half of your boxes are smaller than 0.6 cells of this map; take stage C4 or a larger input'
    """
    share, median = float((sides < 1).mean()), float(np.median(sides))
    if median < 1:
        text = f"half of your boxes are smaller than {_one_digit(median)} cells of this map"
    else:
        text = f"{_percent(share)} of your boxes are smaller than one cell of this map"
    if share >= _WORTH_A_REMEDY:
        text += f"; {_remedy(median, stride)}"
    return BoxSizes(share, median, text)


def _remedy(median: float, stride: float) -> str:
    """Name the coarsest stage at which the median box fills a cell, or one finer than this one if it does already."""
    stage = round(math.log2(stride))
    finer = max(1, math.ceil(math.log2(1 / max(median, 1e-3))))
    if stage <= _FINEST_STAGE:
        return "take a larger input"
    return f"take stage C{max(_FINEST_STAGE, stage - finer)} or a larger input"


def _one_digit(value: float) -> str:
    return f"{value:.1f}" if value >= 0.1 else f"{value:.2f}"


def _percent(share: float) -> str:
    return "none" if share == 0 else "under 1 %" if share < 0.01 else f"{100 * share:.0f} %"
