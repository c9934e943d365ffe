"""What each TensorFlow operation is in ONNX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.engine.onnx_writer import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    MAP_RANK,
    OnnxWriter,
    UntranslatableError,
    Value,
    dimensions_first,
)


@dataclass(frozen=True, eq=False)
class Call:
    """One operation of a TensorFlow graph, to be written.

    Attributes
    ----------
    operation : tf.Operation
    inputs : what its inputs became, in their order
    """

    operation: Any
    inputs: Sequence[Value]
    writer: OnnxWriter

    def setting(self, name: str) -> Any:
        """An attribute of the operation, text as str."""
        value = self.operation.get_attr(name)
        return value.decode() if isinstance(value, bytes) else value

    def known(self, position: int) -> NDArray[Any]:
        """The values of an input that must be constant."""
        values = self.inputs[position].constant
        if values is None:
            raise UntranslatableError(f"{self.operation.type} with an input that is no constant")
        return values

    def rank(self, position: int = 0) -> int:
        """How many dimensions an input has."""
        rank = self.operation.inputs[position].shape.rank
        if rank is None:
            raise UntranslatableError(f"{self.operation.type} of an unknown shape")
        return int(rank)

    def axes(self, position: int) -> list[int]:
        """Dimensions of the first input, as a constant input names them, counted from the front."""
        return [int(axis) % self.rank() for axis in np.ravel(self.known(position))]

    @property
    def on_maps(self) -> bool:
        """Whether the inputs can be taken with the channels first: maps, one of them made so, and constants."""
        given = [(value, self.rank(k)) for k, value in enumerate(self.inputs)]
        return any(value.is_first for value, _ in given) and all(
            value.constant is not None or rank in (0, MAP_RANK) for value, rank in given
        )

    def names(self) -> list[str]:
        """The inputs in the order of dimensions that they are taken in."""
        take = self.writer.first if self.on_maps else self.writer.last
        return [take(value) if self.rank(k) else self.writer.last(value) for k, value in enumerate(self.inputs)]

    def made(self, name: str) -> Value:
        """A value in the order of dimensions that the inputs were taken in."""
        return Value(first=name) if self.on_maps else Value(last=name)


Rule = Callable[[Call], Value]


def _cell_by_cell(*operations: str) -> Rule:
    """One ONNX operation after the other, the first one with all inputs."""

    def rule(call: Call) -> Value:
        name, *others = operations
        found = call.writer.add(name, *call.names())
        for other in others:
            found = call.writer.add(other, found)
        return call.made(found)

    return rule


def _same(call: Call) -> Value:
    return call.inputs[0]


def _reshaped(call: Call) -> Value:
    """Another shape; of constants at once."""
    value, shape = call.inputs[0], call.operation.outputs[0].shape
    if value.constant is not None and shape.is_fully_defined():
        return Value(constant=value.constant.reshape(shape))
    if call.operation.type == "Reshape":
        return Value(last=call.writer.add("Reshape", call.writer.last(value), call.writer.last(call.inputs[1])))
    if call.operation.type == "ExpandDims":
        axes = [int(axis) % (call.rank() + 1) for axis in np.ravel(call.known(1))]
        return Value(last=call.writer.add("Unsqueeze", call.writer.last(value), call.writer.numbers(*axes)))
    axes = [axis % call.rank() for axis in call.setting("squeeze_dims")]
    if not axes:
        raise UntranslatableError("Squeeze of dimensions that are not named")
    return Value(last=call.writer.add("Squeeze", call.writer.last(value), call.writer.numbers(*axes)))


def _bias_add(call: Call) -> Value:
    if call.setting("data_format") != "NHWC":
        raise UntranslatableError("channels first")
    return call.made(call.writer.add("Add", *call.names()))


def _relu6(call: Call) -> Value:
    limits = (call.writer.constant(limit, np.float32) for limit in (0, 6))
    return call.made(call.writer.add("Clip", *call.names(), *limits))


def _sum(call: Call) -> Value:
    """A sum of tensors of one shape."""
    first, *others = call.names()
    for other in others:
        first = call.writer.add("Add", first, other)
    return call.made(first)


def _squared_difference(call: Call) -> Value:
    difference = call.writer.add("Sub", *call.names())
    return call.made(call.writer.add("Mul", difference, difference))


def _erfc(call: Call) -> Value:
    one = call.writer.constant(1, np.float32)
    return call.made(call.writer.add("Sub", one, call.writer.add("Erf", *call.names())))


def _leaky_relu(call: Call) -> Value:
    return call.made(call.writer.add("LeakyRelu", *call.names(), alpha=call.setting("alpha")))


def _cast(call: Call) -> Value:
    from onnx import TensorProto

    kinds = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT64, "int64": TensorProto.INT64}
    kind = call.operation.outputs[0].dtype.name
    if kind not in kinds:
        raise UntranslatableError(f"a cast to {kind}")
    return call.made(call.writer.add("Cast", *call.names(), to=kinds[kind]))


def _window(call: Call, sizes: Sequence[int]) -> dict[str, Any]:
    """Strides and margins of what slides over a map.

    Parameters
    ----------
    sizes : of the window, down and across, its gaps counted
    """
    if call.setting("data_format") != "NHWC":
        raise UntranslatableError("channels first")
    padding, strides = call.setting("padding"), list(call.setting("strides"))[1:3]
    if padding == "VALID":
        return {"strides": strides}
    if padding != "SAME":
        raise UntranslatableError(f"padding {padding}")
    if strides == [1, 1] and all(size % 2 for size in sizes):
        return {"strides": strides, "pads": [size // 2 for size in sizes] * 2}
    return {"strides": strides, "auto_pad": "SAME_UPPER"}


def _convolution(call: Call) -> Value:
    kernel = call.known(1)
    rows, columns, taken, made = kernel.shape
    dilations = list(call.setting("dilations"))[1:3]
    window = _window(call, [(size - 1) * gap + 1 for size, gap in zip((rows, columns), dilations, strict=True)])
    if call.operation.type == "DepthwiseConv2dNative":
        groups = taken
        weights = call.writer.constant(_turned(kernel, (2, 3, 0, 1)).reshape(taken * made, 1, rows, columns))
    else:
        channels = call.operation.inputs[0].shape[-1]
        if channels is None:
            raise UntranslatableError("a convolution of unknown channels")
        groups = channels // taken
        weights = call.writer.constant(_turned(kernel, (3, 2, 0, 1)))
    picture = call.writer.first(call.inputs[0])
    return Value(
        first=call.writer.add(
            "Conv",
            picture,
            weights,
            group=groups,
            kernel_shape=[rows, columns],
            dilations=dilations,
            **window,
        )
    )


def _turned(kernel: NDArray[Any], order: Sequence[int]) -> NDArray[Any]:
    """A kernel with its dimensions in another order, by TensorFlow, which takes a tenth of NumPy's time for it."""
    import tensorflow as tf

    return np.asarray(memoryview(tf.transpose(kernel, order)))


