"""Numbers of marks: those of a ranking on the same boxes, and a sentence that promises no more than they hold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from convfe_core.backbones.backbone import load_backbone
from convfe_core.catalog.specs import parse_spec
from convfe_core.datasets.boxes import ImageBoxes
from convfe_core.datasets.samples import read_samples
from convfe_core.maps.extraction import extract_maps
from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.maps.input_size import Size
from convfe_core.marks.first_look import FirstLook, MarkedMaps, first_look, marked_maps
from convfe_core.photos.gallery import SAMPLES, load_sample
from convfe_core.ranking.results import RankOptions
from convfe_core.ranking.run import RankRun
from tests.support.rankings import OTHER, SMALL

CENTRES = np.arange(8) + 0.5


def image(name: str, *boxes: tuple[float, float, float, float]) -> ImageBoxes:
    return ImageBoxes(name, 8, 8, np.array(boxes, np.float64).reshape(-1, 4), ("cup",) * len(boxes))


def maps(label: str, seed: int, **values: np.ndarray) -> MarkedMaps:
    random = np.random.default_rng(seed)
    drawn = {name: random.normal(size=(8, 8)).astype(np.float32) for name in ("max", "mean")}
    return MarkedMaps(label, {**drawn, **values}, CENTRES, CENTRES)


def marked(count: int) -> tuple[list[ImageBoxes], dict[str, list[MarkedMaps]]]:
    """Photographs with a box in another place each, and maps that are brighter there under one backbone."""
    images, found = [], {}
    for k in range(count):
        x, y = k % 5, k // 5 % 5
        images.append(image(f"{k:02}.png", (x, y, x + 3, y + 3)))
        bright = np.random.default_rng(k).normal(size=(8, 8)).astype(np.float32)
        bright[y : y + 3, x : x + 3] += 2
        found[f"{k:02}.png"] = [maps("Good", k, mean=bright), maps("Noise", 100 + k)]
    return images, found


@pytest.fixture(scope="module")
def looks() -> tuple[RankRun, FirstLook, dict[str, dict[str, FeatureMaps]]]:
    """A ranking of the samples, and a first look at the maps that Compare has of them."""
    dataset = read_samples()
    specs = [parse_spec(SMALL), parse_spec(OTHER)]
    names = {sample.file: sample.name for sample in SAMPLES}
    photos = [load_sample(names[one.image]) for one in dataset.images]
    found: dict[str, dict[str, FeatureMaps]] = {photo.name: {} for photo in photos}
    for spec in specs:
        backbone = load_backbone(spec)
        for photo in photos:  # one at a time, as Compare runs them
            (made,) = extract_maps(backbone, [photo], Size("own"))
            found[photo.name][made.label] = made
    given = {one.image: [marked_maps(m, one) for m in found[one.image].values()] for one in dataset.images}
    look = first_look(list(reversed(dataset.images)), given)
    run = RankRun(dataset, specs, RankOptions(probe=False, control=False, cost=False))
    run.run()
    return run, look, found


def test_the_numbers_are_those_of_a_ranking_on_the_same_boxes(looks: tuple) -> None:
    run, look, _ = looks
    ranked = {one.label: one for one in run.finish().ranking.backbones}
    assert look.ranking is not None
    assert look.usable == 11
    assert [one.label for one in look.ranking.backbones] == [one.label for one in run.finish().ranking.backbones]
    for one in look.ranking.backbones:
        for name, separation in one.separation.items():
            other = ranked[one.label].separation[name]
            assert separation.auroc == pytest.approx(other.auroc, abs=1e-9)
            for end in ("value", "low", "high"):
                assert getattr(separation.S, end) == pytest.approx(getattr(other.S, end), abs=1e-9)
    assert look.ranking.differences == run.finish().ranking.differences


def test_each_number_is_the_area_under_the_curve_of_scikit_learn(looks: tuple) -> None:
    run, look, found = looks
    assert len(look.aurocs) == 11 * 2 * 2
    for one in run.dataset.images:
        for label, made in found[one.image].items():
            inside = np.zeros(made.max.shape, bool)
            for x_min, y_min, x_max, y_max in one.boxes:
                rows = (made.centres_y >= y_min) & (made.centres_y < y_max)
                inside |= rows[:, None] & (made.centres_x >= x_min) & (made.centres_x < x_max)
            for name in ("max", "mean"):
                expected = roc_auc_score(inside.ravel(), getattr(made, name).ravel())
                assert look.aurocs[one.image, label, name] == pytest.approx(expected, abs=1e-12)


def test_another_map_joins_by_its_name() -> None:
    images, found = marked(3)
    probe = np.zeros((8, 8), np.float32)
    probe[:3, :3] = 1
    given = {name: [MarkedMaps(m.label, {**m.values, "probe": probe}, CENTRES, CENTRES) for m in found[name]]
             for name in found}  # fmt: skip
    look = first_look(images, given)
    assert look.aurocs["00.png", "Good", "probe"] == 1
    assert look.best("00.png", ("max", "mean", "probe")) == ("Good", "probe")
    assert look.best("00.png", ("max",)) == max(
        (("Good", "max"), ("Noise", "max")), key=lambda key: look.aurocs["00.png", *key]
    )
    assert look.ranking is not None
    assert set(look.ranking.backbones[0].separation) == {"max", "mean", "probe"}


def test_one_box_is_enough_for_a_number_and_the_best_map_of_a_row() -> None:
    images, found = marked(1)
    look = first_look(images, found)
    assert set(look.aurocs) == {("00.png", label, name) for label in ("Good", "Noise") for name in ("max", "mean")}
    assert look.best("00.png") == ("Good", "mean")
    assert look.best("01.png") is None
    assert look.ranking is None
    assert look.text == "1 photograph marked. S, which compares photographs with each other, is shown from 3 on."


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "Draw boxes around your objects: every map gets its number at once."),
        (2, "2 photographs marked. S, which compares photographs with each other, is shown from 3 on."),
        (
            3,
            "3 images: a first look, no winner. One is named from 20 marked photographs on; with so few, intervals "
            "look surer than they are.",
        ),
        (19, "19 images: a first look, no winner."),
        (20, "Good leads; Noise is behind it."),
    ],
)
def test_the_sentence_is_as_careful_as_a_rankings(count: int, text: str) -> None:
    look = first_look(*marked(count))
    assert look.text.startswith(text)
    assert (look.ranking is None) == (count < 3)


def test_boxes_that_cannot_be_scored_are_told_from_photographs_that_are_missing() -> None:
    images, found = marked(4)
    images[1] = image("01.png", (2.6, 2.6, 3.4, 3.4))  # between the centres of cells
    images[2] = image("02.png", (0, 0, 8, 8))
    look = first_look(images, found)
    assert {name for name, _, _ in look.aurocs} == {"00.png", "03.png"}
    assert look.ranking is None
    assert look.text == (
        "4 photographs marked, 2 of them scored under every backbone: for S it takes 3 with maps that are there, and "
        "boxes that hold some cells of a map and leave others out."
    )


def test_photographs_without_maps_are_compared_with_and_not_counted() -> None:
    images, found = marked(5)
    whole = first_look(images, found)
    del found["04.png"]
    found["03.png"].pop()  # one backbone failed on it
    look = first_look(images, found)
    assert look.usable == 3
    assert look.aurocs == {key: whole.aurocs[key] for key in look.aurocs}
    assert ("03.png", "Good", "max") in look.aurocs


def test_marks_at_another_size_meet_the_same_cells(make_maps: Callable[..., FeatureMaps]) -> None:
    made = make_maps(np.zeros((2, 3)), np.arange(6).reshape(2, 3))
    twice = ImageBoxes("a.png", 128, 192, np.array([[128.0, 64, 192, 128]]), ("cup",))
    once = ImageBoxes("a.png", 64, 96, np.array([[64.0, 32, 96, 64]]), ("cup",))
    for one in (once, twice):
        look = first_look([one], {"a.png": [marked_maps(made, one)]})
        assert look.aurocs == {("a.png", "VGG16", "max"): 0.5, ("a.png", "VGG16", "mean"): 1.0}
