"""What Keras 2 wrote as calls of TensorFlow's own functions between layers, made of Keras 3's operations.

Each function here takes what TensorFlow's takes, by the same names, and nothing here reads, writes or runs anything
else: the names in `CALLS` are all that a file may call. Imported only where a model is opened, as it imports Keras.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from convfe_core.base.errors import ModelFileError

Call = Callable[..., Any]

_EPSILON = 1e-12
_MOST_SIDES = 16
"""Numbers of an operand where sides are computed with."""


def call_tensorflow(name: str, arguments: list[Any], named: dict[str, Any]) -> Any:
    """Make a call of TensorFlow's function of a name in Keras 3.

    Parameters
    ----------
    name : a key of `CALLS`
    arguments, named : what Keras 2 calls it with: Keras 3's tensors, numbers, arrays and tensors of TensorFlow

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
    made = CALLS[name](*plain_arguments, **plain_named)
    return made if symbolic else _plain(made)


def _plain(value: Any) -> Any:
    """A setting without TensorFlow's types: tensors as arrays, their types by name."""
    if isinstance(value, list | tuple):
        return type(value)([_plain(one) for one in value])
    if hasattr(value, "as_numpy_dtype"):
        return value.name
    return value.numpy() if hasattr(value, "numpy") else value


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
    def call(*values: Any, **named: Any) -> Any:
        first, *_ = [*values, *(value for value in named.values() if keras.utils.is_keras_tensor(value))]
        return function(first)

    return call


def _binary(function: Call) -> Call:
    return lambda x, y, **_: function(*_alike(x, y))


def _reduction(function: Call) -> Call:
    def call(input_tensor: Any, axis: Any = None, keepdims: Any = None, keep_dims: Any = None, **_: Any) -> Any:
        return function(input_tensor, axis=_axes(axis), keepdims=bool(keepdims or keep_dims))

    return call


def _axes(axis: Any) -> Any:
    if axis is None:
        return None
    axes = tuple(int(one) for one in np.ravel(axis))
    return axes[0] if len(axes) == 1 else axes


def _same(x: Any, *_: Any, **__: Any) -> Any:
    return x


def _cast(x: Any, dtype: Any, **_: Any) -> Any:
    """Numbers with a point stay float32, which everything here computes with."""
    wanted = np.dtype(dtype).name if dtype != "bfloat16" else "float32"
    return ops.cast(x, "float32" if wanted.startswith("float") else wanted)


def _batch_normalization(
    x: Any, mean: Any, variance: Any, offset: Any, scale: Any, variance_epsilon: float, **_: Any
) -> Any:
    """A normalisation by constants, with one factor and one summand."""
    factor = (1.0 if scale is None else np.asarray(scale)) / np.sqrt(np.asarray(variance) + float(variance_epsilon))
    summand = (0.0 if offset is None else np.asarray(offset)) - np.asarray(mean) * factor
    return ops.add(*_alike(ops.multiply(*_alike(x, factor)), summand))


def _scalar_mul(scalar: Any, x: Any, *_: Any, **__: Any) -> Any:
    return ops.multiply(*_alike(scalar, x))


def _add_n(inputs: Any, **_: Any) -> Any:
    total, *others = inputs if isinstance(inputs, list) else [inputs]
    for one in others:
        total = ops.add(*_alike(total, one))
    return total


def _squared_difference(x: Any, y: Any, **_: Any) -> Any:
    return ops.square(ops.subtract(*_alike(x, y)))


def _bias_add(value: Any, bias: Any, data_format: Any = None, **_: Any) -> Any:
    _need_channels_last(data_format)
    return ops.add(*_alike(value, bias))


def _clip_by_value(t: Any, clip_value_min: Any, clip_value_max: Any, **_: Any) -> Any:
    return ops.minimum(*_alike(ops.maximum(*_alike(t, clip_value_min)), clip_value_max))


