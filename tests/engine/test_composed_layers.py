"""What TensorFlow composes of several operations is one for onnxruntime; what only resembles it stays right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from convfe_core.backbones.batch_norm_folding import fold_model
from convfe_core.backbones.frozen_graph import trace
from convfe_core.engine.translate_graph import translate_graph
from tests.engine.translated import Function, both, check, check_alike, check_pair, kernel, numbers, traced, translate

CHANNELS = 16


def maps_of(x: Any) -> Any:
    """Maps that have their channels first in the translation."""
    return tf.nn.conv2d(x, kernel(3, 3, 3, CHANNELS), 1, "SAME")


def traced_model(model: Any) -> Any:
    """A Keras model as a backbone has it traced."""
    signature = tf.TensorSpec((None, *model.input_shape[1:]))
    return trace(fold_model(model, model.outputs), [signature])


PLACES: dict[str, Callable[[Any], Any]] = {
    "maps": lambda layers: layers.Activation("relu"),
    "tokens": lambda layers: layers.Reshape((-1, CHANNELS)),
    "a vector": lambda layers: layers.GlobalMaxPooling2D(),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("scale", [True, False])
def test_a_layer_normalisation_is_one_node_and_gives_what_plain_keras_gives(
    place: str, scale: bool, center: bool
) -> None:
    import keras

    keras.utils.set_random_seed(0)
    settings = {"scale": scale, "center": center, "epsilon": 0.3}  # so large that another one would show
    layer = keras.layers.LayerNormalization(
        gamma_initializer="random_normal", beta_initializer="random_normal", **settings
    )
    pixels = keras.Input((8, 6, 3))
    maps = keras.layers.Conv2D(CHANNELS, 3, padding="same")(pixels)
    model = keras.Model(pixels, layer(PLACES[place](keras.layers)(maps)))
    graph = traced_model(model)
    found = translate(graph)
    assert found["LayerNormalization"] == 1
    assert not {"ReduceMean", "Sub", "Mul", "Neg", "Sqrt", "Reciprocal"} & set(found)

    pictures = numbers(2, 8, 6, 3)
    ((_, values),) = both(graph, pictures)
    check_pair(np.asarray(model(pictures, training=False)), values)


def normalised(maps: Any, axes: tuple[int, ...] = (-1,), epsilon: Any = 1e-3, **changed: Function) -> Any:
    """Layer normalisation as tf.nn writes it, with some of its parts changed."""
    mean, variance = tf.nn.moments(maps, axes, keepdims=True)
    parts = {"x": maps, "mean": mean, "variance": variance}
    parts |= {"scale": numbers(CHANNELS), "offset": numbers(CHANNELS, seed=2)}
    parts |= {name: change(maps) for name, change in changed.items()}
    return tf.nn.batch_normalization(**parts, variance_epsilon=epsilon)


@pytest.mark.parametrize("scale", [np.float32(0.5), numbers(1), numbers(CHANNELS), numbers(1, 1, 1, CHANNELS)])
def test_numbers_of_a_layer_normalisation_are_joined_to_its_channels(scale: np.ndarray) -> None:
    def changed(x: Any) -> Any:
        return normalised(maps_of(x), scale=lambda _: scale, offset=lambda _: tf.constant(scale) - 1.0)

    check(changed)
    assert translate(traced(lambda x: normalised(maps_of(x), scale=lambda _: scale)))["LayerNormalization"] == 1


def normalised_by_columns(square: Any) -> Any:
    """Mean and variance of each row of a square, taken for those of its columns."""
    mean = tf.reduce_mean(square, -1)
    variance = tf.reduce_mean(tf.math.squared_difference(square, mean), -1)
    return tf.nn.batch_normalization(square, mean, variance, numbers(CHANNELS), numbers(CHANNELS, seed=2), 1e-3)


SIMILAR: dict[str, Function] = {
    "along the rows": lambda x: normalised(x, axes=(1,)),
    "along rows and columns": lambda x: normalised(x, axes=(1, 2)),
    "along all but pictures": lambda x: normalised(x, axes=(1, 2, 3)),
    "dimensions that go": lambda x: normalised_by_columns(x[0, 0, :CHANNELS]),
    "another mean": lambda x: normalised(x, mean=lambda x: tf.reduce_mean(x * x, -1, keepdims=True)),
    "the mean along another dimension": lambda x: normalised(x, mean=lambda x: tf.reduce_mean(x, 1, keepdims=True)),
    "another variance": lambda x: normalised(x, variance=lambda x: tf.reduce_mean(x * x, -1, keepdims=True)),
    "of something else": lambda x: normalised(x, x=lambda x: tf.nn.relu(x)),
    "a scale for each row": lambda x: normalised(x[:, :CHANNELS], scale=lambda _: numbers(CHANNELS, 1, 1)),
    "a scale for each picture": lambda x: normalised(x[:2], scale=lambda _: numbers(2, 1, 1, 1)),
    "a scale that is computed": lambda x: normalised(x, scale=lambda x: tf.reduce_max(x, [0, 1, 2])),
    "a shift of more dimensions": lambda x: normalised(x, offset=lambda _: numbers(1, 1, 1, 1, CHANNELS)),
    "an epsilon for each channel": lambda x: normalised(x, epsilon=np.abs(numbers(CHANNELS))),
    "an epsilon that is computed": lambda x: normalised(x, epsilon=tf.reduce_max(tf.abs(x))),
    "one channel that becomes several": lambda x: normalised(x[..., :1]),
}


@pytest.mark.parametrize("name", SIMILAR)
def test_what_resembles_a_layer_normalisation_is_translated_operation_by_operation(name: str) -> None:
    def both_orders(x: Any) -> Any:
        return [SIMILAR[name](maps_of(x)), SIMILAR[name](tf.tile(x, (1, 1, 1, 6))[..., :CHANNELS])]

    graph = traced(both_orders)
    assert "LayerNormalization" not in translate(graph)
    check_alike(graph, numbers(2, 18, 17, 3), rounding=1e-5)


def test_a_layer_normalisation_of_maps_far_from_zero() -> None:
    """A variance that is the mean of squares less the mean's square would be no number for these."""
    factors, summands = numbers(CHANNELS), numbers(CHANNELS, seed=2)
    for mean, rounding in ((0, 1e-6), (100, 1e-5), (10_000, 2e-3)):
        pictures = mean + numbers(2, 5, 6, CHANNELS, seed=1)
        ((_, found),) = both(traced(normalised, CHANNELS), pictures)
        centred = pictures.astype(np.float64) - pictures.mean(-1, keepdims=True, dtype=np.float64)
        exact = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-3) * factors + summands
        check_pair(exact.astype(np.float32), found, rounding)


