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
from convfe_core.keras2 import tensorflow_pictures as pictures
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


def _alike(*values: Any) -> list[Any]:
    """Operands of one type: constants take that of the tensor beside them."""
    kinds = [value.dtype for value in values if keras.utils.is_keras_tensor(value)]
    return [
        value
        if keras.utils.is_keras_tensor(value) or isinstance(value, int | float)
        else np.asarray(value, kinds[0] if kinds else None)
        for value in values
    ]


def _unary(function: Call) -> Call:
    """A function of one tensor, whatever TensorFlow calls it."""

    def call(*values: Any, **named: Any) -> Any:
        first, *_ = [*values, *(value for value in named.values() if keras.utils.is_keras_tensor(value))]
        return function(first)

    return call


def _binary(function: Call) -> Call:
    return lambda x, y: function(*_alike(x, y))


def _reduction(function: Call) -> Call:
    return lambda input_tensor, axis=None, keepdims=None, keep_dims=None: function(
        input_tensor, axis=_axes(axis), keepdims=bool(keepdims or keep_dims)
    )


def _axes(axis: Any) -> Any:
    if axis is None:
        return None
    axes = tuple(int(one) for one in np.ravel(axis))
    return axes[0] if len(axes) == 1 else axes


def _same(x: Any, *_: Any, **__: Any) -> Any:
    return x


def _cast(x: Any, dtype: Any) -> Any:
    """Numbers with a point stay float32, which everything here computes with."""
    wanted = np.dtype(dtype).name if dtype != "bfloat16" else "float32"
    return ops.cast(x, "float32" if wanted.startswith("float") else wanted)


def _batch_normalization(x: Any, mean: Any, variance: Any, offset: Any, scale: Any, variance_epsilon: float) -> Any:
    """A normalisation by constants, with one factor and one summand."""
    factor = (1.0 if scale is None else np.asarray(scale)) / np.sqrt(np.asarray(variance) + float(variance_epsilon))
    summand = (0.0 if offset is None else np.asarray(offset)) - np.asarray(mean) * factor
    return ops.add(*_alike(ops.multiply(*_alike(x, factor)), summand))


def _add_n(inputs: Any) -> Any:
    total, *others = inputs if isinstance(inputs, list) else [inputs]
    for one in others:
        total = ops.add(*_alike(total, one))
    return total


def _l2_normalize(x: Any, axis: Any = None, epsilon: float = 1e-12) -> Any:
    squares = ops.sum(ops.square(x), axis=_axes(axis), keepdims=True)
    return ops.multiply(x, ops.rsqrt(ops.maximum(squares, epsilon)))


def _norm(tensor: Any, ord: Any = "euclidean", axis: Any = None, keepdims: Any = None) -> Any:
    if ord not in ("euclidean", 2):
        raise ModelFileError(f"'norm' of order {ord!r}; expected the Euclidean one. Use a Keras layer instead.")
    return ops.sqrt(ops.sum(ops.square(tensor), axis=_axes(axis), keepdims=bool(keepdims)))


def _matmul(a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False) -> Any:
    a, b = _alike(a, b)
    return ops.matmul(ops.swapaxes(a, -1, -2) if transpose_a else a, ops.swapaxes(b, -1, -2) if transpose_b else b)


def _lrn(input: Any, depth_radius: int = 5, bias: float = 1, alpha: float = 1, beta: float = 0.5) -> Any:
    """Local response normalisation (AlexNet): each value by the squares of its neighbours among the channels."""
    channels = input.shape[-1]
    padded = ops.pad(ops.square(input), [[0, 0]] * 3 + [[depth_radius, depth_radius]])
    squares = _add_n([padded[..., first : first + channels] for first in range(2 * depth_radius + 1)])
    return ops.divide(input, ops.power(bias + alpha * squares, beta))


def _one_hot(indices: Any, depth: int, on_value: Any = None, off_value: Any = None, axis: int = -1) -> Any:
    hot = ops.one_hot(indices, int(depth), axis=-1 if axis is None else int(axis))
    if on_value is None and off_value is None:
        return hot
    on, off = 1.0 if on_value is None else float(on_value), 0.0 if off_value is None else float(off_value)
    return ops.add(ops.multiply(hot, on - off), off)


def _getitem(tensor: Any, slice_spec: Any, *_: Any) -> Any:
    spec = slice_spec if isinstance(slice_spec, list | tuple) else [slice_spec]
    return _take(tensor, tuple(_index(part) for part in spec))


