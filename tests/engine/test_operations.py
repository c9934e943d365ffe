"""Every operation with every setting that its translation looks at gives what TensorFlow computes."""

from __future__ import annotations

from functools import cache, partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from convfe_core.engine.operations import RULES
from tests.engine.translated import SIZES, Function, Pair, both, check, check_alike, check_pair, kernel, numbers, traced


def squeeze_and_excite(x: Any, *, keep: bool) -> Any:
    """A map weighted by what is a vector for each picture."""
    y = tf.nn.relu(tf.nn.conv2d(x, kernel(3, 3, 8, 8), 1, "SAME"))
    means = tf.reduce_mean(y, [1, 2], keepdims=keep)
    if keep:
        return y * tf.sigmoid(tf.nn.conv2d(means, kernel(1, 1, 8, 8), 1, "SAME"))
    return y * tf.reshape(tf.sigmoid(tf.matmul(means, kernel(8, 8))), (-1, 1, 1, 8))


def normalised(x: Any) -> Any:
    """Layer normalisation of the channels, as Keras writes it."""
    y = tf.nn.conv2d(x, kernel(2, 2, 8, 8), 2, "VALID")
    mean, variance = tf.nn.moments(y, [-1], keepdims=True)
    return tf.nn.batch_normalization(y, mean, variance, numbers(8), numbers(8, seed=2), 1e-3)


def attention(x: Any, *, turned: bool) -> Any:
    """Each cell weighted by how like it is to all others."""
    cells = tf.reshape(x, (-1, tf.shape(x)[1] * tf.shape(x)[2], 8))
    likeness = tf.matmul(cells, cells, transpose_b=True)
    return tf.matmul(tf.nn.softmax(likeness), cells, transpose_a=turned) if turned else tf.matmul(likeness, cells)


def swapped(x: Any, y: Any) -> Any:
    """A function that a graph calls, of two inputs and two outputs, with another one inside."""
    return tf.function(lambda z: tf.nn.conv2d(z, kernel(3, 3, 4, 8), 1, "SAME"), jit_compile=True)(y), tf.nn.relu(x)


def on_maps(function: Function) -> Function:
    """The same of maps that a convolution gave, which have their channels first."""
    return lambda x: function(tf.nn.conv2d(x, kernel(3, 3, 8, 8), 1, "SAME"))


CELL_BY_CELL: dict[str, Function] = {
    "Abs": lambda x: tf.abs(x),
    "Add": lambda x: tf.raw_ops.Add(x=x, y=x),
    "AddN": lambda x: tf.add_n([x, tf.nn.relu(x), -x]),
    "AddN of one": lambda x: tf.raw_ops.AddN(inputs=[x]),
    "AddV2": lambda x: x + tf.exp(x),
    "BiasAdd": lambda x: tf.nn.bias_add(x, numbers(8)),
    "BroadcastTo": lambda x: x - tf.broadcast_to(numbers(8), (1, 1, 1, 8)),
    "Cast": lambda x: tf.cast(tf.cast(4 * x, tf.int32), tf.float32),
    "Cast to int64": lambda x: tf.cast(tf.cast(-4 * x, tf.int64), tf.float32),
    "Elu": lambda x: tf.nn.elu(x),
    "Erfc": lambda x: tf.math.erfc(x),
    "Exp": lambda x: tf.exp(x),
    "Expm1": lambda x: tf.math.expm1(x),
    "Greater": lambda x: tf.where(x > 0.3, x, 2.0),
    "GreaterEqual": lambda x: tf.where(x >= numbers(8), numbers(8), x),
    "Identity": lambda x: tf.identity(x),
    "IdentityN": lambda x: tf.add(*tf.raw_ops.IdentityN(input=[x, -2 * x])),
    "LeakyRelu": lambda x: tf.nn.leaky_relu(x, 0.3),
    "Less": lambda x: tf.where(x < tf.exp(x) - 1.5, x, 0.0),
    "LessEqual": lambda x: tf.where(tf.reduce_mean(x, [1, 2], keepdims=True) <= x, x, -x),
    "Log": lambda x: tf.math.log(tf.abs(x) + 0.1),
    "LogSoftmax": lambda x: tf.nn.log_softmax(x),
    "Maximum": lambda x: tf.maximum(x, 0.25),
    "Minimum": lambda x: tf.minimum(-x, numbers(8)),
    "Mul": lambda x: x * numbers(1, 1, 1, 8),
    "Neg": lambda x: -x,
    "Pow": lambda x: tf.pow(tf.abs(x), 1.5) + tf.pow(x, 3.0),
    "RealDiv": lambda x: 1.0 / (2.0 + tf.abs(x)),
    "Relu": lambda x: tf.nn.relu(x),
    "Relu6": lambda x: tf.nn.relu6(9 * x),
    "Rsqrt": lambda x: tf.math.rsqrt(tf.abs(x) + 0.1),
    "SelectV2": lambda x: tf.where(numbers(8) > 0, x, tf.zeros_like(x)),
    "Selu": lambda x: tf.nn.selu(x),
    "Sigmoid": lambda x: tf.sigmoid(3 * x),
    "Softmax": lambda x: tf.nn.softmax(x),
    "Softplus": lambda x: tf.math.softplus(5 * x),
    "Softsign": lambda x: tf.nn.softsign(x),
    "Sqrt": lambda x: tf.sqrt(tf.abs(x)),
    "Square": lambda x: tf.square(x),
    "SquaredDifference": lambda x: tf.math.squared_difference(x, numbers(8)),
    "StopGradient": lambda x: tf.stop_gradient(x) + 1.0,
    "Sub": lambda x: numbers(8) - x,
    "Tanh": lambda x: tf.tanh(2 * x),
    "ZerosLike": lambda x: tf.zeros_like(x) + x,
}
"""Of maps with eight channels."""

