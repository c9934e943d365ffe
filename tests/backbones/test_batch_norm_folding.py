"""Folded models against the same models called the plain way."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from convfe_core.backbones.backbone import freeze_network
from convfe_core.backbones.batch_norm_folding import fold_model, layer_scale
from convfe_core.backbones.frozen_graph import trace
from convfe_core.backbones.network import open_network
from convfe_core.catalog.specs import parse_spec

SHARED = layers.Conv2D(3, 3, padding="same", name="shared")

PARTS: dict[str, Callable[[Any], Any]] = {
    "convolution": lambda x: layers.BatchNormalization()(layers.Conv2D(5, 3, use_bias=False)(x)),
    "convolution with bias": lambda x: layers.BatchNormalization()(layers.Conv2D(5, 3)(x)),
    "groups": lambda x: layers.BatchNormalization()(layers.Conv2D(6, 3, groups=3)(x)),
    "groups of two": lambda x: layers.BatchNormalization()(layers.Conv2D(4, 3, groups=2)(layers.Conv2D(4, 1)(x))),
    "a group for each channel": lambda x: layers.Conv2D(3, 3, 2, "same", groups=3, activation="relu")(x),
    "depthwise": lambda x: layers.BatchNormalization()(
        layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False)(x)
    ),
    "separable": lambda x: layers.BatchNormalization()(layers.SeparableConv2D(4, 3, use_bias=False)(x)),
    "dense": lambda x: layers.BatchNormalization()(layers.Dense(5)(x)),
    "dense without bias": lambda x: layers.BatchNormalization()(layers.Dense(5, use_bias=False)(x)),
    "dense with a factor": lambda x: layer_scale()(0.5, 5)(layers.Dense(5)(x)),
    "activated dense": lambda x: layers.BatchNormalization()(layers.Dense(5, activation="relu")(x)),
    "adapted by LoRA": lambda x: layers.BatchNormalization()(adapted(layers.Conv2D(5, 3, lora_rank=2), x)),
    "dense, adapted by LoRA": lambda x: layers.BatchNormalization()(adapted(layers.Dense(5, lora_rank=2), x)),
    "no scale": lambda x: layers.BatchNormalization(scale=False)(layers.Conv2D(5, 3, use_bias=False)(x)),
    "no centre": lambda x: layers.BatchNormalization(center=False)(layers.Conv2D(5, 3)(x)),
    "activated convolution": lambda x: layers.BatchNormalization()(layers.Conv2D(5, 3, activation="relu")(x)),
    "after a sum": lambda x: layers.BatchNormalization()(layers.Add()([x, layers.Conv2D(3, 3, padding="same")(x)])),
    "pixels scaled": lambda x: layers.Conv2D(5, 3)(layers.Rescaling([2.0, 3.0, 4.0])(scaled(x))),
    "pixels scaled, read twice": lambda x: twice_read(scaled(x)),
    "a factor for each pixel": lambda x: layers.Rescaling(np.linspace(1, 2, 12 * 14 * 3).reshape(12, 14, 3))(x),
    "scaled back": lambda x: layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0], invert=True)(x),
    "scaled convolution": lambda x: layers.Rescaling(0.5, offset=1.0)(layers.Conv2D(5, 3)(x)),
    "sum of three": lambda x: layers.Add()([x, layers.Conv2D(3, 3, padding="same")(x), x]),
    "sum that broadcasts": lambda x: layers.Add()([x, layers.GlobalAveragePooling2D(keepdims=True)(x)]),
    "first of all": lambda x: layers.BatchNormalization()(x),
    "rows normalised": lambda x: layers.BatchNormalization(axis=1)(layers.Conv2D(5, 3)(x)),
    "twice": lambda x: layers.BatchNormalization()(layers.BatchNormalization()(layers.Conv2D(5, 3)(x))),
    "convolution used again": lambda x: layers.BatchNormalization()(SHARED(SHARED(x))),
}


def adapted(layer: Any, x: Any) -> Any:
    """What a layer gives once its low ranks were trained, which begin as zeros."""
    found = layer(x)
    layer.lora_kernel_b.assign(np.full(layer.lora_kernel_b.shape, 0.5))
    return found


def scaled(x: Any) -> Any:
    normal = layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.04, 0.05, 0.06])
    return normal(layers.Rescaling(1 / 255, offset=0.1)(x))


def twice_read(x: Any) -> Any:
    return layers.Add()([x, layers.Rescaling(-3.0, offset=1.0)(x)])


def made(part: Callable[[Any], Any]) -> keras.Model:
    """A model of a part, with batch statistics that are not those that a layer begins with."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 14, 3))
    return randomised(keras.Model(inputs, layers.ReLU()(part(inputs))))


