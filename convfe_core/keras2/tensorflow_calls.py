"""What Keras 2 wrote as calls of TensorFlow's own functions between layers, made of Keras 3's operations.

`CALLS` has every function that a file may call, and nothing in it reads, writes or runs anything else. Each entry names
its arguments as TensorFlow does. Imported only where a model is opened, as it imports Keras.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from convfe_core.base.errors import ModelFileError
from convfe_core.keras2 import tensorflow_arrays as arrays
from convfe_core.keras2 import tensorflow_pictures as pictures
from convfe_core.keras2.tensorflow_arrays import alike, axes_of
from convfe_core.keras2.tensorflow_pictures import known_sides

Call = Callable[..., Any]

_CHANNELS_LAST = ("NHWC", "CHANNELS_LAST")
_CHANNELS_FIRST = ("NCHW", "NCHW_VECT_C", "CHANNELS_FIRST")
_MOST_SIDES = 16
"""Numbers of an operand where sides are computed with."""


def call_tensorflow(name: str, arguments: list[Any], named: dict[str, Any]) -> Any:
    """Make a call of TensorFlow's function of a name in Keras 3.

    Parameters
    ----------
    name : a key of `CALLS`
    arguments, named : what Keras 2 calls it with: Keras 3's tensors, numbers, arrays and tensors of TensorFlow; those
        that change no number, such as ``name``, are passed over

    Returns
    -------
    Keras 3's tensor, a list of them, or an array where it computes with shapes alone

    Raises
    ------
    ModelFileError : a setting that Keras 3 has nothing for
    """
    plain_arguments = [_plain(value) for value in arguments]
    plain_named = {key: _plain(value) for key, value in named.items()}
    given = keras.tree.flatten([plain_arguments, plain_named])
    symbolic = any(map(keras.utils.is_keras_tensor, given))
    if not symbolic and (name not in _ON_SHAPES or max(map(np.size, given), default=0) > _MOST_SIDES):
        raise ModelFileError(f"{name!r} is called without a tensor; expected a picture's values. Save the model again.")
    _need_channels_last(plain_arguments, plain_named.get("data_format"))
    made = CALLS[name](*plain_arguments, **_accepted(CALLS[name], plain_named))
    return made if symbolic else _plain(made)


def _plain(value: Any) -> Any:
    """A setting without TensorFlow's types: tensors as arrays, their types by name."""
    if isinstance(value, list | tuple):
        return type(value)([_plain(one) for one in value])
    if hasattr(value, "as_numpy_dtype"):
        return value.name
    return value.numpy() if hasattr(value, "numpy") else value


def _need_channels_last(arguments: list[Any], data_format: Any) -> None:
    first = [one for one in arguments if isinstance(one, str) and one.upper() in _CHANNELS_FIRST]
    if data_format is not None and str(data_format).upper() not in _CHANNELS_LAST:
        first.append(data_format)
    if first:
        raise ModelFileError(f"its data_format is {first[0]!r}; expected channels last, NHWC.")


