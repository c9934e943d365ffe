"""Weights drawn for a model that is there, against those of the same model built anew."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import initializers, layers

from convfe_core.backbones.backbone import freeze_network
from convfe_core.backbones.network import KerasNetwork, open_network
from convfe_core.catalog.specs import parse_spec
from convfe_core.catalog.weights_beside import WeightsBeside, initial_weights
from tests.support.builders import noise

SEED = 7
QUICK = ("TinyMobileNet", "MobileNetV2-0.35", "EfficientNetB0", "VGG16")
SLOW = ("ResNet50V2", "DenseNet121", "Xception", "InceptionV3", "MobileNetV3Small-1.0", "ConvNeXtTiny", "NASNetMobile")
NETWORKS = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


def opened(name: str, seed: int) -> KerasNetwork:
    network = open_network(parse_spec(f"{name}:untrained"), seed=seed, variables=False)
    assert isinstance(network, KerasNetwork)
    return network


def values(network: KerasNetwork) -> dict[str, Any]:
    """Of all weights, by name; states of layers that do nothing here, such as Dropout's, are none."""
    assert network.weights_beside is not None
    with network.weights_beside:
        return {weight.path: weight.numpy() for weight in network.model.weights}


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_are_those_of_a_model_that_is_built_anew(name: str) -> None:
    draw = opened(name, seed=0).untrained()
    assert draw is not None
    drawn = draw(SEED)
    assert isinstance(drawn, KerasNetwork)
    expected = values(opened(name, SEED))
    found = values(drawn)
    assert found.keys() == expected.keys()
    for path, value in expected.items():
        np.testing.assert_array_equal(found[path], value, path)
    assert any(np.ptp(value) for value in expected.values())


def test_drawing_leaves_the_random_numbers_of_others_alone() -> None:
    draw = opened("TinyMobileNet", seed=0).untrained()
    assert draw is not None
    keras.utils.set_random_seed(3)
    expected = initializers.HeNormal().seed
    keras.utils.set_random_seed(3)
    draw(SEED)
    assert initializers.HeNormal().seed == expected


def test_scaling_that_was_learned_from_pictures_begins_anew() -> None:
    """A Normalization computes with what it noted when its weights were read."""
    batch = noise(64, 64)[None]
    network = opened("EfficientNetB0", seed=0)
    (scaling,) = (layer for layer in network.model.layers if isinstance(layer, layers.Normalization))
    assert network.weights_beside is not None
    with network.weights_beside:
        scaling.adapt_mean.assign([90.0, 100.0, 110.0])
        scaling.finalize_state()
    draw = network.untrained()
    assert draw is not None
    expected, found = (
        freeze_network(one, fold="spend").reduce(batch) for one in (opened("EfficientNetB0", 7), draw(7))
    )
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert np.ptp(theirs) > 0


@pytest.mark.parametrize(
    "initializer",
    [
        pytest.param(initializers.HeNormal(seed=5), id="a seed of its own"),
        pytest.param(lambda shape, dtype: keras.ops.ones(shape, dtype), id="a function"),
    ],
)
def test_weights_whose_seed_is_from_elsewhere_are_not_drawn(initializer: Any) -> None:
    keras.utils.set_random_seed(0)
    with WeightsBeside():
        picture = keras.Input((8, 8, 3))
        model = keras.Model(picture, layers.Conv2D(2, 3, kernel_initializer=initializer)(picture))
    assert initial_weights(model, 0) is None


def test_weights_of_another_seed_than_was_said_are_not_drawn() -> None:
    assert initial_weights(opened("TinyMobileNet", seed=1).model, seed=2) is None
