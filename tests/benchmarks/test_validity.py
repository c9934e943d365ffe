"""The study compares what it says that it compares."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from benchmarks.records import Record
from benchmarks.validity.agreement import agree
from benchmarks.validity.compare import TRIAL, compare
from benchmarks.validity.drawn_pictures import cells, stars
from benchmarks.validity.keep_results import keep_results
from benchmarks.validity.logme import logme
from benchmarks.validity.results import RESAMPLES, Candidate, Results, result_name
from convfe_core.base.file_sets import UploadedFiles
from convfe_core.datasets.read_dataset import read_dataset


def test_agreement_by_hand():
    truth = np.array([0.9, 0.5, 0.51, 0.1])
    again = truth + np.array([0.02, -0.02, 0.0])[:, None] * np.array([1, 1, -1, 1])  # the middle two change places
    predicted = np.array([2.0, 3.0, 0.0, 1.0])
    found = agree(predicted, np.tile(predicted, (3, 1)), truth, again)
    assert found.decided == 5
    assert found.in_order.value == 3  # not 0 > 1, not 2 > 3
    assert found.pick == 1
    assert found.regret.value == pytest.approx(0.4)
    assert found.rank_correlation.value == pytest.approx(1 - 6 * (1 + 4 + 4 + 1) / (4 * 15))


def test_equal_predictions_count_half():
    truth = np.array([1.0, 0.0])
    found = agree(np.zeros(2), np.zeros((5, 2)), truth, np.tile(truth, (5, 1)))
    assert (found.decided, found.in_order.value, found.rank_correlation.value) == (1, 0.5, 0)


@pytest.mark.parametrize("width", [4, 40])
def test_logme_is_the_greatest_evidence_of_a_linear_model(width):
    random = np.random.default_rng(width)
    features = random.normal(size=(25, width))
    labels = ["a" if one > 0 else "b" for one in features[:, 0] + random.normal(size=25)]

    def evidence(target: np.ndarray) -> float:
        def negative(logs: np.ndarray) -> float:
            prior, noise = np.exp(logs)
            spread = np.eye(25) / noise + features @ features.T / prior
            return -multivariate_normal(np.zeros(25), spread).logpdf(target) / 25

        return -minimize(negative, [1.0, 1.0], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9}).fun

    members = np.array(labels) == "a"
    expected = np.mean([evidence(members.astype(float)), evidence((~members).astype(float))])
    assert logme(features, labels) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("draw", [cells, stars])
def test_drawn_pictures_are_a_data_set_and_the_same_each_time(draw):
    files = draw(3)
    assert files == draw(3)
    data = read_dataset(UploadedFiles(files.items()))
    assert [len(one.boxes) > 0 for one in data.images] == [True] * 3
    assert Image.open(io.BytesIO(files["000.png"])).size == (320, 240)


CANDIDATES = [Candidate.named(name) for name in ("TinyResNet", "TinyMobileNet:untrained", "VGG16@C4")]


@pytest.fixture
def finished(tmp_path) -> Results:
    """Trials with two seeds but for the last backbone, and one detector trained end to end."""
    results = Results(tmp_path)
    told = {"machine": "A chip (family 1, model 2), 2 cores, 4 GB", "versions": "Python 3", "date": "2026-01-01"}
    for k, one in enumerate(CANDIDATES):
        scores = {title: [k / 10] * 19 + [None] for title in ("S, mean map", "S, max map", "S, cell probe")}
        rest = {"box probe": 0.5, "LogME of box features": None, "ImageNet top-1": None, "parameters": 10 + k}
        results.keep(scores | rest | told, "data", one.label, "predictors")
        for seed in range(2 if k < 2 else 1):
            found = {"ap50": 0.9 - k / 10 + seed / 50, "ap": 0.5, "recall": 1.0, "again": [0.8 - k / 10] * RESAMPLES}
            results.keep(found | told, "data", one.label, f"trial {seed}")
    results.keep(found | told | {"machine": "A card"}, "data", one.label, result_name(0.1, 0))
    return results


def test_truth_is_the_mean_of_the_seeds_and_a_backbone_may_have_fewer(finished):
    found = compare(finished, "data", CANDIDATES, 3, {"TinyResNet:builtin": 1.0}, TRIAL)
    assert found is not None
    assert found.labels == ["TinyResNet", "TinyMobileNet:untrained", "VGG16 at C4"]
    assert (found.seeds, found.truth.tolist()) == ([2, 2, 1], pytest.approx([0.91, 0.81, 0.7]))
    assert found.values["S, mean map"].tolist() == pytest.approx([0, 0.1, 0.2])  # images without a score do not count
    assert found.misplaced("parameters") == "TinyResNet: place 3, is 1"
    assert found.agreement("ImageNet top-1") is None


def test_results_are_kept_beside_the_machine_that_computed_them(finished, tmp_path):
    paths = keep_results(finished, tmp_path)
    assert {path.name for path in paths} == {"validity-a-chip-1-2.json", "validity-a-card.json"}
    record = Record.read(tmp_path / "validity-a-chip-1-2.json")
    rows = {line.row["result"]: line.row for line in record.tables["detectors"]}
    assert rows["data, TinyMobileNet:untrained, trial 1"]["AP50"] == 0.82
    assert {line.row["result"]: line.row["S, mean map"] for line in record.tables["predictors"]}[
        "data, TinyResNet"
    ] == 0