REARRANGED: dict[str, Function] = {
    "ConcatV2 channels": lambda x: tf.concat([x, tf.abs(x)], -1),
    "ConcatV2 rows": lambda x: tf.concat([x, -x, x], 1),
    "ConcatV2 columns": lambda x: tf.concat([x, x[:, :, ::2]], -2),
    "ConcatV2 pictures": lambda x: tf.concat([x, x], 0),
    "ConcatV2 constant": lambda x: tf.concat([x[:1, :2, :2], numbers(1, 2, 2, 8)], 3),
    "ConcatV2 vectors": lambda x: tf.concat([tf.reduce_max(x, [1, 2]), tf.reduce_min(x, [1, 2])], 1),
    "Einsum": lambda x: tf.einsum("nhwc,ck->nhkw", x, numbers(8, 5)),
    "Einsum of two maps": lambda x: tf.einsum("nhwc,nhvc->nhwv", x, tf.abs(x)),
    "ExpandDims": lambda x: tf.expand_dims(tf.expand_dims(x, -1), 1),
    "GatherV2": lambda x: tf.gather(x, [7, 0, 0], axis=3),
    "GatherV2 one": lambda x: tf.gather(x, 2, axis=-2),
    "Pack": lambda x: tf.stack([x, 2 * x], 2),
    "Pack at the end": lambda x: tf.stack([x, 2 * x, -x], -1),
    "Pack two ends": lambda x: tf.stack([x, x], -2),
    "Pad": lambda x: tf.pad(x, [[0, 0], [1, 2], [0, 3], [4, 0]]),
    "Pad pictures": lambda x: tf.pad(x, [[1, 0], [0, 0], [0, 0], [0, 0]]),
    "Pad a vector": lambda x: tf.pad(tf.reduce_mean(x, [1, 2]), [[0, 0], [1, 2]]),
    "PadV2": lambda x: tf.pad(x, [[0, 0], [1, 0], [2, 3], [0, 0]], constant_values=-1.5),
    "Reshape": lambda x: tf.reshape(x, (-1, 4, 2)),
    "Reshape constant": lambda x: x + tf.reshape(tf.constant(numbers(8)), (1, 1, 1, 8)),
    "Reshape to nothing": lambda x: tf.reshape(x[..., :0], (3, 0)),
    "Reshape to a shape": lambda x: tf.reshape(tf.transpose(x, (0, 2, 1, 3)), tf.shape(x)),
    "ReverseV2": lambda x: tf.reverse(x, [-1]),
    "ReverseV2 rows": lambda x: tf.reverse(x, [1, 2]),
    "ReverseV2 vector": lambda x: tf.reverse(tf.reduce_max(x, [1, 2]), [1]),
    "Shape": lambda x: x * tf.cast(tf.shape(x)[1], tf.float32) + tf.cast(tf.shape(x)[3] * tf.shape(x)[0], tf.float32),
    "Split": lambda x: tf.split(x, 4, -1)[2],
    "Split columns": lambda x: tf.subtract(*tf.split(x[:, :, :6], 2, 2)),
    "Split a vector": lambda x: tf.multiply(*tf.split(tf.reduce_mean(x, [1, 2]), 2, 1)),
    "Squeeze": lambda x: tf.squeeze(tf.reduce_sum(x, [1, 2], keepdims=True), [1, -2]),
    "Squeeze one": lambda x: tf.squeeze(x[:, 2:3], [1]),
    "StridedSlice": lambda x: x[:, 1:-1, 2:, :5],
    "StridedSlice strides": lambda x: x[:, ::2, 1::3, 1:7:2],
    "StridedSlice from the end": lambda x: x[-1:, -4:-2, :, -3:],
    "StridedSlice too far": lambda x: x[:, -99:99, 2:99],
    "StridedSlice one row": lambda x: x[:, 1],
    "StridedSlice last row": lambda x: x[:, -1, :, -2],
    "StridedSlice of one picture": lambda x: x[0],
    "StridedSlice dots": lambda x: x[..., 2:4],
    "StridedSlice dots within": lambda x: x[:1, ..., -1],
    "StridedSlice dots for nothing": lambda x: x[:, 1:, :, ..., ::2],
    "StridedSlice empty": lambda x: x[..., :0],
    "PartitionedCall": lambda x: tf.add(*tf.function(swapped, autograph=False)(x, -2.0 * x)),
    "Tile": lambda x: tf.tile(x, (1, 2, 3, 1)),
    "Transpose": lambda x: tf.transpose(x, (0, 3, 1, 2)),
    "Transpose pictures": lambda x: tf.nn.relu(tf.transpose(x, (3, 2, 0, 1))),
    "nearest neighbours": lambda x: tf.repeat(tf.repeat(x, 2, axis=1), 2, axis=2),
}
"""Of maps with eight channels."""

