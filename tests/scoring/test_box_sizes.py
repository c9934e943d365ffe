"""Box sizes in words."""

from __future__ import annotations

import numpy as np
import pytest

from convfe_core.scoring.box_sizes import box_sizes


@pytest.mark.parametrize(
    ("sides", "stride", "share", "text"),
    [
        (
            [0.2, 0.5, 0.7, 3.0],
            32,
            0.75,
            "half of your boxes are smaller than 0.6 cells of this map; take stage C4 or a larger input",
        ),
        (
            [0.1, 0.2, 0.2, 0.3],
            32,
            1.0,
            "half of your boxes are smaller than 0.2 cells of this map; take stage C2 or a larger input",
        ),
        ([0.5], 4, 1.0, "half of your boxes are smaller than 0.5 cells of this map; take a larger input"),
        (
            [0.5, 2, 3, 4],
            16,
            0.25,
            "25 % of your boxes are smaller than one cell of this map; take stage C3 or a larger input",
        ),
        ([2, 3, 4], 32, 0.0, "none of your boxes are smaller than one cell of this map"),
        ([0.5, *[2] * 19], 32, 0.05, "5 % of your boxes are smaller than one cell of this map"),
    ],
)
def test_sizes_are_said_in_words(sides: list[float], stride: float, share: float, text: str) -> None:
    found = box_sizes(np.array(sides, np.float64), stride)
    assert found.under_one_cell == pytest.approx(share)
    assert found.median == pytest.approx(np.median(sides))
    assert found.text == text
