"""Every operation with every setting that its translation looks at gives what TensorFlow computes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from convfe_core.engine.onnx_writer import UntranslatableError
from convfe_core.engine.onnxruntime_pass import on_onnxruntime
from convfe_core.engine.operations import RULES
from tests.engine.translated import Pair, both, check_alike, check_pair, traced, translate

Function = Callable[[Any], Any]
"""Takes float32 maps (N, H, W, C)."""

SIZES = ((1, 13, 10), (3, 6, 7))
"""Of the batches, odd and even."""


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    """float32 from a normal distribution."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def kernel(*shape: int) -> np.ndarray:
    """A kernel that keeps the size of values."""
    return numbers(*shape) / np.float32(np.sqrt(np.prod(shape[:-1])))


def check(function: Function, channels: int = 3, sizes: tuple[tuple[int, int, int], ...] = SIZES) -> None:
    graph = traced(function, channels)
    for size in sizes:
        check_alike(graph, numbers(*size, channels, seed=1))


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


WINDOWS = list(product(((1, 1), (2, 2), (3, 3), (4, 4), (2, 5), (7, 1)), ((1, 1), (2, 2), (1, 2)), ("SAME", "VALID")))
"""Sizes, strides and padding."""


def possible(size: tuple[int, int], strides: tuple[int, int], padding: str) -> bool:
    """Whether a window is translated: with margins it is at least as large as its stride, or has one cell."""
    return padding == "VALID" or size == (1, 1) or all(a >= b for a, b in zip(size, strides, strict=True))


@pytest.mark.parametrize("channels", [3, 16])
def test_windows_of_all_sizes_strides_and_paddings(channels: int) -> None:
    """One graph for all of them: a session for each took most of the time."""

    def slid(x: Any) -> Any:
        found = []
        for size, strides, padding in WINDOWS:
            if not possible(size, strides, padding):
                continue
            found += [
                tf.nn.conv2d(x, kernel(*size, channels, 8), strides, padding),
                tf.nn.max_pool2d(x, size, strides, padding),
                tf.nn.avg_pool2d(x, size, strides, padding),
            ]
            if strides[0] == strides[1]:
                found.append(tf.nn.depthwise_conv2d(x, kernel(*size, channels, 2), (1, *strides, 1), padding))
        return found

    check(slid, channels, ((1, 13, 10), (3, 8, 9)))


GAPS = list(product(((2, 2), (3, 3), (4, 3)), ((2, 2), (3, 1), (3, 3))))
"""Sizes of windows, and steps from one of their cells to the next."""


def with_gaps(weights: np.ndarray, gaps: tuple[int, int]) -> np.ndarray:
    """The kernel that does the same without gaps: it has zeros there."""
    rows, columns = ((size - 1) * gap + 1 for size, gap in zip(weights.shape, gaps, strict=False))
    spread = np.zeros((rows, columns, *weights.shape[2:]), np.float32)
    spread[:: gaps[0], :: gaps[1]] = weights
    return spread


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("kind", ["Conv2D", "DepthwiseConv2dNative"])
def test_windows_with_gaps(padding: str, kind: str) -> None:
    """Beside kernels with zeros: TensorFlow has no depthwise convolution with gaps on every machine."""

    def slid(x: Any, *, spread: bool) -> Any:
        found = []
        for size, gaps in GAPS:
            weights = kernel(*size, 8, 3)
            settings = (
                {"filter": with_gaps(weights, gaps)} if spread else {"filter": weights, "dilations": [1, *gaps, 1]}
            )
            convolution = getattr(tf.raw_ops, kind)
            found.append(convolution(input=x, strides=[1, 1, 1, 1], padding=padding, **settings))
        return found

    pictures = tf.constant(numbers(2, 13, 12, 8))
    run = on_onnxruntime(traced(partial(slid, spread=False), 8))
    for expected, found in zip(slid(pictures, spread=True), run(pictures), strict=True):
        check_pair(expected.numpy(), found)