AXES = ([1, 2], [3], [-1], [1, 2, 3], [0], [2], [-2, 1], [0, 3], [])
JOINED: dict[str, Function] = {
    "number": lambda x: x * 2.5,
    "vector": lambda x: x + numbers(8),
    "rows and channels": lambda x: x[:, :6, :6] * numbers(6, 8),
    "a map without pictures": lambda x: x[:, :6, :6] + numbers(6, 6, 8),
    "a map": lambda x: x[:, :6, :6] - numbers(1, 6, 6, 8),
    "more than a map": lambda x: x[:1] * numbers(2, 1, 1, 1, 8),
    "a number for each picture": lambda x: x * tf.reduce_max(x, [1, 2, 3], keepdims=True),
    "a computed number": lambda x: x + tf.reduce_mean(x, [0, 1, 2, 3]),
    "a computed vector": lambda x: x + tf.reduce_mean(x, [0, 1, 2]),
    "computed columns": lambda x: x * tf.reduce_mean(x, [0, 1]),
    "a computed map without pictures": lambda x: x - tf.reduce_mean(x, [0]),
    "two constants": lambda x: x + tf.sqrt(tf.abs(tf.constant(numbers(8)))) * numbers(8),
    "one constant for maps and vectors": lambda x: (lambda c: tf.reduce_max(x + c, [1, 2]) * (c * c))(
        tf.constant(numbers(8))
    ),
    "a constant that was padded": lambda x: (lambda c: x[:, :6] + c + tf.pad(c, [[0, 0], [1, 1], [0, 0]])[:, 1:-1])(
        tf.constant(numbers(6, 1, 8))
    ),
    "a map that was not computed": lambda x: tf.transpose(x, (0, 2, 1, 3))[:, :6, :6] + x[:, :6, :6],
    "layer normalisation": normalised,
    "squeeze and excite": partial(squeeze_and_excite, keep=True),
    "squeeze and excite by vectors": partial(squeeze_and_excite, keep=False),
}