def randomised(model: keras.Model) -> keras.Model:
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            for weight in layer.weights:
                weight.assign(random.uniform(0.5, 1.5, weight.shape))
    return model


@pytest.fixture
def pixels() -> Any:
    return np.random.default_rng(1).standard_normal((2, 12, 14, 3)).astype(np.float32)


@pytest.mark.parametrize("name", PARTS)
def test_a_folded_model_gives_what_the_model_gives(name: str, pixels: Any) -> None:
    model = made(PARTS[name])
    (folded,) = fold_model(model, model.outputs)(pixels)
    expected = np.asarray(model(pixels, training=False))
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(folded.numpy(), expected, rtol=1e-5, atol=1e-5 * np.ptp(expected))


@pytest.mark.parametrize("name", PARTS)
def test_spending_the_model_gives_the_same(name: str, pixels: Any) -> None:
    model = made(PARTS[name])
    (kept,) = fold_model(model, model.outputs)(pixels)
    (spent,) = fold_model(model, model.outputs, "spend")(pixels)
    np.testing.assert_array_equal(spent.numpy(), kept.numpy())


def test_a_convolution_that_is_looked_at_itself_keeps_its_values(pixels: Any) -> None:
    model = made(PARTS["convolution"])
    convolution = model.layers[1].output
    values = fold_model(model, [convolution, *model.outputs])(pixels)
    for value, expected in zip(values, keras.Model(model.inputs, [convolution, *model.outputs])(pixels), strict=True):
        np.testing.assert_allclose(value.numpy(), np.asarray(expected), rtol=1e-5, atol=1e-5)


def test_what_is_done_to_the_weights_later_does_not_reach_the_function(pixels: Any) -> None:
    model = made(PARTS["convolution with bias"])
    folded = fold_model(model, model.outputs)
    before = folded(pixels)[0].numpy()
    for weight in model.weights:
        weight.assign(weight + 1.0)
    np.testing.assert_array_equal(folded(pixels)[0].numpy(), before)


def test_the_batch_normalisations_of_a_real_network_are_gone_from_its_graph() -> None:
    network = open_network(parse_spec("MobileNetV2-0.35:untrained"))
    graph: Any = trace(lambda batch: network.features(batch), [network.pixels])
    operations = graph.graph.get_operations()
    constants = [operation.outputs[0].shape for operation in operations if operation.type == "Const"]
    kinds = [operation.type for operation in operations]
    assert kinds.count("Rsqrt") == 0
    norms = [layer for layer in network.model.layers if isinstance(layer, layers.BatchNormalization)]
    assert kinds.count("BiasAdd") == len(norms)
    assert sum(shape.num_elements() for shape in constants) < 10_000


def test_a_backbone_lets_go_of_the_model_that_it_was_made_of() -> None:
    network = open_network(parse_spec("TinyMobileNet"))
    model = weakref.ref(network.model)
    backbone = freeze_network(network)
    del network
    gc.collect()
    assert model() is None
    assert backbone.reduce(np.zeros((1, 32, 32, 3), np.uint8))[0].shape == (1, 2, 2)