def _accepted(call: Call, named: dict[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(call).parameters
    takes_all = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    return named if takes_all else {key: value for key, value in named.items() if key in parameters}


def _unary(function: Call) -> Call:
    """A function of one tensor, whatever TensorFlow calls it."""

    def call(*values: Any, **named: Any) -> Any:
        first, *_ = [*values, *(value for value in named.values() if keras.utils.is_keras_tensor(value))]
        return function(first)

    return call


def _binary(function: Call) -> Call:
    return lambda x, y: function(*alike(x, y))


def _reduction(function: Call) -> Call:
    return lambda input_tensor, axis=None, keepdims=None, keep_dims=None: function(
        input_tensor, axis=axes_of(axis), keepdims=bool(keepdims or keep_dims)
    )


def _same(x: Any, *_: Any, **__: Any) -> Any:
    return x


_UNARY = {
    "math": "abs negative exp expm1 log log1p sqrt rsqrt square sigmoid tanh softplus sin cos tan erf reciprocal sign "
    "floor ceil round log_sigmoid logical_not is_finite is_nan",
    "nn": "relu relu6 elu selu silu softsign",
    "": "stop_gradient zeros_like ones_like",
}
_BINARY = {
    "math": "add subtract multiply truediv divide maximum minimum pow floordiv floormod divide_no_nan greater "
    "greater_equal less less_equal equal not_equal logical_and logical_or logical_xor multiply_no_nan",
    "__operators__": "add",
    "compat.v1": "floor_div",
    "": "add subtract multiply divide truediv realdiv maximum minimum pow",
}
_REDUCTIONS = "mean max min sum prod std variance logsumexp any all"
_KERAS_NAMES = {
    "truediv": "true_divide",
    "realdiv": "true_divide",
    "divide": "true_divide",
    "pow": "power",
    "floordiv": "floor_divide",
    "floor_div": "floor_divide",
    "floormod": "mod",
    "multiply_no_nan": "multiply",
    "is_finite": "isfinite",
    "is_nan": "isnan",
    "variance": "var",
}


def _by_name(kind: Callable[[Call], Call], names: dict[str, str]) -> dict[str, Call]:
    """Calls that Keras has by the same name, or by that of `_KERAS_NAMES`."""
    return {
        f"{module}.{name}".removeprefix("."): kind(getattr(ops, _KERAS_NAMES.get(name, name)))
        for module, listed in names.items()
        for name in listed.split()
    }


CALLS: dict[str, Call] = {
    **_by_name(_unary, _UNARY),
    **_by_name(_binary, _BINARY),
    **{name.replace(".", ".reduce_"): call for name, call in _by_name(_reduction, {"math": _REDUCTIONS}).items()},
    **{f"compat.v1.reduce_{name}": call for name, call in _by_name(_reduction, {"": _REDUCTIONS}).items()},
    "identity": _same,
    "cast": arrays.cast,
    "where": lambda condition, x, y: ops.where(condition, *alike(x, y)),
    "clip_by_value": lambda t, clip_value_min, clip_value_max: ops.minimum(
        *alike(ops.maximum(*alike(t, clip_value_min)), clip_value_max)
    ),
    "math.atan2": lambda y, x: ops.arctan2(*alike(y, x)),
    "math.add_n": arrays.add_n,
    "math.accumulate_n": arrays.add_n,
    "math.squared_difference": lambda x, y: ops.square(ops.subtract(*alike(x, y))),
    "compat.v1.math.scalar_mul": lambda scalar, x, *_: ops.multiply(*alike(scalar, x)),
    "math.l2_normalize": arrays.l2_normalize,
    "math.argmax": lambda input, axis=0: ops.argmax(input, axis=axes_of(axis)),
    "compat.v1.norm": arrays.norm,
    "norm": arrays.norm,
    "linalg.matmul": arrays.matmul,
    "tensordot": lambda a, b, axes: ops.tensordot(*alike(a, b), axes=axes),
    "einsum": lambda equation, *inputs: ops.einsum(equation, *alike(*inputs)),
    "one_hot": arrays.one_hot,
    "debugging.check_numerics": _same,
    # networks
    "nn.bias_add": lambda value, bias, *_: ops.add(*alike(value, bias)),
    "nn.batch_normalization": arrays.batch_normalization,
    "nn.swish": _unary(ops.silu),
    "nn.leaky_relu": lambda features, alpha=0.2: ops.leaky_relu(features, negative_slope=float(alpha)),
    "nn.gelu": lambda features, approximate=False: ops.gelu(features, approximate=bool(approximate)),
    "nn.softmax": lambda logits, axis=None: ops.softmax(logits, axis=-1 if axis is None else axes_of(axis)),
    "nn.log_softmax": lambda logits, axis=None: ops.log_softmax(logits, axis=-1 if axis is None else axes_of(axis)),
    "compat.v1.nn.crelu": lambda features, axis=-1: ops.relu(
        ops.concatenate([features, ops.negative(features)], axis=axis)
    ),
    "nn.local_response_normalization": arrays.local_response_normalization,
    "nn.dropout": _same,  # what it drops at random it makes up for by scaling, so that the mean is this
    "nn.space_to_depth": lambda input, block_size, *_: ops.space_to_depth(input, int(block_size), "channels_last"),
    "nn.depth_to_space": lambda input, block_size, *_: ops.depth_to_space(input, int(block_size), "channels_last"),
    "nn.max_pool2d": pictures.max_pool,
    "nn.max_pool": pictures.max_pool,
    "nn.avg_pool2d": pictures.average_pool,
    "nn.avg_pool": pictures.average_pool,
    "compat.v1.nn.max_pool": lambda value, ksize, strides, padding="VALID", *_: pictures.max_pool(
        value, ksize, strides, padding
    ),
    "compat.v1.nn.avg_pool": lambda value, ksize, strides, padding="VALID", *_: pictures.average_pool(
        value, ksize, strides, padding
    ),
    "nn.conv2d": pictures.conv2d,
    "compat.v1.nn.conv2d": pictures.conv2d,
    "compat.v1.nn.convolution": pictures.conv2d,
    "nn.depthwise_conv2d": pictures.depthwise_conv2d,
    "compat.v1.nn.depthwise_conv2d": pictures.depthwise_conv2d,
    # shapes and places
    "__operators__.getitem": arrays.getitem,
    "strided_slice": arrays.strided_slice,
    "slice": arrays.slice_from,
    "concat": arrays.concat,
    "stack": arrays.stack,
    "unstack": lambda value, num=None, axis=0: list(
        value if isinstance(value, tuple) else ops.unstack(value, num, int(axis))
    ),
    "split": arrays.split,
    "expand_dims": lambda input, axis: ops.expand_dims(input, int(axis)),
    "squeeze": arrays.squeeze,
    "compat.v1.squeeze": arrays.squeeze,
    "reshape": arrays.reshape,
    "keras.backend.batch_flatten": lambda x: keras.layers.Flatten()(x),
    "transpose": arrays.transpose,
    "compat.v1.transpose": arrays.transpose,
    "reverse": lambda tensor, axis: ops.flip(tensor, axis=axes_of(axis)),
    "pad": arrays.pad,
    "compat.v1.pad": lambda tensor, paddings, mode="CONSTANT", _name=None, constant_values=0: arrays.pad(
        tensor, paddings, mode, constant_values
    ),
    "tile": lambda input, multiples: ops.tile(input, [int(times) for times in multiples]),
    "repeat": lambda input, repeats, axis=None: ops.repeat(input, repeats, axis=axes_of(axis)),
    "gather": arrays.gather,
    "compat.v1.gather": lambda params, indices, _validate=None, _name=None, axis=None, batch_dims=0: arrays.gather(
        params, indices, axis=axis, batch_dims=batch_dims
    ),
    "roll": lambda input, shift, axis: ops.roll(input, axes_of(shift), axis=axes_of(axis)),
    "broadcast_to": lambda input, shape: ops.broadcast_to(input, known_sides(shape)),
    "shape": arrays.shape_of,
    "compat.v1.shape": arrays.shape_of,
    "size": arrays.size_of,
    "compat.v1.size": arrays.size_of,
    "rank": lambda input: np.asarray(len(input.shape)),
    # pictures
    "image.grayscale_to_rgb": lambda images: ops.repeat(images, 3, axis=-1),
    "image.rgb_to_grayscale": pictures.rgb_to_grayscale,
    "image.rgb_to_yuv": pictures.rgb_to_yuv,
    "image.rgb_to_hsv": _unary(ops.image.rgb_to_hsv),
    "image.hsv_to_rgb": _unary(ops.image.hsv_to_rgb),
    "image.per_image_standardization": pictures.per_image_standardization,
    "image.adjust_contrast": pictures.adjust_contrast,
    "image.adjust_brightness": lambda image, delta: ops.add(image, float(delta)),
    "image.adjust_gamma": lambda image, gamma=1, gain=1: ops.multiply(ops.power(image, float(gamma)), float(gain)),
    "image.resize": pictures.resize,
    "image.resize_with_crop_or_pad": pictures.resize_with_crop_or_pad,
    "image.central_crop": pictures.central_crop,
    "image.crop_to_bounding_box": pictures.crop_to_box,
    "image.pad_to_bounding_box": pictures.pad_to_box,
    "image.flip_left_right": lambda image: ops.flip(image, axis=-2),
    "image.flip_up_down": lambda image: ops.flip(image, axis=-3),
    "image.convert_image_dtype": _same,  # of numbers with a point; whole ones: see `tensorflow_layers`
}
"""What each function of TensorFlow is in Keras 3, by the name that Keras 2 writes."""

_ON_SHAPES = {
    *("__operators__.getitem", "__operators__.add", "compat.v1.floor_div", "math.reduce_prod", "identity", "cast"),
    *(f"math.{name}" for name in ("add", "subtract", "multiply", "floordiv", "truediv", "maximum", "minimum")),
    *("concat", "expand_dims", "slice", "squeeze", "stack", "strided_slice", "unstack"),
}
"""Calls that may compute with shapes alone, at once: a few numbers, see `_MOST_SIDES`."""
