"""The study compares what it says that it compares."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from benchmarks.validity.agreement import agree
from benchmarks.validity.drawn_pictures import cells, stars
from benchmarks.validity.logme import logme
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
