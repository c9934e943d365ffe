"""TensorFlow's functions of numbers, shapes and places, in operations of Keras 3.

Arguments are named as TensorFlow does. Imported only where a model is opened, as it imports Keras.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from convfe_core.base.errors import ModelFileError
from convfe_core.keras2.tensorflow_pictures import known_sides


def alike(*values: Any) -> list[Any]:
    """Operands of one type: constants take that of the tensor beside them."""
    kinds = [value.dtype for value in values if keras.utils.is_keras_tensor(value)]
    return [
        value
        if keras.utils.is_keras_tensor(value) or isinstance(value, int | float)
        else np.asarray(value, kinds[0] if kinds else None)
        for value in values
    ]


def axes_of(axis: Any) -> Any:
    if axis is None:
        return None
    axes = tuple(int(one) for one in np.ravel(axis))
    return axes[0] if len(axes) == 1 else axes


def cast(x: Any, dtype: Any) -> Any:
    """Numbers with a point stay float32, which everything here computes with."""
    wanted = np.dtype(dtype).name if dtype != "bfloat16" else "float32"
    return ops.cast(x, "float32" if wanted.startswith("float") else wanted)


def batch_normalization(x: Any, mean: Any, variance: Any, offset: Any, scale: Any, variance_epsilon: float) -> Any:
    """A normalisation by constants, with one factor and one summand."""
    factor = (1.0 if scale is None else np.asarray(scale)) / np.sqrt(np.asarray(variance) + float(variance_epsilon))
    summand = (0.0 if offset is None else np.asarray(offset)) - np.asarray(mean) * factor
    return ops.add(*alike(ops.multiply(*alike(x, factor)), summand))


def add_n(inputs: Any) -> Any:
    total, *others = inputs if isinstance(inputs, list) else [inputs]
    for one in others:
        total = ops.add(*alike(total, one))
    return total


def l2_normalize(x: Any, axis: Any = None, epsilon: float = 1e-12) -> Any:
    squares = ops.sum(ops.square(x), axis=axes_of(axis), keepdims=True)
    return ops.multiply(x, ops.rsqrt(ops.maximum(squares, epsilon)))


def norm(tensor: Any, ord: Any = "euclidean", axis: Any = None, keepdims: Any = None) -> Any:
    if ord not in ("euclidean", 2):
        raise ModelFileError(f"'norm' of order {ord!r}; expected the Euclidean one. Use a Keras layer instead.")
    return ops.sqrt(ops.sum(ops.square(tensor), axis=axes_of(axis), keepdims=bool(keepdims)))


def matmul(a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False) -> Any:
    a, b = alike(a, b)
    return ops.matmul(ops.swapaxes(a, -1, -2) if transpose_a else a, ops.swapaxes(b, -1, -2) if transpose_b else b)


def local_response_normalization(
    input: Any, depth_radius: int = 5, bias: float = 1, alpha: float = 1, beta: float = 0.5
) -> Any:
    """Local response normalisation (AlexNet): each value by the squares of its neighbours among the channels."""
    channels = input.shape[-1]
    padded = ops.pad(ops.square(input), [[0, 0]] * 3 + [[depth_radius, depth_radius]])
    squares = add_n([padded[..., first : first + channels] for first in range(2 * depth_radius + 1)])
    return ops.divide(input, ops.power(bias + alpha * squares, beta))


def one_hot(indices: Any, depth: int, on_value: Any = None, off_value: Any = None, axis: int = -1) -> Any:
    hot = ops.one_hot(indices, int(depth), axis=-1 if axis is None else int(axis))
    if on_value is None and off_value is None:
        return hot
    on, off = 1.0 if on_value is None else float(on_value), 0.0 if off_value is None else float(off_value)
    return ops.add(ops.multiply(hot, on - off), off)


def getitem(tensor: Any, slice_spec: Any, *_: Any) -> Any:
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


def strided_slice(
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


def slice_from(input_: Any, begin: Any, size: Any) -> Any:
    ends = [None if count == -1 else int(first + count) for first, count in zip(begin, size, strict=True)]
    return input_[tuple(slice(int(first), last) for first, last in zip(begin, ends, strict=True))]


def concat(values: Any, axis: Any) -> Any:
    if not isinstance(values, list):
        return values
    if any(isinstance(one, tuple) for one in values):  # shapes that are not all known
        return _as_shape(tuple(side for one in values for side in one))
    return ops.concatenate(alike(*values), axis=int(axis))


def stack(values: Any, axis: int = 0) -> Any:
    values = values if isinstance(values, list) else [values]
    if any(one is None for one in values):
        return tuple(values)
    return ops.stack(alike(*values), axis=int(axis))


def split(value: Any, num_or_size_splits: Any, axis: Any = 0) -> Any:
    axis, sizes = int(axis), np.asarray(num_or_size_splits)
    if sizes.ndim == 0:
        return ops.split(value, int(sizes), axis=axis)
    sizes = sizes.astype(int)
    if (sizes == -1).any():
        sizes[sizes == -1] = value.shape[axis] - sizes[sizes != -1].sum()
    return ops.split(value, np.cumsum(sizes)[:-1].tolist(), axis=axis)


def squeeze(input: Any, axis: Any = None, squeeze_dims: Any = None) -> Any:
    return ops.squeeze(input, axis=axes_of(squeeze_dims if axis is None else axis))


def reshape(tensor: Any, shape: Any) -> Any:
    sides = [-1 if side is None or keras.utils.is_keras_tensor(side) else int(side) for side in shape]
    known = tensor.shape[0] is None and sides.count(-1) > 1 and sides[0] == -1
    if not known:
        return ops.reshape(tensor, sides)
    return keras.layers.Reshape(sides[1:])(tensor)  # which leaves the number of pictures open


def transpose(a: Any, perm: Any = None) -> Any:
    return ops.transpose(a, None if perm is None else [int(axis) for axis in perm])


def pad(tensor: Any, paddings: Any, mode: str = "CONSTANT", constant_values: Any = 0) -> Any:
    widths = np.asarray(paddings).astype(int).tolist()
    if str(mode).lower() == "constant":
        return ops.pad(tensor, widths, constant_values=float(constant_values or 0))
    return ops.pad(tensor, widths, mode=str(mode).lower())


def gather(params: Any, indices: Any, _validate: Any = None, axis: Any = None, batch_dims: int = 0) -> Any:
    if batch_dims:
        raise ModelFileError("'gather' with batch_dims; expected none. Use a Keras layer instead.")
    return ops.take(params, np.asarray(indices), axis=0 if axis is None else int(axis))


def shape_of(input: Any, *_: Any) -> Any:
    """The sides of a tensor: an array where all are known, else a tuple with None."""
    return _as_shape(tuple(input.shape))


def size_of(input: Any, *_: Any) -> Any:
    return np.prod(known_sides(input.shape))
