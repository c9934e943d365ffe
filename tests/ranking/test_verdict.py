"""Rankings: the order, the ties, the control, and a sentence for each case."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from convfe_core.base.wording import in_words
from convfe_core.ranking.verdict import BackboneScores, MapScores, Ranking, rank_backbones
from convfe_core.scoring.bootstrap import Estimate, interval
from convfe_core.scoring.trial_scores import TrialScores

IMAGES = 60
NOISE = np.random.default_rng(0).normal(0, 0.1, IMAGES)


def scores(
    label: str, mean: float, control: float | None = None, trained: bool = True, jitter: int = 1
) -> BackboneScores:
    """A backbone whose S is about `mean` on every image, beside a control; `jitter` seeds what differs by image."""
    own = NOISE + np.random.default_rng(jitter).normal(0, 0.02, IMAGES)
    separation = mean + own - own.mean()
    maps = MapScores(separation, separation + 0.5, None if control is None else control + own - own.mean())
    by_size = {"small": np.full(IMAGES, np.nan), "medium": separation, "large": np.where(separation > 0, 1.0, np.nan)}
    return BackboneScores(label, {"max": maps, "mean": maps}, by_size, trained)


def verdict(*given: BackboneScores) -> str:
    return rank_backbones(given).verdict.text


def test_the_highest_separation_leads_and_ties_are_named() -> None:
    ranking = rank_backbones(
        [scores("C", 0.1, 0.1, jitter=2), scores("A", 0.3, 0.3), scores("B", 0.101, 0.101, jitter=3)]
    )
    assert [b.label for b in ranking.backbones] == ["A", "B", "C"]
    assert ranking.verdict.text == (
        "A leads; B and C are tied behind it; none of them beats its own untrained control on these images, "
        "so pretraining does not help here."
    )
    assert ranking.verdict.leader == "A"
    assert ranking.verdict.tied == ()
    assert ranking.verdict.beats_control == {"A": False, "B": False, "C": False}
    assert {(d.first, d.second): d.tied for d in ranking.differences} == {
        ("A", "B"): False,
        ("A", "C"): False,
        ("B", "C"): True,
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            [scores("A", 0.3, 0.1)],
            "A separates your objects from the rest; it beats its own untrained control.",
        ),
        ([scores("A", 0.3)], "A separates your objects from the rest."),
        ([scores("A", -0.3)], "A does not separate your objects: other images' boxes fit its map as well."),
        (
            [scores("A", 0.3, 0.1), scores("B", 0.2, 0.1)],
            "A leads; B is behind it; both beat their own untrained controls.",
        ),
        (
            [scores("A", 0.3, 0.1), scores("B", 0.3, 0.3)],
            "A and B are tied: these images do not tell them apart; A beats its own untrained control, B does not.",
        ),
        (
            [scores("A", 0.3), scores("B", 0.3, jitter=2), scores("C", 0.2), scores("D", 0.1)],
            "A and B are tied in front; C is behind them, then D.",
        ),
        (
            [scores("A", -0.2), scores("B", -0.1)],
            "B leads; A is behind it; none of them separates your objects: other images' boxes fit their maps as well.",
        ),
        (
            [scores("A", 0.3, 0.1), scores("B:untrained", 0.1, 0.1, trained=False)],
            "A leads; B:untrained is behind it; it beats its own untrained control.",
        ),
    ],
)
def test_the_verdict_is_a_sentence(given: list[BackboneScores], expected: str) -> None:
    text = verdict(*given)
    if "tied" in expected and text.startswith("B and A"):  # which of two level ones comes first is rounding
        text = text.replace("B and A", "A and B", 1)
    assert text == expected


def probed(label: str, mean: float, probe: float, control: float | None = None, jitter: int = 1) -> BackboneScores:
    """A backbone whose S and whose cell probe's S are about so much; the same control for both."""
    of_probe = scores(label, probe, control, jitter=jitter + 10).maps["mean"]
    return replace(scores(label, mean, control, jitter=jitter), cell_probe=of_probe)


def tried(given: BackboneScores, ap50: float, control: float | None = None, images: int = IMAGES) -> BackboneScores:
    """The same backbone with a trial."""

    def trial(value: float, seed: int) -> TrialScores:
        resampled = value + np.random.default_rng(seed).normal(0, 0.01, 2000)
        found = Estimate(value, *interval(resampled))
        return TrialScores(found, value / 2, 0.9, images, 60.0, resampled)

    own = trial(ap50, len(given.label))
    return replace(given, trial=own if control is None else replace(own, control=trial(control, 99)))