ALL = {**CELL_BY_CELL, **REARRANGED, **JOINED}


@cache
def outcomes() -> dict[str, list[Pair]]:
    """What both give for all of these, in one graph: a session for each took most of the time."""
    functions = [each for function in ALL.values() for each in (function, on_maps(function))]
    graph = traced(lambda x: [function(x) for function in functions], 8)
    pairs = [both(graph, numbers(*size, 8, seed=1)) for size in SIZES]
    return {name: [pair for batch in pairs for pair in batch[2 * k : 2 * k + 2]] for k, name in enumerate(ALL)}


@pytest.mark.parametrize("name", ALL)
def test_an_operation_gives_what_tensorflow_gives(name: str) -> None:
    """Of pictures and of maps that have their channels first, in batches of two sizes."""
    assert len(outcomes()[name]) == 4
    for pair in outcomes()[name]:
        check_pair(*pair)


@pytest.mark.parametrize("kind", ["max", "mean", "min", "prod", "sum"])
def test_reductions_along_all_dimensions_kept_or_not(kind: str) -> None:
    def reduced(x: Any) -> Any:
        reduce = getattr(tf, f"reduce_{kind}")
        x = tf.tanh(x) + 1.0 if kind == "prod" else x
        return [reduce(x, axes, keepdims=kept) for axes, kept in product(AXES, (True, False))]

    check(reduced, 8)
    check(on_maps(reduced), 8)
    check(lambda x: reduced(x[..., :1]), 8)


@pytest.mark.parametrize(("left", "right"), list(product((True, False), repeat=2)))
def test_matrices_turned_or_not(left: bool, right: bool) -> None:
    def multiplied(x: Any) -> Any:
        rows = tf.reshape(x, (-1, 8))
        weights = numbers(5, 8) if right else numbers(8, 5)
        wide = tf.matmul(rows, weights, transpose_b=right)
        return [wide, tf.matmul(rows, wide, transpose_a=True) if left else wide]

    check(multiplied, 8)
    check(lambda x: [tf.matmul(x, x, left, right)[:, 0] for x in (x[:, :6, :6, :6], tf.exp(x)[:, :5, :6, :6])], 8)


def test_a_dense_layer_on_maps() -> None:
    check(lambda x: tf.nn.relu(tf.tensordot(x, numbers(8, 5), 1) + numbers(5)), 8)


@pytest.mark.parametrize("turned", [True, False])
def test_attention(turned: bool) -> None:
    check(partial(attention, turned=turned), 8)


def test_pictures_of_bytes() -> None:
    def scaled(x: Any) -> Any:
        y = tf.cast(tf.reverse(x, [3])[:, 1:], tf.float32) / 127.5 - 1.0
        return tf.nn.conv2d(y, kernel(3, 3, 3, 8), 2, "SAME")

    pictures = np.random.default_rng(0).integers(0, 256, (2, 13, 10, 3), np.uint8)
    check_alike(traced(scaled, 3, "uint8"), pictures)


def test_what_is_no_number_stays_so_or_spreads_as_it_does_in_tensorflow() -> None:
    """The maximum of a window is left out: neither of the two says what it is where all in it are NaN or -inf."""
    special = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1.0, -1.0, 30.0, -30.0, 100.0, -100.0, 1e30], np.float32)
    pictures = np.tile(special[None, :, None, None], (1, 1, 3, 8))
    operations = [tf.abs, tf.exp, tf.nn.elu, tf.nn.relu, tf.nn.relu6, tf.nn.leaky_relu, tf.nn.selu, tf.nn.softsign]
    operations += [tf.math.erfc, tf.math.log, tf.math.rsqrt, tf.math.softplus, tf.sigmoid, tf.sqrt, tf.square, tf.tanh]
    operations += [lambda x: tf.maximum(x, 0.5), lambda x: tf.minimum(0.5, x), lambda x: x / 0.0, tf.zeros_like]
    operations += [partial(reduce, axis=[1, 2]) for reduce in (tf.reduce_max, tf.reduce_min, tf.reduce_mean)]
    operations += [lambda x: tf.where(x > 0, x, 1.0), lambda x: tf.nn.avg_pool2d(x, 3, 1, "SAME")]
    check_alike(traced(lambda x: [operation(x) for operation in operations], 8), pictures)