def test_parts_of_a_layer_normalisation_may_be_outputs_too() -> None:
    def with_parts(x: Any) -> Any:
        y = maps_of(x)
        mean, variance = tf.nn.moments(y, [-1], keepdims=True)
        whole = tf.nn.batch_normalization(y, mean, variance, numbers(CHANNELS), numbers(CHANNELS), 1e-3)
        return [whole, mean, variance, y - mean, tf.nn.relu(whole)]

    check(with_parts)
    assert translate(traced(with_parts))["LayerNormalization"] == 1


def kinds_in_session(graph: Any, folder: Path) -> Counter[str]:
    """How many operations of each kind onnxruntime computes."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    onnxruntime.InferenceSession(translate_graph(graph, folder), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node)


def test_gelu_is_one_operation(tmp_path: Path) -> None:
    graph = traced(lambda x: [tf.nn.gelu(x), tf.nn.gelu(maps_of(x))])
    assert kinds_in_session(graph, tmp_path)["Gelu"] == 2
    check_alike(graph, 5 * numbers(2, 9, 8, 3))


NOT_GELU: dict[str, Function] = {
    "another factor": lambda x: (0.4 * x) * tf.math.erfc(-x * np.float32(np.sqrt(0.5))),
    "another root": lambda x: (0.5 * x) * tf.math.erfc(-x * np.float32(0.7)),
    "the other side": lambda x: (0.5 * x) * tf.math.erfc(x * np.float32(np.sqrt(0.5))),
    "something else": lambda x: (0.5 * x) * tf.math.erfc(-tf.abs(x) * np.float32(np.sqrt(0.5))),
    "a factor for each channel": lambda x: (numbers(3) * x) * tf.math.erfc(-x * np.float32(np.sqrt(0.5))),
    "approximate": lambda x: tf.nn.gelu(x, approximate=True),
}


@pytest.mark.parametrize("name", NOT_GELU)
def test_what_resembles_gelu_stays_right(name: str) -> None:
    check(NOT_GELU[name])


def test_a_dense_layer_is_one_product_whatever_its_input() -> None:
    weights, bias = numbers(CHANNELS, 5), numbers(5)

    def layers(x: Any) -> Any:
        maps = maps_of(x)
        tokens = tf.reshape(tf.nn.relu(maps), (-1, tf.shape(x)[1] * tf.shape(x)[2], CHANNELS))
        return [tf.nn.bias_add(tf.tensordot(y, weights, 1), bias) for y in (maps, tokens, tf.reduce_max(maps, [1, 2]))]

    check(layers)
    found = translate(traced(lambda x: layers(x)[0]))
    assert found == {"Transpose": 2, "Conv": 1, "MatMul": 1, "Add": 1, "Identity": 1}


def by_hand(
    x: Any, *, like: Function = tf.identity, order: tuple[int, ...] = (0, 1, 2), parts: int = 1, turned: bool = False
) -> Any:
    """A dense layer as TensorFlow composes it, or with one thing changed."""
    taken = CHANNELS // parts
    made = taken if turned else 6
    weights = numbers(taken, made)
    product = tf.matmul(tf.reshape(x, (-1, taken)), weights, transpose_b=turned)
    return tf.reshape(product, tf.concat([tf.gather(tf.shape(like(x)), order), [made * parts]], 0))


NOT_DENSE: dict[str, Function] = {
    "rows and columns exchanged": partial(by_hand, order=(0, 2, 1)),
    "the shape of another": partial(by_hand, like=lambda x: tf.transpose(x, (0, 2, 1, 3))),
    "parts of the channels": partial(by_hand, parts=2),
    "turned weights": partial(by_hand, turned=True),
    "weights that are computed": lambda x: tf.tensordot(x, tf.transpose(x[0, 0, :5]), 1),
    "along the rows": lambda x: tf.tensordot(x[:, :8], numbers(8, 5), [[1], [0]]),
    "along two dimensions": lambda x: tf.tensordot(x[:, :, :4], numbers(4, CHANNELS, 5), 2),
}


def test_what_resembles_a_dense_layer_stays_right() -> None:
    assert "Reshape" not in translate(traced(lambda x: by_hand(maps_of(x))))
    for function in NOT_DENSE.values():
        assert "Reshape" in translate(traced(lambda x, function=function: function(maps_of(x))))
    check(lambda x: [function(maps_of(x)) for function in (by_hand, *NOT_DENSE.values())], sizes=((2, 9, 8),))


def test_what_no_output_needs_is_not_computed() -> None:
    graph = traced(lambda x: maps_of(x) * numbers(CHANNELS) + numbers(CHANNELS, seed=2))
    assert translate(graph) == {"Transpose": 2, "Conv": 1, "BatchNormalization": 1, "Identity": 1}


def test_where_maps_of_both_orders_are_joined_those_of_convolutions_are_turned() -> None:
    def block(x: Any) -> Any:
        maps = maps_of(x)
        spread = tf.nn.depthwise_conv2d(maps, kernel(7, 7, CHANNELS, 1), (1, 1, 1, 1), "SAME")
        return maps + tf.tensordot(normalised(spread), numbers(CHANNELS, CHANNELS), 1)

    check(block)
    assert translate(traced(block))["Transpose"] == 3  # the pictures, and what each convolution gave
