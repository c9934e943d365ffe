"""Layers that users' models have are run by onnxruntime and give what plain Keras gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from convfe_core.backbones.batch_norm_folding import fold_model
from convfe_core.backbones.frozen_graph import trace
from tests.engine.translated import both, check_pair

CHANNELS, HEIGHT, WIDTH = 8, 24, 20
Builder = Callable[[Any, Any], Any]
"""Takes the module keras and maps with as many channels."""


def u_net(keras: Any, x: Any) -> Any:
    layers = keras.layers
    fine = layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    coarse = layers.Conv2D(16, 3, padding="same", activation="relu")(layers.MaxPooling2D()(fine))
    larger = layers.Conv2DTranspose(16, 2, strides=2, padding="same")(coarse)
    return layers.Conv2DTranspose(4, 3, strides=2, output_padding=1)(layers.Concatenate()([fine, larger]))


def pyramid(keras: Any, x: Any) -> Any:
    layers = keras.layers
    fine = layers.Conv2D(8, 3, strides=2, padding="same")(x)
    coarse = layers.Conv2D(8, 3, strides=2, padding="same")(fine)
    return layers.Add()([fine, layers.UpSampling2D()(coarse)])


def attention_to_channels_and_places(keras: Any, x: Any) -> Any:
    layers, ops = keras.layers, keras.ops
    weights = layers.Dense(CHANNELS, activation="sigmoid")(layers.GlobalMaxPooling2D()(x))
    x = layers.Multiply()([x, layers.Reshape((1, 1, CHANNELS))(weights)])
    extremes = layers.Concatenate()([ops.max(x, axis=-1, keepdims=True), ops.mean(x, axis=-1, keepdims=True)])
    return x * layers.Conv2D(1, 7, padding="same", activation="sigmoid")(extremes)


def transformer(keras: Any, x: Any) -> Any:
    layers = keras.layers
    patches = layers.Conv2D(16, 4, strides=4)(x)
    tokens = layers.Reshape((-1, 16))(patches)
    tokens = layers.Add()([tokens, layers.MultiHeadAttention(2, 8)(tokens, tokens)])
    tokens = layers.Dense(16, activation="gelu")(layers.LayerNormalization()(tokens))
    return layers.Reshape((HEIGHT // 4, WIDTH // 4, 16))(tokens)


def shuffled_groups(keras: Any, x: Any) -> Any:
    first, second = keras.ops.split(x, 2, axis=-1)
    first = keras.layers.Conv2D(4, 3, groups=2, padding="same")(first)
    return keras.layers.Concatenate()([second, first])


MODELS: dict[str, Builder] = {
    "U-Net": u_net,
    "feature pyramid": pyramid,
    "attention to channels and places": attention_to_channels_and_places,
    "transformer": transformer,
    "shuffled groups": shuffled_groups,
    "group normalisation": lambda keras, x: keras.layers.GroupNormalization(4)(x),
    "instance normalisation": lambda keras, x: keras.layers.GroupNormalization(-1)(x),
    "normalisation": lambda keras, x: keras.layers.Normalization(mean=[0.5] * 8, variance=[2.0] * 8)(x),
    "PReLU": lambda keras, x: keras.layers.PReLU("uniform", shared_axes=[1, 2])(x),
    "ReLU with all settings": lambda keras, x: keras.layers.ReLU(6.0, 0.1, 0.5)(x),
    "gated": lambda keras, x: keras.layers.Activation("glu")(x),
    "mish": lambda keras, x: keras.layers.Activation("mish")(x),
    "hard swish": lambda keras, x: keras.layers.Activation("hard_silu")(x),
    "unit normalisation": lambda keras, x: keras.layers.UnitNormalization()(x),
    "separable": lambda keras, x: keras.layers.SeparableConv2D(12, 3, strides=2, padding="same")(x),
    "cropped and padded": lambda keras, x: keras.layers.ZeroPadding2D(((1, 0), (2, 3)))(keras.layers.Cropping2D(2)(x)),
}


@pytest.mark.machine
@pytest.mark.parametrize("name", MODELS)
def test_layers_of_users_models(name: str) -> None:
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    sides = (HEIGHT, WIDTH) if name == "transformer" else (None, None)
    pixels = keras.Input((*sides, 3))
    maps = MODELS[name](keras, keras.layers.Conv2D(CHANNELS, 3, padding="same")(pixels))
    model = keras.Model(pixels, maps)
    graph = trace(fold_model(model, [maps]), [tf.TensorSpec((None, *sides, 3))])
    pictures = np.random.default_rng(0).normal(size=(2, HEIGHT, WIDTH, 3)).astype(np.float32)
    ((_, found),) = both(graph, pictures)
    check_pair(np.asarray(model(pictures, training=False)), found)