def _pooling(call: Call) -> Value:
    size = list(call.setting("ksize"))
    if size[0] != 1 or size[3] != 1:
        raise UntranslatableError("pooling over pictures or channels")
    kind = "MaxPool" if call.operation.type == "MaxPool" else "AveragePool"
    picture = call.writer.first(call.inputs[0])
    return Value(first=call.writer.add(kind, picture, kernel_shape=size[1:3], **_window(call, size[1:3])))


def _padding(call: Call) -> Value:
    widths = call.known(1)
    fill = float(call.known(2)) if call.operation.type == "PadV2" else 0.0
    turned = call.inputs[0].is_first
    order = CHANNELS_FIRST if turned else range(len(widths))
    before, after = ([int(widths[k][side]) for k in order] for side in (0, 1))
    value = call.writer.first(call.inputs[0]) if turned else call.writer.last(call.inputs[0])
    edges, filled = call.writer.numbers(*before, *after), call.writer.constant(fill, np.float32)
    found = call.writer.add("Pad", value, edges, filled)
    return Value(first=found) if turned else Value(last=found)


_REDUCTIONS = {"Mean": "ReduceMean", "Max": "ReduceMax", "Min": "ReduceMin", "Sum": "ReduceSum", "Prod": "ReduceProd"}


def _reduction(call: Call) -> Value:
    axes, kept = call.axes(1), bool(call.setting("keep_dims"))
    value, kind = call.inputs[0], _REDUCTIONS[call.operation.type]
    turned = value.is_first and (kept or set(axes) in ({1, 2}, {3}, {1, 2, 3}))
    if turned:
        named = call.writer.numbers(*sorted(dimensions_first(axes)))
        found = call.writer.add(kind, call.writer.first(value), named, keepdims=int(kept))
        return Value(first=found) if kept else Value(last=found)
    return Value(last=call.writer.add(kind, call.writer.last(value), call.writer.numbers(*axes), keepdims=int(kept)))


def _concatenation(call: Call) -> Value:
    *values, axis_value = call.inputs
    if axis_value.constant is None:
        raise UntranslatableError("a concatenation along an unknown dimension")
    axis = int(axis_value.constant) % call.rank()
    if any(value.is_first for value in values) and call.rank() == MAP_RANK:
        names = [call.writer.first(value) for value in values]
        return Value(first=call.writer.add("Concat", *names, axis=dimensions_first([axis])[0]))
    return Value(last=call.writer.add("Concat", *map(call.writer.last, values), axis=axis))


def _shape(call: Call) -> Value:
    value = call.inputs[0]
    if not value.is_first:
        return Value(last=call.writer.add("Shape", call.writer.last(value)))
    shape = call.writer.add("Shape", call.writer.first(value))
    return Value(last=call.writer.add("Gather", shape, call.writer.numbers(*CHANNELS_LAST)))


