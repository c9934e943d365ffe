"""Detectors that are trained end to end, and earlier stages of a training, are what the study says that they are."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from benchmarks.validity.drawn_pictures import stars
from benchmarks.validity.results import Candidate
from benchmarks.validity.trained.early_stages import train_stages
from benchmarks.validity.trained.fine_tuning import boxed, found_by, lessons
from benchmarks.validity.trained.whole_detector import Lessons, WholeDetector, said_by_folds
from convfe_core.backbones.network import open_network
from convfe_core.base.file_sets import UploadedFiles
from convfe_core.catalog.builtin_networks import BUILTIN_BUILDERS, FEATURES
from convfe_core.datasets.boxes import box_areas
from convfe_core.datasets.read_dataset import read_dataset
from convfe_core.trial.detector import Recipe
from convfe_core.trial.trial_job import TrialJob, TrialOptions, folds
from training.train_builtin import Pools, Trainer
from training.train_builtin import Recipe as TrainingRecipe

SMALL = Recipe(width=4, groups=2, epochs=2, batch=4, rate=1e-2)


@pytest.fixture(scope="module")
def drawn():
    return read_dataset(UploadedFiles(stars(6).items()))


@pytest.fixture(scope="module")
def network():
    return open_network(Candidate.named("TinyResNet").spec)


@pytest.fixture(scope="module")
def made() -> Lessons:
    return noise_lessons(10)


def noise_lessons(count: int) -> Lessons:
    """Photographs of noise, a map of 2 x 2 cells, the last column beside the photograph for some."""
    random = np.random.default_rng(0)
    there = np.ones((count, 2, 2), np.float32)
    there[::3, :, 1] = 0
    scores = random.random((count, 2, 2)).astype(np.float32) * there
    distances = random.random((count, 2, 2, 4)).astype(np.float32)
    canvases = random.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    orders = np.stack([random.permutation(count) for _ in range(2)])
    return Lessons("tf", canvases, there, scores, there, distances, orders)


def backbone() -> keras.Model:
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Conv2D(5, 4, 4), keras.layers.BatchNormalization(), keras.layers.ReLU()]
    return keras.Sequential([keras.Input((8, 8, 3)), *layers])


def weights_after(made: Lessons, factor: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Of a backbone before and after one training."""
    one = backbone()
    before = one.get_weights()
    WholeDetector(one, made, SMALL, factor).fit(made, np.arange(8), seed=0)
    return before, one.get_weights()


def test_the_backbone_learns_at_its_part_of_the_rate(made):
    before, after = weights_after(made, 0.1)
    moved = [np.abs(one - other).max() for one, other in zip(before, after, strict=True)]
    assert min(moved) > 0  # kernel, bias, gamma, beta, and the mean and variance of batch normalisation
    assert max(moved[:4]) < 0.1 * SMALL.rate * 2 * 2 * 1.5  # a step of AdamW is about its rate, and there are 2 x 2
    before, after = weights_after(made, 0.0)
    assert [np.array_equal(one, other) for one, other in zip(before, after, strict=True)] == [True] * 4 + [False] * 2


@pytest.mark.slow
def test_every_photograph_is_asked_of_a_detector_that_has_not_seen_it_and_is_new():
    made = noise_lessons(3)  # a fold each
    detector = WholeDetector(backbone(), made, SMALL, 0.1)
    said = said_by_folds(detector, made, seed=1)
    order = made.orders[1]
    begin, after = folds(3)[-1]
    held = order[begin:after]
    assert np.array_equal(detector.say(made, held), said[held])  # it last learnt from all others
    detector.fit(made, np.concatenate([order[:begin], order[after:]]), seed=1)
    assert np.array_equal(detector.say(made, held), said[held])
    detector.fit(made, order[1:], seed=1)
    assert not np.allclose(detector.say(made, held), said[held])


def test_lessons_are_the_same_from_their_file(made, tmp_path):
    made.save(tmp_path / "lessons.npz")
    again = Lessons.load(tmp_path / "lessons.npz")
    assert all(np.array_equal(value, vars(again)[name]) for name, value in vars(made).items())


def test_who_says_what_was_to_be_learnt_finds_every_box(drawn, network):
    made = lessons(network, drawn, seeds=2)
    assert made.canvases.shape == (6, 160, 160, 3)
    logits = np.where(made.owned > 0, np.log(made.scores.clip(1e-6)) - np.log1p(-made.scores.clip(0, 1 - 1e-6)), -30)
    found = found_by(network, drawn, np.concatenate([logits[..., None], made.distances], axis=-1))
    assert (found["ap50"], found["recall"], found["images"]) == (1, 1, 6)
    areas = np.concatenate([box_areas(drawn.images[place].boxes) for place in boxed(drawn)])
    assert found["by side"]["32"] == ((areas >= 32**2).sum(), 1)
    assert found["by side"]["160"] == (0, 0)


def test_folds_are_those_of_a_trial_with_the_same_seed(drawn, network):
    made = lessons(network, drawn, seeds=2)
    for seed in range(2):
        trial = TrialJob(drawn, TrialOptions(seed=seed), {}, bfloat16=False)
        assert [boxed(drawn)[k] for k in made.orders[seed]] == trial.places


@pytest.mark.slow
def test_an_early_stage_is_the_training_after_so_many_epochs(tmp_path, monkeypatch):
    """Of a network of two layers: a built-in one takes twelve seconds more of a processor."""
    monkeypatch.setitem(BUILTIN_BUILDERS, "Two", two_layers)
    random = np.random.default_rng(0)
    for name in ("blue", "red"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for k in range(4):
            pixels = random.integers(0, 256, (40, 50, 3), dtype=np.uint8)
            keras.utils.save_img(tmp_path / "pictures" / name / f"{k}.png", pixels)
    recipe = TrainingRecipe("Two", size=32, canvases=16, batch=8, epochs=4, pools=2)
    pools = Pools(recipe, tmp_path / "pictures", None, teacher=False, cache=None)
    train_stages(recipe, pools, ["blue", "red"], [1, 2], tmp_path)
    trainer = Trainer(recipe, ["blue", "red"], with_teacher=False)
    trainer.train_epoch(0, *pools[0])
    saved = keras.models.load_model(tmp_path / "Two after 1.keras").get_weights()
    assert all(np.array_equal(one, other) for one, other in zip(saved, trainer.student.get_weights(), strict=True))
    assert not np.array_equal(saved[0], keras.models.load_model(tmp_path / "Two after 2.keras").get_weights()[0])


def two_layers() -> keras.Model:
    layers = [keras.layers.Conv2D(FEATURES, 16, 16), keras.layers.BatchNormalization()]
    return keras.Sequential([keras.Input((None, None, 3)), *layers])
