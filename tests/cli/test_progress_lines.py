"""How far a command is: a line a second, and one where a step begins and ends."""

from __future__ import annotations

import pytest

from convfe_core.base.pace import Pace, Progress
from convfe_core.cli.progress_lines import ProgressLines
from tests.base.test_pace import Clock


def test_lines_are_printed_once_a_second_and_at_both_ends(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    pace, lines = Pace(4, clock), ProgressLines(clock)
    lines(pace.progress("VGG16", "loading"))
    for seconds in (0.5, 0.4, 0.5, 0.1):
        clock.now += seconds
        pace.count(1)
        lines(pace.progress("VGG16", f"image {pace.done} of 4", pace.done / 4))
    assert capsys.readouterr().err.splitlines() == [
        "VGG16: loading",
        "VGG16: image 3 of 4, 2.14 images/s, 1 s left",
        "VGG16: image 4 of 4, 2.67 images/s",
    ]


def test_a_line_is_not_said_twice(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ProgressLines()
    for _ in range(2):
        lines(Progress("VGG16", "measuring its cost"))
    assert capsys.readouterr().err == "VGG16: measuring its cost\n"


def test_what_is_soon_done_needs_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    lines = ProgressLines(clock)
    for count, seconds in ((1, 0.9), (2, 0.2), (3, 0.2)):
        clock.now += seconds
        lines(Progress("reading boxes", f"{count} pictures", step=None))
    assert capsys.readouterr().err == "reading boxes: 2 pictures\n"