@pytest.mark.parametrize(
    ("given", "expected", "leader", "tied"),
    [
        (
            [probed("A", 0.3, 0.4, 0.1), probed("B", 0.2, 0.3, 0.1)],
            "A leads; B is behind it; both beat their own untrained controls; the cell probe agrees.",
            "A",
            (),
        ),
        (
            [probed("A", 0.3, 0.3), probed("B", 0.2, 0.4), probed("C", 0.1, 0.1)],
            "No winner is named: S puts A first, the cell probe B; a trial of a detector (--trial) would decide.",
            None,
            (),
        ),
        (
            [probed("A", 0.3, 0.3), probed("B", 0.2, 0.3, jitter=2)],
            "No winner is named: S puts A first, the cell probe has A and B tied in front; a trial of a detector "
            "(--trial) would decide.",
            None,
            (),
        ),
        (
            [probed("A", 0.3, 0.2), probed("B", 0.3, 0.4, jitter=2)],
            "A and B are tied: these images do not tell them apart; the cell probe puts B first.",
            "B",
            (),
        ),
        (
            [probed("A", 0.3, 0.4)],
            "A separates your objects from the rest; the cell probe agrees.",
            "A",
            (),
        ),
        (
            [probed("A", -0.3, 0.4)],
            "A does not separate your objects: other images' boxes fit its map as well; but the cell probe finds them, "
            "and a trial of a detector (--trial) would decide.",
            "A",
            (),
        ),
        (
            [probed("A", 0.1, 0.4, 0.1)],
            "A separates your objects from the rest; by S it does not beat its own untrained control; by the cell "
            "probe it beats its own untrained control; the cell probe agrees.",
            "A",
            (),
        ),
    ],
)
def test_s_and_the_cell_probe_lead_together_or_propose_a_trial(
    given: list[BackboneScores], expected: str, leader: str | None, tied: tuple[str, ...]
) -> None:
    found = rank_backbones(given).verdict
    text = found.text.replace("B and A", "A and B")  # which of two level ones comes first is rounding
    assert text == expected
    assert (found.leader, found.tied) == (leader, tied)
    assert found.decided_by == ("S and cell probe" if leader else None)


@pytest.mark.parametrize(
    ("given", "expected", "leader"),
    [
        (
            [tried(scores("A", 0.3), 0.12), tried(scores("BB", 0.2), 0.52), tried(scores("CCC", 0.1), 0.5)],
            "In the trial of a small detector BB and CCC are tied in front; A is behind them; "
            "S would have put A first.",
            "BB",
        ),
        (
            [tried(scores("A", 0.3), 0.8, 0.5), tried(scores("BB", 0.2), 0.7, 0.7)],
            "In the trial of a small detector A leads; BB is behind it; A beats its own untrained control, "
            "BB does not.",
            "A",
        ),
        (
            [tried(probed("A", 0.3, 0.4), 0.1), tried(probed("BB", 0.2, 0.3), 0.5)],
            "In the trial of a small detector BB leads; A is behind it; S and the cell probe would have put A first.",
            "BB",
        ),
        (
            [tried(scores("A", 0.3, 0.1), 0.8, 0.5)],
            "A was tried with a small detector, and with no other backbone to compare; it beats its own untrained "
            "control.",
            "A",
        ),
        (
            [tried(scores("A", 0.3), 0.1, images=39), tried(scores("BB", 0.2), 0.9, images=39)],
            "A leads; BB is behind it; the trial has 39 images, under 40 it names no winner.",
            "A",
        ),
        (
            [scores("A", 0.3), tried(scores("BB", 0.2), 0.9)],
            "A leads; BB is behind it; BB alone was tried, which compares nothing.",
            "A",
        ),
    ],
)
def test_the_trial_decides_where_there_is_one(given: list[BackboneScores], expected: str, leader: str) -> None:
    ranking = rank_backbones(given)
    assert ranking.verdict.text == expected
    assert ranking.verdict.leader == ranking.backbones[0].label == leader


def test_a_backbone_that_the_trial_puts_last_is_not_named_though_s_and_the_probe_do() -> None:
    given = [tried(probed("A", 0.4, 0.4), 0.1), tried(probed("BB", 0.1, 0.1), 0.5)]
    ranking = rank_backbones(given)
    assert ranking.verdict.leader == "BB"
    assert ranking.verdict.decided_by == "trial"
    assert [(d.first, d.second, d.tied) for d in ranking.trial_differences] == [("BB", "A", False)]
    assert [(d.first, d.second) for d in ranking.differences] == [("A", "BB")]


