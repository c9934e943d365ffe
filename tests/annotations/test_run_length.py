"""Masks of COCO as text: the runs that are meant, and the box around them."""

from __future__ import annotations

import pytest

from convfe_core.annotations.run_length import expand_counts, mask_box
from tests.annotations.one_box import BOX


def test_compressed_masks_hold_the_runs_that_coco_means() -> None:
    runs = [244, *[20, 20] * 29, 20, 976]
    text = compress(runs)
    assert expand_counts(text) == runs
    assert mask_box(text, 40, 60) == mask_box(runs, 40, 60) == BOX
    assert mask_box([6], 2, 3) is None
    for broken in ("o", "\x7f", "o" * 20):
        with pytest.raises(ValueError, match="has a mask"):
            expand_counts(broken)


def compress(runs: list[int]) -> str:
    """Run lengths as COCO writes them down: five bits a character, differences from the fourth run on."""
    text = ""
    for number, run in enumerate(runs):
        value = run - runs[number - 2] if number > 2 else run
        more = True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text += chr(48 + bits + (32 if more else 0))
    return text
