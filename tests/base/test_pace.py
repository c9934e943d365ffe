import pytest

from convfe_core.base.pace import Pace, duration


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_rate_counts_only_what_was_just_done() -> None:
    clock = Clock()
    pace = Pace(1000, clock)
    assert pace.words() == ""
    pace.skip(400)
    clock.now += 10
    pace.count(100)
    assert pace.images_per_second == pytest.approx(10)
    assert pace.words() == "10 images/s, 50 s left"


def test_another_backbone_is_measured_anew() -> None:
    clock = Clock()
    pace = Pace(200, clock)
    clock.now += 1
    pace.count(100)
    pace.restart()
    assert pace.images_per_second is None
    clock.now += 50
    pace.count(50)
    assert pace.words() == "1 images/s, 50 s left"


def test_nothing_is_left_at_the_end() -> None:
    clock = Clock()
    pace = Pace(8, clock)
    clock.now += 2
    pace.count(8)
    assert pace.words() == "4 images/s"


def test_lines_are_due_once_a_second_and_at_both_ends() -> None:
    clock = Clock()
    pace = Pace(4, clock)
    pace.count(1)
    assert pace.due()
    pace.count(1)
    assert not pace.due()
    clock.now += 1.5
    assert pace.due()
    pace.count(2)
    assert pace.due()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (59.4, "59 s"), (60, "1 min 0 s"), (158, "2 min 38 s"), (7384, "2 h 3 min")],
)
def test_durations_have_two_units_at_most(seconds: float, words: str) -> None:
    assert duration(seconds) == words