def test_a_probe_without_an_image_takes_none_from_maps_nor_from_other_probes() -> None:
    nothing = MapScores(np.full(IMAGES, np.nan), np.full(IMAGES, np.nan))
    given = [replace(scores("A", 0.3), cell_probe=nothing), probed("B", 0.2, 0.3)]
    ranking = rank_backbones(given)
    assert ranking.usable == IMAGES
    assert [one.cell_probe is None for one in ranking.backbones] == [True, False]
    assert ranking.probe_differences == ()
    assert ranking.verdict.text == "A leads; B is behind it."
    assert ranking.verdict.decided_by == "S"


def test_under_twenty_images_nobody_wins_and_the_sentence_counts_what_is_missing() -> None:
    few = keep(scores("A", 0.4, 0.1), 19)
    ranking = rank_backbones([few, keep(scores("B", 0.1, 0.1), 19)])
    assert ranking.verdict.leader is None
    assert ranking.verdict.tied == ()
    assert ranking.verdict.text == (
        "No winner is named: 19 images can be scored, 20 are needed, so 1 more image with boxes is missing."
    )
    assert ranking.backbones[0].separation["mean"].S.value == pytest.approx(few_mean(few))
    assert ranking.backbones[0].beats_control is None  # an interval over a few images is too narrow to say so
    assert ranking.verdict.beats_control == {}


def test_all_numbers_are_over_the_images_that_every_backbone_can_be_scored_on() -> None:
    whole, part = scores("A", 0.4), keep(scores("B", 0.2), 30)
    ranking = rank_backbones([whole, part])
    assert ranking.usable == 30
    assert [b.usable for b in ranking.backbones] == [60, 30]
    assert ranking.backbones[0].separation["mean"].S.value == pytest.approx(whole.maps["mean"].separation[:30].mean())


def test_a_backbone_without_a_usable_image_comes_last_and_takes_no_image_from_the_others() -> None:
    ranking = rank_backbones([keep(scores("broken", 0.9), 0), scores("A", 0.2, 0.1)])
    assert [b.label for b in ranking.backbones] == ["A", "broken"]
    assert ranking.usable == IMAGES
    assert ranking.backbones[1].separation == {}
    assert ranking.backbones[1].beats_control is None


def test_no_usable_image_at_all_still_gives_a_sentence() -> None:
    ranking = rank_backbones([keep(scores("A", 0.2), 0)])
    assert ranking.verdict.text == "No winner is named: 0 images can be scored, 20 are needed."


def test_separation_comes_with_its_parts() -> None:
    given = scores("A", 0.3, 0.1)
    found = rank_backbones([given]).backbones[0]
    assert found.separation["mean"].S.value == pytest.approx(0.3)
    assert found.separation["mean"].auroc == pytest.approx(0.8)
    gain = found.separation["mean"].gain
    control = found.separation["mean"].control
    assert gain is not None
    assert control is not None
    assert gain.value == pytest.approx(0.2)
    assert gain.low > 0
    assert found.by_size["small"].images == 0
    assert found.by_size["small"].S is None
    medium = found.by_size["medium"].S
    assert medium is not None
    assert (medium.low, medium.high) == pytest.approx((found.separation["mean"].S.low, found.separation["mean"].S.high))


def test_the_same_input_gives_the_same_ranking() -> None:
    def ranking() -> Ranking:
        return rank_backbones([scores("A", 0.3, 0.1), scores("B", 0.2, 0.1)])

    assert ranking() == ranking()


def test_no_backbone_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one backbone"):
        rank_backbones([])


def test_names_are_listed_as_people_do() -> None:
    assert [in_words(n) for n in (["A"], ["A", "B"], ["A", "B", "C"])] == ["A", "A and B", "A, B and C"]


def keep(given: BackboneScores, images: int) -> BackboneScores:
    """The same backbone, scored on the first images only."""

    def cut(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(np.arange(IMAGES) < images, values, np.nan)

    maps = {n: MapScores(cut(m.separation), cut(m.auroc), m.control) for n, m in given.maps.items()}
    return BackboneScores(given.label, maps, given.by_size, given.trained)


def few_mean(given: BackboneScores) -> float:
    return float(np.nanmean(given.maps["mean"].separation))
