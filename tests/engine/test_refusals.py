"""What has no translation is refused, so that TensorFlow runs it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from convfe_core.engine.onnx_writer import UntranslatableError
from tests.engine.translated import Function, numbers, traced, translate

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