def _take(tensor: Any, parts: tuple[Any, ...]) -> Any:
    if not isinstance(tensor, tuple):
        return tensor[parts]
    taken = tensor[parts[0]]
    return _as_shape(taken) if isinstance(taken, tuple) else taken


def _as_shape(sides: tuple[int | None, ...]) -> Any:
    """Sides as an array, to compute with; as they are where some are open."""
    return sides if None in sides else np.asarray(sides)


def _index(part: Any) -> Any:
    if isinstance(part, dict):
        if "step" not in part:
            return Ellipsis
        return slice(*(_whole(part.get(key)) for key in ("start", "stop", "step")))
    return part if part is Ellipsis else _whole(part)


def _whole(number: Any) -> int | None:
    return None if number is None else int(number)


def _strided_slice(
    input_: Any,
    begin: Any,
    end: Any,
    strides: Any = None,
    begin_mask: int = 0,
    end_mask: int = 0,
    ellipsis_mask: int = 0,
    new_axis_mask: int = 0,
    shrink_axis_mask: int = 0,
) -> Any:
    """``x[begin:end:strides]``; a bit of each mask says what stands at a place instead of the numbers."""
    steps = [1] * len(begin) if strides is None else strides
    parts: list[Any] = []
    for place, (first, last, step) in enumerate(zip(begin, end, steps, strict=True)):
        bit = 1 << place
        if ellipsis_mask & bit:
            parts.append(Ellipsis)
        elif new_axis_mask & bit:
            parts.append(None)
        elif shrink_axis_mask & bit:
            parts.append(int(first))
        else:
            start, stop = None if begin_mask & bit else int(first), None if end_mask & bit else int(last)
            parts.append(slice(start, stop, int(step)))
    return _take(input_, tuple(parts))


def _slice(input_: Any, begin: Any, size: Any) -> Any:
    ends = [None if count == -1 else int(first + count) for first, count in zip(begin, size, strict=True)]
    return input_[tuple(slice(int(first), last) for first, last in zip(begin, ends, strict=True))]


def _concat(values: Any, axis: Any) -> Any:
    if not isinstance(values, list):
        return values
    if any(isinstance(one, tuple) for one in values):  # shapes that are not all known
        return _as_shape(tuple(side for one in values for side in one))
    return ops.concatenate(_alike(*values), axis=int(axis))


def _stack(values: Any, axis: int = 0) -> Any:
    values = values if isinstance(values, list) else [values]
    if any(one is None for one in values):
        return tuple(values)
    return ops.stack(_alike(*values), axis=int(axis))


def _split(value: Any, num_or_size_splits: Any, axis: Any = 0) -> Any:
    axis, sizes = int(axis), np.asarray(num_or_size_splits)
    if sizes.ndim == 0:
        return ops.split(value, int(sizes), axis=axis)
    sizes = sizes.astype(int)
    if (sizes == -1).any():
        sizes[sizes == -1] = value.shape[axis] - sizes[sizes != -1].sum()
    return ops.split(value, np.cumsum(sizes)[:-1].tolist(), axis=axis)


def _squeeze(input: Any, axis: Any = None, squeeze_dims: Any = None) -> Any:
    return ops.squeeze(input, axis=_axes(squeeze_dims if axis is None else axis))


def _reshape(tensor: Any, shape: Any) -> Any:
    sides = [-1 if side is None or keras.utils.is_keras_tensor(side) else int(side) for side in shape]
    known = tensor.shape[0] is None and sides.count(-1) > 1 and sides[0] == -1
    if not known:
        return ops.reshape(tensor, sides)
    return keras.layers.Reshape(sides[1:])(tensor)  # which leaves the number of pictures open


def _transpose(a: Any, perm: Any = None) -> Any:
    return ops.transpose(a, None if perm is None else [int(axis) for axis in perm])


def _pad(tensor: Any, paddings: Any, mode: str = "CONSTANT", constant_values: Any = 0) -> Any:
    widths = np.asarray(paddings).astype(int).tolist()
    if str(mode).lower() == "constant":
        return ops.pad(tensor, widths, constant_values=float(constant_values or 0))
    return ops.pad(tensor, widths, mode=str(mode).lower())


