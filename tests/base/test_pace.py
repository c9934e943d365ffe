import pytest

from convfe_core.base.pace import Pace, duration


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def words(pace: Pace) -> str:
    return pace.progress("VGG16", "at work").line.removeprefix("VGG16: at work")


def test_the_rate_counts_only_what_was_just_done() -> None:
    clock = Clock()
    pace = Pace(1000, clock)
    assert words(pace) == ""
    pace.skip(400)
    clock.now += 10
    pace.count(100)
    assert pace.images_per_second == pytest.approx(10)
    assert words(pace) == ", 10 images/s, 50 s left"
    assert pace.progress("VGG16", "at work").share == 0.5


def test_another_backbone_is_measured_anew() -> None:
    clock = Clock()
    pace = Pace(200, clock)
    clock.now += 1
    pace.count(100)
    pace.restart()
    assert pace.images_per_second is None
    clock.now += 50
    pace.count(50)
    assert words(pace) == ", 1 images/s, 50 s left"


def test_between_two_backbones_the_time_left_is_that_of_the_whole_run() -> None:
    clock = Clock()
    pace = Pace(1000, clock)
    clock.now += 20
    pace.count(20)
    pace.restart()
    assert words(pace) == ""  # two in a hundred say nothing yet
    pace.count(80)
    clock.now += 80
    pace.restart()
    assert words(pace) == ", 15 min 0 s left"


def test_nothing_is_left_at_the_end() -> None:
    clock = Clock()
    pace = Pace(8, clock)
    clock.now += 2
    pace.count(8)
    assert words(pace) == ", 4 images/s"
    assert pace.seconds_left == 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (59.4, "59 s"), (60, "1 min 0 s"), (158, "2 min 38 s"), (7384, "2 h 3 min")],
)
def test_durations_have_two_units_at_most(seconds: float, words: str) -> None:
    assert duration(seconds) == words