def _packed(call: Call) -> Value:
    axis = call.setting("axis")
    parts = [call.writer.add("Unsqueeze", call.writer.last(value), call.writer.numbers(axis)) for value in call.inputs]
    return Value(last=call.writer.add("Concat", *parts, axis=axis))


def _gathered(call: Call) -> Value:
    if call.setting("batch_dims"):
        raise UntranslatableError("GatherV2 within a batch")
    axis = int(call.known(2))
    return Value(last=call.writer.add("Gather", *map(call.writer.last, call.inputs[:2]), axis=axis))


def _sliced(call: Call) -> Value:
    """``x[begin:end:stride]``; a dimension of which one value is taken goes."""
    if call.setting("ellipsis_mask") or call.setting("new_axis_mask"):
        raise UntranslatableError("a slice with new dimensions")
    begins, ends, strides = (call.known(k).tolist() for k in (1, 2, 3))
    masks = [call.setting(f"{name}_mask") for name in ("begin", "end", "shrink_axis")]
    spans: list[tuple[int, int, int, int]] = []
    gone: list[int] = []
    for axis, (begin, end, stride) in enumerate(zip(begins, ends, strides, strict=True)):
        free_begin, free_end, single = (mask >> axis & 1 for mask in masks)
        if stride <= 0:
            raise UntranslatableError("a slice that goes backwards")
        if single:
            gone.append(axis)
            spans.append((axis, begin, begin + 1 if begin != -1 else _FAR, 1))
        elif not (free_begin and free_end and stride == 1):
            spans.append((axis, 0 if free_begin else begin, _FAR if free_end else end, stride))
    value = call.inputs[0]
    turned = value.is_first and not gone
    found = call.writer.first(value) if turned else call.writer.last(value)
    if spans:
        axes, starts, stops, steps = zip(*spans, strict=True)
        axes = dimensions_first(axes) if turned else axes
        found = call.writer.add("Slice", found, *(call.writer.numbers(*row) for row in (starts, stops, axes, steps)))
    if gone:
        found = call.writer.add("Squeeze", found, call.writer.numbers(*gone))
    return Value(first=found) if turned else Value(last=found)


_FAR = 2**31 - 1


def _transposed(call: Call) -> Value:
    order = [int(axis) for axis in call.known(1)]
    return Value(last=call.writer.add("Transpose", call.writer.last(call.inputs[0]), perm=order))


def _matrix_product(call: Call) -> Value:
    names = [
        call.writer.add("Transpose", call.writer.last(value), perm=[1, 0])
        if call.setting(f"transpose_{side}")
        else call.writer.last(value)
        for value, side in zip(call.inputs, "ab", strict=True)
    ]
    return Value(last=call.writer.add("MatMul", *names))


def _reversed(call: Call) -> Value:
    axes, value = call.axes(1), call.inputs[0]
    turned = value.is_first
    found = call.writer.first(value) if turned else call.writer.last(value)
    for axis in dimensions_first(axes) if turned else axes:
        rows = (call.writer.numbers(number) for number in (-1, -_FAR, axis, -1))
        found = call.writer.add("Slice", found, *rows)
    return Value(first=found) if turned else Value(last=found)


RULES: dict[str, Rule] = {
    "Identity StopGradient": _same,
    "Reshape Squeeze ExpandDims": _reshaped,
    "Abs": _cell_by_cell("Abs"),
    "AddV2 Add": _cell_by_cell("Add"),
    "Exp": _cell_by_cell("Exp"),
    "Maximum": _cell_by_cell("Max"),
    "Minimum": _cell_by_cell("Min"),
    "Mul": _cell_by_cell("Mul"),
    "Neg": _cell_by_cell("Neg"),
    "RealDiv": _cell_by_cell("Div"),
    "Relu": _cell_by_cell("Relu"),
    "Rsqrt": _cell_by_cell("Sqrt", "Reciprocal"),
    "Sigmoid": _cell_by_cell("Sigmoid"),
    "Softplus": _cell_by_cell("Softplus"),
    "Sqrt": _cell_by_cell("Sqrt"),
    "Sub": _cell_by_cell("Sub"),
    "Tanh": _cell_by_cell("Tanh"),
    "AddN": _sum,
    "BiasAdd": _bias_add,
    "Erfc": _erfc,
    "LeakyRelu": _leaky_relu,
    "Relu6": _relu6,
    "SquaredDifference": _squared_difference,
    "Cast": _cast,
    "Conv2D DepthwiseConv2dNative": _convolution,
    "AvgPool MaxPool": _pooling,
    "Pad PadV2": _padding,
    "Max Mean Min Prod Sum": _reduction,
    "ConcatV2": _concatenation,
    "GatherV2": _gathered,
    "MatMul": _matrix_product,
    "Pack": _packed,
    "ReverseV2": _reversed,
    "Shape": _shape,
    "StridedSlice": _sliced,
    "Transpose": _transposed,
}