def _gather(params: Any, indices: Any, _validate: Any = None, axis: Any = None, batch_dims: int = 0) -> Any:
    if batch_dims:
        raise ModelFileError("'gather' with batch_dims; expected none. Use a Keras layer instead.")
    return ops.take(params, np.asarray(indices), axis=0 if axis is None else int(axis))


def _shape(input: Any, *_: Any) -> Any:
    """The sides of a tensor: an array where all are known, else a tuple with None."""
    return _as_shape(tuple(input.shape))


def _size(input: Any, *_: Any) -> Any:
    return np.prod(known_sides(input.shape))


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
    "cast": _cast,
    "where": lambda condition, x, y: ops.where(condition, *_alike(x, y)),
    "clip_by_value": lambda t, clip_value_min, clip_value_max: ops.minimum(
        *_alike(ops.maximum(*_alike(t, clip_value_min)), clip_value_max)
    ),
    "math.atan2": lambda y, x: ops.arctan2(*_alike(y, x)),
    "math.add_n": _add_n,
    "math.accumulate_n": _add_n,
    "math.squared_difference": lambda x, y: ops.square(ops.subtract(*_alike(x, y))),
    "compat.v1.math.scalar_mul": lambda scalar, x, *_: ops.multiply(*_alike(scalar, x)),
    "math.l2_normalize": _l2_normalize,
    "math.argmax": lambda input, axis=0: ops.argmax(input, axis=_axes(axis)),
    "compat.v1.norm": _norm,
    "norm": _norm,
    "linalg.matmul": _matmul,
    "tensordot": lambda a, b, axes: ops.tensordot(*_alike(a, b), axes=axes),
    "einsum": lambda equation, *inputs: ops.einsum(equation, *_alike(*inputs)),
    "one_hot": _one_hot,
    "debugging.check_numerics": _same,
    # networks
    "nn.bias_add": lambda value, bias, *_: ops.add(*_alike(value, bias)),
    "nn.batch_normalization": _batch_normalization,
    "nn.swish": _unary(ops.silu),
    "nn.leaky_relu": lambda features, alpha=0.2: ops.leaky_relu(features, negative_slope=float(alpha)),
    "nn.gelu": lambda features, approximate=False: ops.gelu(features, approximate=bool(approximate)),
    "nn.softmax": lambda logits, axis=None: ops.softmax(logits, axis=-1 if axis is None else _axes(axis)),
    "nn.log_softmax": lambda logits, axis=None: ops.log_softmax(logits, axis=-1 if axis is None else _axes(axis)),
    "compat.v1.nn.crelu": lambda features, axis=-1: ops.relu(
        ops.concatenate([features, ops.negative(features)], axis=axis)
    ),
    "nn.local_response_normalization": _lrn,
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
    "__operators__.getitem": _getitem,
    "strided_slice": _strided_slice,
    "slice": _slice,
    "concat": _concat,
    "stack": _stack,
    "unstack": lambda value, num=None, axis=0: list(
        value if isinstance(value, tuple) else ops.unstack(value, num, int(axis))
    ),
    "split": _split,
    "expand_dims": lambda input, axis: ops.expand_dims(input, int(axis)),
    "squeeze": _squeeze,
    "compat.v1.squeeze": _squeeze,
    "reshape": _reshape,
    "keras.backend.batch_flatten": lambda x: keras.layers.Flatten()(x),
    "transpose": _transpose,
    "compat.v1.transpose": _transpose,
    "reverse": lambda tensor, axis: ops.flip(tensor, axis=_axes(axis)),
    "pad": _pad,
    "compat.v1.pad": lambda tensor, paddings, mode="CONSTANT", _name=None, constant_values=0: _pad(
        tensor, paddings, mode, constant_values
    ),
    "tile": lambda input, multiples: ops.tile(input, [int(times) for times in multiples]),
    "repeat": lambda input, repeats, axis=None: ops.repeat(input, repeats, axis=_axes(axis)),
    "gather": _gather,
    "compat.v1.gather": lambda params, indices, _validate=None, _name=None, axis=None, batch_dims=0: _gather(
        params, indices, axis=axis, batch_dims=batch_dims
    ),
    "roll": lambda input, shift, axis: ops.roll(input, _axes(shift), axis=_axes(axis)),
    "broadcast_to": lambda input, shape: ops.broadcast_to(input, known_sides(shape)),
    "shape": _shape,
    "compat.v1.shape": _shape,
    "size": _size,
    "compat.v1.size": _size,
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