def test_whole_weights_are_as_wide_as_shapes() -> None:
    weight = tf.constant(np.arange(3, dtype=np.int32))
    check_alike(traced(lambda x: x * tf.cast(weight + tf.shape(x)[1], tf.float32)), numbers(2, 4, 4, 3))


JUMPS = ("Cast", "Cast to int64", "Greater", "GreaterEqual", "Less", "LessEqual", "Sqrt")
"""Where a value that is rounded otherwise gives quite another one."""
LINKS: list[Function] = [
    *(function for name, function in CELL_BY_CELL.items() if name not in JUMPS),
    *(REARRANGED[name] for name in ("Pad", "ReverseV2", "ReverseV2 rows", "StridedSlice strides", "Reshape constant")),
    *(JOINED[name] for name in ("vector", "a computed number", "a computed vector", "a map that was not computed")),
    lambda x: tf.nn.conv2d(x, kernel(3, 3, 8, 8), 2, "SAME"),
    lambda x: tf.nn.conv2d(x, kernel(2, 3, 4, 8), 1, "SAME"),
    lambda x: tf.nn.depthwise_conv2d(x, kernel(3, 3, 8, 1), (1, 1, 1, 1), "SAME"),
    lambda x: tf.nn.max_pool2d(x, 3, 2, "SAME"),
    lambda x: tf.nn.avg_pool2d(x, 2, 1, "SAME"),
    lambda x: x + tf.reduce_max(x, [1, 2], keepdims=True),
    lambda x: tf.transpose(x, (0, 2, 1, 3)),
    lambda x: tf.tensordot(x, kernel(8, 8), 1),
    normalised,
]


@pytest.mark.parametrize("seed", range(10))
def test_operations_drawn_at_random_one_after_the_other(seed: int) -> None:
    """Their results are kept between -4 and 4, and with eight channels, by what follows each."""
    draw = np.random.default_rng(seed)

    def chain(x: Any) -> Any:
        values = [x]
        for link in draw.choice(len(LINKS), 8):
            value = LINKS[link](values[draw.integers(len(values))])
            value = tf.pad(value, [[0, 0], [0, 0], [0, 0], [0, 8]])[..., :8]
            values.append(4.0 * tf.tanh(tf.pad(value, [[0, 0], [4, 4], [4, 4], [0, 0]]) / 4.0)[:, 1:13, 2:14])
        return values[1:]

    check_alike(traced(chain, 8), numbers(2, 12, 12, 8, seed=seed), rounding=1e-5)


def test_every_rule_is_tried() -> None:
    """The graphs of this file, and what slides a window in the next, hold every operation that has a rule."""
    functions = [*CELL_BY_CELL.values(), *REARRANGED.values(), *JOINED.values(), partial(attention, turned=True)]
    graphs = [traced(function, 8).graph for function in functions]
    tried = {operation.type for graph in graphs for operation in graph.get_operations()}
    apart = {"Conv2D", "Conv2DBackpropInput", "DepthwiseConv2dNative", "AvgPool", "MaxPool", "ResizeBilinear"}
    apart |= {"ResizeNearestNeighbor", "Prod"}
    assert {name for names in RULES for name in names.split()} <= tried | apart


def scaled_and_shifted(x: Any, factors: np.ndarray, summands: np.ndarray) -> Any:
    y = tf.nn.conv2d(x, kernel(3, 3, 3, 16), 1, "SAME")
    product = y * factors
    return tf.nn.relu(product + summands), summands + product, product


@pytest.mark.parametrize("shapes", [((16,), (16,)), ((1,), (16,)), ((16,), (1,)), ((1, 1, 1, 16), (16,)), ((), ())])
def test_factors_and_summands_of_channels_are_one_normalisation(
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    factors, summands = (numbers(*shape, seed=seed) for seed, shape in enumerate(shapes))
    check(lambda x: scaled_and_shifted(x, factors, summands))


def test_a_single_channel_that_is_multiplied_becomes_several() -> None:
    check(lambda x: x[..., :1] * numbers(5) + numbers(5, seed=3))
