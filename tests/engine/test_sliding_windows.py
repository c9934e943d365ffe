"""Convolutions, pooling and the ways to larger maps, with every setting, give what TensorFlow computes."""

from __future__ import annotations

from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from convfe_core.engine.onnx_writer import WEIGHTS_FILE
from convfe_core.engine.onnxruntime_pass import on_onnxruntime
from convfe_core.engine.translate_graph import translate_graph
from tests.engine.translated import check, check_alike, check_pair, kernel, numbers, traced

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
    assert run is not None
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


def test_layers_that_share_a_kernel_write_it_once(tmp_path: Path) -> None:
    shared = tf.constant(numbers(3, 3, 16, 32))
    graph = traced(lambda x: tf.nn.conv2d(x, shared, 1, "SAME") + tf.nn.conv2d(-x, shared, 1, "SAME"), 16)
    translate_graph(graph, tmp_path)
    assert (tmp_path / WEIGHTS_FILE).stat().st_size == shared.numpy().nbytes
    check_alike(graph, numbers(1, 8, 8, 16))