@pytest.mark.parametrize("groups", [1, 2, 4, 8])
def test_convolutions_in_groups(groups: int) -> None:
    check(lambda x: tf.nn.conv2d(x, kernel(3, 3, 8 // groups, 16), 1, "SAME"), 8)


@pytest.mark.parametrize("made", [1, 2, 3])
def test_depthwise_convolutions_that_make_several_channels_of_each(made: int) -> None:
    check(lambda x: tf.nn.depthwise_conv2d(x, kernel(3, 3, 8, made), (1, 2, 2, 1), "SAME"), 8)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_transposed_convolutions_to_every_size_that_a_convolution_would_take_back(padding: str) -> None:
    def spread(x: Any) -> Any:
        count, rows, columns = (tf.shape(x)[k] for k in range(3))
        found = []
        for size, stride in product((1, 2, 3, 4, 5), (1, 2, 3)):
            least = 1 if padding == "SAME" else size
            for more in range(least, least + stride):
                wanted = tf.stack([count, (rows - 1) * stride + more, (columns - 1) * stride + more, 5])
                found.append(tf.nn.conv2d_transpose(x, kernel(size, size, 5, 8), wanted, stride, padding))
        return found

    check(spread, 8, ((2, 4, 5), (1, 1, 3)))


def test_maps_resized() -> None:
    check(lambda x: [tf.image.resize(x, size) for size in ((12, 14), (7, 5), (3, 20))], 8)
    check(lambda x: [tf.image.resize(x, 2 * tf.shape(x)[1:3]), tf.image.resize(x, 3 * tf.shape(x)[1:3])], 8)


def test_maps_resized_to_nearest_neighbours() -> None:
    check(lambda x: [tf.image.resize(x, size, "nearest") for size in ((26, 20), (6, 7), (4, 15))], 8)


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


ONES = np.ones((1, 1, 3, 4), np.float32)
REFUSED: dict[str, Function] = {
    "an operation that is not known": lambda x: tf.sin(x),
    "one of several outputs": lambda x: tf.math.top_k(x, 2)[0],
    "explicit padding": lambda x: tf.nn.conv2d(x, ONES, 1, [[0, 0], [1, 1], [1, 1], [0, 0]]),
    "channels first": lambda x: tf.nn.conv2d(tf.transpose(x, (0, 3, 1, 2)), ONES, 1, "SAME", "NCHW"),
    "pooling of channels first": lambda x: tf.raw_ops.MaxPool(
        input=tf.transpose(x, (0, 3, 1, 2)),
        ksize=[1, 1, 2, 2],
        strides=[1, 1, 1, 1],
        padding="SAME",
        data_format="NCHW",
    ),
    "a bias of channels first": lambda x: tf.raw_ops.BiasAdd(
        value=tf.transpose(x, (0, 3, 1, 2)), bias=numbers(3), data_format="NCHW"
    ),
    "a kernel that is computed": lambda x: tf.nn.conv2d(x, ONES * tf.reduce_mean(x), 1, "SAME"),
    "pooling over channels": lambda x: tf.nn.max_pool(x, [1, 1, 1, 3], [1, 1, 1, 3], "SAME"),
    "a window below its stride": lambda x: tf.nn.max_pool2d(x, 2, 3, "SAME"),
    "gaps and strides": lambda x: tf.raw_ops.Conv2D(
        input=x, filter=np.ones((3, 3, 3, 4), np.float32), strides=[1, 2, 2, 1], padding="SAME", dilations=[1, 2, 2, 1]
    ),
    "a transposed convolution with margins of its own": lambda x: tf.nn.conv2d_transpose(
        x, np.ones((3, 3, 4, 3), np.float32), (1, 4, 4, 4), 1, [[0, 0], [1, 1], [1, 1], [0, 0]]
    ),
    "resizing from corners": lambda x: tf.compat.v1.image.resize_bilinear(x, (4, 4)),
    "resizing with corners on corners": lambda x: tf.compat.v1.image.resize_nearest_neighbor(x, (4, 4), True),
    "a new dimension in a slice": lambda x: x[:, tf.newaxis, 1:],
    "a slice backwards": lambda x: x[:, ::-1],
    "a slice to where is computed": lambda x: x[:, : tf.shape(x)[2]],
    "a cast to half": lambda x: tf.cast(tf.cast(x, tf.float16), tf.float32),
    "a constant in half": lambda x: x + tf.cast(tf.constant([1.0], tf.bfloat16), tf.float32),
    "zeros that are whole": lambda x: x + tf.cast(tf.zeros_like(tf.cast(x, tf.int32)), tf.float32),
    "dimensions of one that are not named": lambda x: tf.squeeze(x),
    "a choice within a batch": lambda x: tf.gather(x, tf.cast(x[:, :, 0, 0], tf.int32), axis=1, batch_dims=1),
    "a choice that is computed": lambda x: tf.gather(x, tf.cast(x[0, 0, 0], tf.int32), axis=3),
    "a concatenation along an unknown dimension": lambda x: tf.raw_ops.ConcatV2(
        values=[x, x], axis=tf.cast(tf.reduce_mean(x), tf.int32)
    ),
    "an unknown number of dimensions": lambda x: tf.reshape(x, tf.shape(x)[: tf.shape(x)[0]]) + 1.0,
    "unknown channels": lambda x: tf.nn.conv2d(tf.tile(x, (1, 1, 1, tf.shape(x)[0])), ONES, 1, "SAME"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_setting_without_a_translation_is_refused(name: str) -> None:
    with pytest.raises(UntranslatableError):
        translate(traced(REFUSED[name]))


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "float64", "resource"])
def test_weights_of_another_kind_are_refused(kind: str) -> None:
    weight = tf.Variable([1.0]) if kind == "resource" else tf.ones(1, kind)
    with pytest.raises(UntranslatableError, match=f"values that are {kind}"):
        translate(traced(lambda x: x + tf.cast(weight, tf.float32)))


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
    """The graphs of this file hold every operation that has a rule."""
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