def _l2_normalize(x: Any, axis: Any = None, epsilon: float = _EPSILON, **_: Any) -> Any:
    squares = ops.sum(ops.square(x), axis=_axes(axis), keepdims=True)
    return ops.multiply(x, ops.rsqrt(ops.maximum(squares, epsilon)))


def _norm(tensor: Any, ord: Any = "euclidean", axis: Any = None, keepdims: Any = None, **_: Any) -> Any:
    if ord not in ("euclidean", 2):
        raise ModelFileError(f"'norm' of order {ord!r}; expected the Euclidean one. Use a Keras layer instead.")
    return ops.sqrt(ops.sum(ops.square(tensor), axis=_axes(axis), keepdims=bool(keepdims)))


def _matmul(a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False, **_: Any) -> Any:
    a, b = _alike(a, b)
    return ops.matmul(ops.swapaxes(a, -1, -2) if transpose_a else a, ops.swapaxes(b, -1, -2) if transpose_b else b)


def _tensordot(a: Any, b: Any, axes: Any, **_: Any) -> Any:
    return ops.tensordot(*_alike(a, b), axes=axes)


def _einsum(equation: str, *inputs: Any, **_: Any) -> Any:
    return ops.einsum(equation, *_alike(*inputs))


def _where(condition: Any, x: Any, y: Any, **_: Any) -> Any:
    return ops.where(condition, *_alike(x, y))


def _leaky_relu(features: Any, alpha: float = 0.2, **_: Any) -> Any:
    return ops.leaky_relu(features, negative_slope=float(alpha))


def _gelu(features: Any, approximate: bool = False, **_: Any) -> Any:
    return ops.gelu(features, approximate=bool(approximate))


def _softmax(logits: Any, axis: Any = None, **_: Any) -> Any:
    return ops.softmax(logits, axis=-1 if axis is None else _axes(axis))


def _log_softmax(logits: Any, axis: Any = None, **_: Any) -> Any:
    return ops.log_softmax(logits, axis=-1 if axis is None else _axes(axis))


def _crelu(features: Any, axis: int = -1, **_: Any) -> Any:
    return ops.relu(ops.concatenate([features, ops.negative(features)], axis=axis))


def _lrn(input: Any, depth_radius: int = 5, bias: float = 1, alpha: float = 1, beta: float = 0.5, **_: Any) -> Any:
    """Local response normalisation (AlexNet): each value by the squares of its neighbours among the channels."""
    channels = input.shape[-1]
    padded = ops.pad(ops.square(input), [[0, 0]] * 3 + [[depth_radius, depth_radius]])
    squares = _add_n([padded[..., first : first + channels] for first in range(2 * depth_radius + 1)])
    return ops.divide(input, ops.power(bias + alpha * squares, beta))


def _argmax(input: Any, axis: Any = 0, **_: Any) -> Any:
    return ops.argmax(input, axis=_axes(axis))


def _one_hot(indices: Any, depth: int, on_value: Any = None, off_value: Any = None, axis: int = -1, **_: Any) -> Any:
    hot = ops.one_hot(indices, int(depth), axis=-1 if axis is None else int(axis))
    if on_value is None and off_value is None:
        return hot
    on, off = 1.0 if on_value is None else float(on_value), 0.0 if off_value is None else float(off_value)
    return ops.add(ops.multiply(hot, on - off), off)


# Shapes and places


def _getitem(tensor: Any, slice_spec: Any, *_: Any, **__: Any) -> Any:
    spec = slice_spec if isinstance(slice_spec, list | tuple) else [slice_spec]
    return _take(tensor, tuple(_index(part) for part in spec))


def _take(tensor: Any, parts: tuple[Any, ...]) -> Any:
    if not isinstance(tensor, tuple):
        return tensor[parts]
    taken = tensor[parts[0]]
    return _sides_known(taken) if isinstance(taken, tuple) else taken


def _sides_known(sides: tuple[int | None, ...]) -> Any:
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
    **_: Any,
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


