"""Blocks as KerasHub's backbones have them, saved as plain Keras: what is shown is what Keras computes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convfe_core.user_models.open_model import open_model
from tests.user_models.test_open_model import saved


def convolved(la: Any, x: Any, filters: int, kernel: int = 3, stride: int = 1, activation: str | None = "relu") -> Any:
    """A padding, a convolution without one and a normalisation, as KerasHub writes them."""
    if kernel > 1:
        x = la.ZeroPadding2D(kernel // 2)(x)
    x = la.BatchNormalization(epsilon=1e-5)(la.Conv2D(filters, kernel, stride, use_bias=False)(x))
    return x if activation is None else la.Activation(activation)(x)


def resnet_vd(la: Any, x: Any) -> Any:
    shortcut = la.AveragePooling2D(2, strides=2, padding="same")(x)
    shortcut = convolved(la, shortcut, 16, 1, activation=None)
    y = convolved(la, convolved(la, x, 8, 3, 2), 16, 3, activation=None)
    return la.Activation("relu")(la.Add()([y, shortcut]))


def resnet_with_an_operation(la: Any, x: Any) -> Any:
    import keras

    x = keras.ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=0)
    return la.MaxPooling2D(3, 2)(x)


def densenet(la: Any, x: Any) -> Any:
    for _ in range(2):
        y = la.Activation("relu")(la.BatchNormalization()(x))
        x = la.Concatenate()([x, la.Conv2D(4, 3, padding="same", use_bias=False)(y)])
    return la.Conv2D(4, 1)(la.AveragePooling2D(2, 2)(la.Conv2D(8, 1)(x)))


def efficientnet(la: Any, x: Any) -> Any:
    y = la.DepthwiseConv2D(3, 2, "valid", use_bias=False)(la.ZeroPadding2D(1)(x))
    y = la.Activation("silu")(la.BatchNormalization()(y))
    gate = la.Reshape((1, 1, 8))(la.GlobalAveragePooling2D()(y))
    gate = la.Conv2D(8, 1, activation="sigmoid")(la.Conv2D(2, 1, activation="silu")(gate))
    return la.Multiply()([y, gate])


def cspnet(la: Any, x: Any) -> Any:
    x = convolved(la, x, 8, 3, 2, "leaky_relu")
    left, right = convolved(la, x, 4, 1), convolved(la, x, 4, 1)
    return la.Concatenate()([la.Add()([left, convolved(la, left, 4)]), right])


@pytest.mark.parametrize("block", [resnet_vd, resnet_with_an_operation, densenet, efficientnet, cspnet])
def test_a_block_of_kerashub_opens_for_any_size(tmp_path: Path, block: Callable[[Any, Any], Any]) -> None:
    import keras

    keras.utils.set_random_seed(0)
    picture = keras.Input((None, None, 3))
    model = keras.Model(picture, block(keras.layers, convolved(keras.layers, picture, 8)))
    opened = open_model(saved(model, tmp_path / "plain.keras"))
    assert opened.fixed is None
    pixels = np.random.default_rng(0).random((1, 32, 48, 3), np.float32)
    np.testing.assert_allclose(np.asarray(opened.model(pixels)), np.asarray(model(pixels)), atol=1e-5)