def _slice(input_: Any, begin: Any, size: Any, **_: Any) -> Any:
    ends = [None if count == -1 else int(first + count) for first, count in zip(begin, size, strict=True)]
    return input_[tuple(slice(int(first), last) for first, last in zip(begin, ends, strict=True))]


def _concat(values: Any, axis: Any, **_: Any) -> Any:
    if not isinstance(values, list):
        return values
    if any(isinstance(one, tuple) for one in values):  # shapes that are not all known
        return _sides_known(tuple(side for one in values for side in one))
    return ops.concatenate(_alike(*values), axis=int(axis))


def _stack(values: Any, axis: int = 0, **_: Any) -> Any:
    values = values if isinstance(values, list) else [values]
    if any(one is None for one in values):
        return tuple(values)
    return ops.stack(_alike(*values), axis=int(axis))


def _unstack(value: Any, num: Any = None, axis: int = 0, **_: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return list(ops.unstack(value, num, int(axis)))


def _split(value: Any, num_or_size_splits: Any, axis: Any = 0, **_: Any) -> Any:
    axis, sizes = int(axis), np.asarray(num_or_size_splits)
    if sizes.ndim == 0:
        return ops.split(value, int(sizes), axis=axis)
    sizes = sizes.astype(int)
    if (sizes == -1).any():
        sizes[sizes == -1] = value.shape[axis] - sizes[sizes != -1].sum()
    return ops.split(value, np.cumsum(sizes)[:-1].tolist(), axis=axis)


def _expand_dims(input: Any, axis: Any, **_: Any) -> Any:
    return ops.expand_dims(input, int(axis))


def _squeeze(input: Any, axis: Any = None, squeeze_dims: Any = None, **_: Any) -> Any:
    return ops.squeeze(input, axis=_axes(squeeze_dims if axis is None else axis))


def _reshape(tensor: Any, shape: Any, **_: Any) -> Any:
    sides = [-1 if side is None or keras.utils.is_keras_tensor(side) else int(side) for side in shape]
    known = tensor.shape[0] is None and sides.count(-1) > 1 and sides[0] == -1
    if not known:
        return ops.reshape(tensor, sides)
    return keras.layers.Reshape(sides[1:])(tensor)  # which leaves the number of pictures open


def _batch_flatten(x: Any, **_: Any) -> Any:
    return keras.layers.Flatten()(x)


def _transpose(a: Any, perm: Any = None, **_: Any) -> Any:
    return ops.transpose(a, None if perm is None else [int(axis) for axis in perm])


def _reverse(tensor: Any, axis: Any, **_: Any) -> Any:
    return ops.flip(tensor, axis=_axes(axis))


def _pad(tensor: Any, paddings: Any, mode: str = "CONSTANT", *_: Any, constant_values: Any = 0, **__: Any) -> Any:
    widths = np.asarray(paddings).astype(int).tolist()
    if str(mode).lower() == "constant":
        return ops.pad(tensor, widths, constant_values=float(constant_values or 0))
    return ops.pad(tensor, widths, mode=str(mode).lower())


def _pad_v1(
    tensor: Any, paddings: Any, mode: str = "CONSTANT", _: Any = None, constant_values: Any = 0, **__: Any
) -> Any:
    """With the fill fifth, after a name."""
    return _pad(tensor, paddings, mode, constant_values=constant_values)


def _tile(input: Any, multiples: Any, **_: Any) -> Any:
    return ops.tile(input, [int(times) for times in multiples])


def _repeat(input: Any, repeats: Any, axis: Any = None, **_: Any) -> Any:
    return ops.repeat(input, repeats, axis=_axes(axis))


def _gather(params: Any, indices: Any, *_: Any, axis: Any = None, batch_dims: int = 0, **__: Any) -> Any:
    if batch_dims:
        raise ModelFileError("'gather' with batch_dims; expected none. Use a Keras layer instead.")
    return ops.take(params, np.asarray(indices), axis=0 if axis is None else int(axis))


def _roll(input: Any, shift: Any, axis: Any, **_: Any) -> Any:
    return ops.roll(input, _axes(shift), axis=_axes(axis))


def _shape(input: Any, *_: Any, **__: Any) -> Any:
    """The sides of a tensor: an array where all are known, else a tuple with None."""
    return _sides_known(tuple(input.shape))


def _size(input: Any, *_: Any, **__: Any) -> Any:
    return np.prod(_known(input.shape))


def _known(sides: Any) -> list[int]:
    if any(side is None for side in sides):
        raise ModelFileError("it computes with the sides of a picture, which are open here.")
    return [int(side) for side in sides]


def _broadcast_to(input: Any, shape: Any, **_: Any) -> Any:
    return ops.broadcast_to(input, _known(shape))


def _space_to_depth(input: Any, block_size: int, data_format: Any = None, **_: Any) -> Any:
    _need_channels_last(data_format)
    return ops.space_to_depth(input, int(block_size), data_format="channels_last")


def _depth_to_space(input: Any, block_size: int, data_format: Any = None, **_: Any) -> Any:
    _need_channels_last(data_format)
    return ops.depth_to_space(input, int(block_size), data_format="channels_last")


# Windows: layers, which keep constant kernels as their weights and whose geometry is known


def _max_pool(
    input: Any, ksize: Any, strides: Any = None, padding: str = "VALID", data_format: Any = None, **_: Any
) -> Any:
    _need_channels_last(data_format)
    return keras.layers.MaxPooling2D(_sides(ksize), _sides(strides or 1), _padding(padding))(input)


def _average_pool(
    input: Any, ksize: Any, strides: Any = None, padding: str = "VALID", data_format: Any = None, **_: Any
) -> Any:
    _need_channels_last(data_format)
    return keras.layers.AveragePooling2D(_sides(ksize), _sides(strides or 1), _padding(padding))(input)


def _pool(value: Any, ksize: Any, strides: Any, padding: str = "VALID", *, kind: Call, **named: Any) -> Any:
    return kind(value, ksize, strides, padding, **named)


def _conv2d(
    input: Any,
    filter: Any = None,
    strides: Any = None,
    padding: Any = "VALID",
    *_: Any,
    filters: Any = None,
    dilations: Any = None,
    dilation_rate: Any = None,
    data_format: Any = None,
    **__: Any,
) -> Any:
    _need_channels_last(data_format)
    kernel = np.asarray(filters if filter is None else filter, np.float32)
    dilation = dilations if dilation_rate is None else dilation_rate
    layer = keras.layers.Conv2D(
        kernel.shape[-1],
        kernel.shape[:2],
        strides=_sides(strides or 1),
        padding=_padding(padding),
        dilation_rate=_sides(dilation or 1),
        groups=int(input.shape[-1]) // kernel.shape[2],
        use_bias=False,
        kernel_initializer=keras.initializers.Constant(kernel),
    )
    return layer(input)


def _depthwise_conv2d(
    input: Any,
    filter: Any,
    strides: Any,
    padding: Any,
    rate: Any = None,
    *_: Any,
    dilations: Any = None,
    data_format: Any = None,
    **__: Any,
) -> Any:
    _need_channels_last(data_format)
    kernel = np.asarray(filter, np.float32)
    dilation = dilations if rate is None else rate
    layer = keras.layers.DepthwiseConv2D(
        kernel.shape[:2],
        strides=_sides(strides),
        padding=_padding(padding),
        depth_multiplier=kernel.shape[-1],
        dilation_rate=_sides(dilation or 1),
        use_bias=False,
        depthwise_initializer=keras.initializers.Constant(kernel),
    )
    return layer(input)


def _sides(setting: Any) -> tuple[int, int]:
    """(down, across) of a setting that TensorFlow takes as one number, two, or four with pictures and channels."""
    values = [int(value) for value in np.ravel(setting)]
    down, across = values[1:3] if len(values) == 4 else (values * 2)[:2]
    return down, across


def _padding(setting: Any) -> str:
    if str(setting).upper() not in ("SAME", "VALID"):
        raise ModelFileError(f"its padding is {setting!r}; expected SAME or VALID. Use ZeroPadding2D before it.")
    return str(setting).lower()


def _need_channels_last(data_format: Any) -> None:
    if data_format is not None and str(data_format).upper() not in ("NHWC", "CHANNELS_LAST"):
        raise ModelFileError(f"its data_format is {data_format!r}; expected channels last, NHWC.")


# Pictures


def _grayscale_to_rgb(images: Any, **_: Any) -> Any:
    return ops.repeat(images, 3, axis=-1)


def _rgb_to_grayscale(images: Any, **_: Any) -> Any:
    """ITU-R BT.601's luma with the digits that TensorFlow has."""
    return ops.sum(ops.multiply(images, np.asarray([0.2989, 0.587, 0.114], np.float32)), axis=-1, keepdims=True)


def _rgb_to_yuv(images: Any, **_: Any) -> Any:
    kernel = [[0.299, -0.14714119, 0.61497538], [0.587, -0.28886916, -0.51496512], [0.114, 0.43601035, -0.10001026]]
    return ops.tensordot(images, np.asarray(kernel, np.float32), axes=1)


def _per_image_standardization(image: Any, **_: Any) -> Any:
    mean = ops.mean(image, axis=(-3, -2, -1), keepdims=True)
    deviation = ops.std(image, axis=(-3, -2, -1), keepdims=True)
    values = ops.sqrt(ops.sum(ops.ones_like(image), axis=(-3, -2, -1), keepdims=True))
    return ops.divide(ops.subtract(image, mean), ops.maximum(deviation, ops.reciprocal(values)))


def _adjust_contrast(images: Any, contrast_factor: Any, **_: Any) -> Any:
    mean = ops.mean(images, axis=(-3, -2), keepdims=True)
    return ops.add(ops.multiply(ops.subtract(images, mean), float(contrast_factor)), mean)


def _adjust_brightness(image: Any, delta: Any, **_: Any) -> Any:
    return ops.add(image, float(delta))


def _adjust_gamma(image: Any, gamma: Any = 1, gain: Any = 1, **_: Any) -> Any:
    return ops.multiply(ops.power(image, float(gamma)), float(gain))


def _resize(
    images: Any,
    size: Any,
    method: Any = "bilinear",
    preserve_aspect_ratio: bool = False,
    antialias: bool = False,
    **_: Any,
) -> Any:
    ways = ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5")
    way = {0: "bilinear", 1: "nearest", 2: "bicubic"}.get(method, method)
    if way not in ways or preserve_aspect_ratio:
        what = "preserve_aspect_ratio" if preserve_aspect_ratio else str(method)
        raise ModelFileError(f"it resizes with {what}; expected one of {', '.join(ways)}. Use Keras' Resizing.")
    return ops.image.resize(images, tuple(_known(size)), interpolation=way, antialias=bool(antialias))


def resize_as_node(images: Any, size: Any, method: str, *, align_corners: bool, half_pixel_centers: bool) -> Any:
    """Resize as a node of a graph says, which has settings that functions have not."""
    if align_corners or not half_pixel_centers:
        raise ModelFileError(
            "it resizes as TensorFlow 1 did, by corners instead of pixel centres, which Keras 3 cannot; "
            "use Keras' Resizing or UpSampling2D."
        )
    return _resize(images, size, method)


def _resize_with_crop_or_pad(image: Any, target_height: int, target_width: int, **_: Any) -> Any:
    height, width = _known(image.shape[-3:-1])
    down, across = int(target_height) - height, int(target_width) - width
    cut = image[:, max(-down // 2, 0) :][:, : int(target_height)]
    cut = cut[:, :, max(-across // 2, 0) :][:, :, : int(target_width)]
    if down <= 0 and across <= 0:
        return cut
    top, left = max(down, 0), max(across, 0)
    return ops.pad(cut, [[0, 0], [top // 2, top - top // 2], [left // 2, left - left // 2], [0, 0]])


def _central_crop(image: Any, central_fraction: Any, **_: Any) -> Any:
    height, width = _known(image.shape[-3:-1])
    top, left = (int((side - side * float(central_fraction)) / 2) for side in (height, width))
    return image[:, top : height - top, left : width - left]


def _crop_to_box(
    image: Any, offset_height: int, offset_width: int, target_height: int, target_width: int, **_: Any
) -> Any:
    top, left = int(offset_height), int(offset_width)
    return image[:, top : top + int(target_height), left : left + int(target_width)]


def _pad_to_box(
    image: Any, offset_height: int, offset_width: int, target_height: int, target_width: int, **_: Any
) -> Any:
    height, width = _known(image.shape[-3:-1])
    top, left = int(offset_height), int(offset_width)
    return ops.pad(
        image,
        [[0, 0], [top, int(target_height) - top - height], [left, int(target_width) - left - width], [0, 0]],
    )


_UNARY = {
    "math": "abs negative exp expm1 log log1p sqrt rsqrt square sigmoid tanh softplus sin cos tan erf reciprocal sign "
    "floor ceil round log_sigmoid logical_not is_finite is_nan",
    "nn": "relu relu6 elu selu silu softsign",
    "": "identity stop_gradient zeros_like ones_like",
}
_BINARY = {
    "math": "add subtract multiply truediv divide maximum minimum pow floordiv floormod divide_no_nan greater "
    "greater_equal less less_equal equal not_equal logical_and logical_or logical_xor multiply_no_nan",
    "__operators__": "add",
    "compat.v1": "floor_div",
    "": "add subtract multiply divide truediv realdiv maximum minimum pow",
}
_KERAS_NAMES: dict[str, Call] = {
    "truediv": ops.true_divide,
    "realdiv": ops.true_divide,
    "divide": ops.true_divide,
    "pow": ops.power,
    "floordiv": ops.floor_divide,
    "floor_div": ops.floor_divide,
    "floormod": ops.mod,
    "divide_no_nan": ops.divide_no_nan,
    "multiply_no_nan": ops.multiply,
    "identity": _same,
    "is_finite": ops.isfinite,
    "is_nan": ops.isnan,
}
_REDUCTIONS: dict[str, Call] = {
    "mean": ops.mean,
    "max": ops.max,
    "min": ops.min,
    "sum": ops.sum,
    "prod": ops.prod,
    "std": ops.std,
    "variance": ops.var,
    "logsumexp": ops.logsumexp,
    "any": ops.any,
    "all": ops.all,
}


def _named(module: str, names: str, kind: Callable[[Call], Call]) -> dict[str, Call]:
    """Calls that Keras has by nearly the same names."""
    before = f"{module}." if module else ""
    return {f"{before}{name}": kind(_KERAS_NAMES.get(name) or getattr(ops, name)) for name in names.split()}


CALLS: dict[str, Call] = {
    **{name: call for module, names in _UNARY.items() for name, call in _named(module, names, _unary).items()},
    **{name: call for module, names in _BINARY.items() for name, call in _named(module, names, _binary).items()},
    **{f"math.reduce_{name}": _reduction(function) for name, function in _REDUCTIONS.items()},
    **{f"compat.v1.reduce_{name}": _reduction(function) for name, function in _REDUCTIONS.items()},
    "math.atan2": lambda y, x, **_: ops.arctan2(*_alike(y, x)),
    "math.add_n": _add_n,
    "math.accumulate_n": _add_n,
    "math.squared_difference": _squared_difference,
    "compat.v1.math.scalar_mul": _scalar_mul,
    "math.l2_normalize": _l2_normalize,
    "math.argmax": _argmax,
    "compat.v1.norm": _norm,
    "norm": _norm,
    "linalg.matmul": _matmul,
    "tensordot": _tensordot,
    "einsum": _einsum,
    "clip_by_value": _clip_by_value,
    "where": _where,
    "cast": _cast,
    "one_hot": _one_hot,
    "nn.bias_add": _bias_add,
    "nn.batch_normalization": _batch_normalization,
    "nn.swish": _unary(ops.silu),
    "nn.leaky_relu": _leaky_relu,
    "nn.gelu": _gelu,
    "nn.softmax": _softmax,
    "nn.log_softmax": _log_softmax,
    "compat.v1.nn.crelu": _crelu,
    "nn.local_response_normalization": _lrn,
    "nn.dropout": _same,  # what it drops at random it makes up for by scaling, so that the mean is this
    "debugging.check_numerics": _same,
    "__operators__.getitem": _getitem,
    "strided_slice": _strided_slice,
    "slice": _slice,
    "concat": _concat,
    "stack": _stack,
    "unstack": _unstack,
    "split": _split,
    "expand_dims": _expand_dims,
    "squeeze": _squeeze,
    "compat.v1.squeeze": _squeeze,
    "reshape": _reshape,
    "keras.backend.batch_flatten": _batch_flatten,
    "transpose": _transpose,
    "compat.v1.transpose": _transpose,
    "reverse": _reverse,
    "pad": _pad,
    "compat.v1.pad": _pad_v1,
    "tile": _tile,
    "repeat": _repeat,
    "gather": _gather,
    "compat.v1.gather": _gather,
    "roll": _roll,
    "broadcast_to": _broadcast_to,
    "shape": _shape,
    "compat.v1.shape": _shape,
    "size": _size,
    "compat.v1.size": _size,
    "rank": lambda input, **_: np.asarray(len(input.shape)),
    "nn.space_to_depth": _space_to_depth,
    "nn.depth_to_space": _depth_to_space,
    "nn.max_pool2d": _max_pool,
    "nn.max_pool": _max_pool,
    "nn.avg_pool2d": _average_pool,
    "nn.avg_pool": _average_pool,
    "compat.v1.nn.max_pool": partial(_pool, kind=_max_pool),
    "compat.v1.nn.avg_pool": partial(_pool, kind=_average_pool),
    "nn.conv2d": _conv2d,
    "compat.v1.nn.conv2d": _conv2d,
    "compat.v1.nn.convolution": _conv2d,
    "nn.depthwise_conv2d": _depthwise_conv2d,
    "compat.v1.nn.depthwise_conv2d": _depthwise_conv2d,
    "image.grayscale_to_rgb": _grayscale_to_rgb,
    "image.rgb_to_grayscale": _rgb_to_grayscale,
    "image.rgb_to_yuv": _rgb_to_yuv,
    "image.rgb_to_hsv": _unary(ops.image.rgb_to_hsv),
    "image.hsv_to_rgb": _unary(ops.image.hsv_to_rgb),
    "image.per_image_standardization": _per_image_standardization,
    "image.adjust_contrast": _adjust_contrast,
    "image.adjust_brightness": _adjust_brightness,
    "image.adjust_gamma": _adjust_gamma,
    "image.resize": _resize,
    "image.resize_with_crop_or_pad": _resize_with_crop_or_pad,
    "image.central_crop": _central_crop,
    "image.crop_to_bounding_box": _crop_to_box,
    "image.pad_to_bounding_box": _pad_to_box,
    "image.flip_left_right": lambda image, **_: ops.flip(image, axis=-2),
    "image.flip_up_down": lambda image, **_: ops.flip(image, axis=-3),
    "image.convert_image_dtype": _same,  # of numbers with a point; whole ones: see `tensorflow_layers`
}
"""What each function of TensorFlow is in Keras 3, by the name that Keras 2 writes."""

_ON_SHAPES = {
    *("__operators__.getitem", "__operators__.add", "compat.v1.floor_div", "math.reduce_prod", "identity", "cast"),
    *(f"math.{name}" for name in ("add", "subtract", "multiply", "floordiv", "truediv", "maximum", "minimum")),
    *("concat", "expand_dims", "slice", "squeeze", "stack", "strided_slice", "unstack"),
}
"""Calls that may compute with shapes alone, at once: a few numbers, see `_MOST_SIDES`."""
