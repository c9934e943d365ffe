"""What each TensorFlow operation is in ONNX."""

from __future__ import annotations

import numpy as np

from convfe_core.engine.composed_layers import (
    composed,
    dense,
    factors_and_summands,
    gelu,
    layer_normalisation,
)
from convfe_core.engine.onnx_writer import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    MAP_RANK,
    UntranslatableError,
    Value,
    dimensions_first,
)
from convfe_core.engine.operation_call import OperationCall, OperationRule
from convfe_core.engine.sliding_windows import (
    translate_convolution,
    translate_pooling,
    translate_resizing,
    translate_transposed_convolution,
)


def _cell_by_cell(*operations: str) -> OperationRule:
    """One ONNX operation after the other, the first one with all inputs."""

    def rule(call: OperationCall) -> Value:
        name, *others = operations
        found = call.writer.add(name, *call.names())
        for other in others:
            found = call.writer.add(other, found)
        return call.made(found)

    return rule


def _same(call: OperationCall) -> Value:
    return call.inputs[0]


def _all_same(call: OperationCall) -> list[Value]:
    return list(call.inputs)


def _reshaped(call: OperationCall) -> Value:
    """Another shape; of constants at once."""
    value, shape = call.inputs[0], call.operation.outputs[0].shape
    if value.constant is not None and shape.is_fully_defined():
        return Value(constant=value.constant.reshape(shape))
    if call.operation.type == "Reshape":
        names = map(call.writer.last, call.inputs)
        return Value(last=call.writer.add("Reshape", *names, allowzero=1))
    if call.operation.type == "ExpandDims":
        axes = [int(axis) % (call.rank() + 1) for axis in np.ravel(call.known(1))]
        return Value(last=call.writer.add("Unsqueeze", call.writer.last(value), call.writer.numbers(*axes)))
    axes = [axis % call.rank() for axis in call.setting("squeeze_dims")]
    if not axes:
        raise UntranslatableError("Squeeze of dimensions that are not named")
    return Value(last=call.writer.add("Squeeze", call.writer.last(value), call.writer.numbers(*axes)))


def _bias_add(call: OperationCall) -> Value:
    call.require_channels_last()
    return call.made(call.writer.add("Add", *call.names()))


def _relu6(call: OperationCall) -> Value:
    limits = (call.writer.constant(limit, np.float32) for limit in (0, 6))
    return call.made(call.writer.add("Clip", *call.names(), *limits))


def _sum(call: OperationCall) -> Value:
    """A sum of tensors of one shape."""
    first, *others = call.names()
    for other in others:
        first = call.writer.add("Add", first, other)
    return call.made(first)


def _squared_difference(call: OperationCall) -> Value:
    difference = call.writer.add("Sub", *call.names())
    return call.made(call.writer.add("Mul", difference, difference))


def _square(call: OperationCall) -> Value:
    (name,) = call.names()
    return call.made(call.writer.add("Mul", name, name))


def _expm1(call: OperationCall) -> Value:
    one = call.writer.constant(1, np.float32)
    return call.made(call.writer.add("Sub", call.writer.add("Exp", *call.names()), one))


def _zeros(call: OperationCall) -> Value:
    if call.operation.outputs[0].dtype.name != "float32":
        raise UntranslatableError("zeros other than float32")
    return call.made(call.writer.add("ConstantOfShape", call.writer.add("Shape", *call.names())))


def _softmax(call: OperationCall) -> Value:
    axis = CHANNELS_FIRST.index(MAP_RANK - 1) if call.on_maps else -1
    return call.made(call.writer.add(call.operation.type, *call.names(), axis=axis))


def _erfc(call: OperationCall) -> Value:
    one = call.writer.constant(1, np.float32)
    return call.made(call.writer.add("Sub", one, call.writer.add("Erf", *call.names())))


def _leaky_relu(call: OperationCall) -> Value:
    return call.made(call.writer.add("LeakyRelu", *call.names(), alpha=call.setting("alpha")))


def _cast(call: OperationCall) -> Value:
    from onnx import TensorProto

    kinds = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT64, "int64": TensorProto.INT64}
    kind = call.operation.outputs[0].dtype.name
    if kind not in kinds:
        raise UntranslatableError(f"a cast to {kind}")
    return call.made(call.writer.add("Cast", *call.names(), to=kinds[kind]))


def _padding(call: OperationCall) -> Value:
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


def _reduction(call: OperationCall) -> Value:
    axes, kept = call.axes(1), bool(call.setting("keep_dims"))
    value, kind = call.inputs[0], _REDUCTIONS[call.operation.type]
    if not axes:  # which ONNX takes for all of them
        return value
    turned = value.is_first and (kept or set(axes) in ({1, 2}, {3}, {1, 2, 3}))
    if turned:
        named = call.writer.numbers(*sorted(dimensions_first(axes)))
        found = call.writer.add(kind, call.writer.first(value), named, keepdims=int(kept))
        return Value(first=found) if kept else Value(last=found)
    return Value(last=call.writer.add(kind, call.writer.last(value), call.writer.numbers(*axes), keepdims=int(kept)))


def _concatenation(call: OperationCall) -> Value:
    *values, axis_value = call.inputs
    if axis_value.constant is None:
        raise UntranslatableError("a concatenation along an unknown dimension")
    axis = int(axis_value.constant) % call.rank()
    if any(value.is_first for value in values) and call.rank() == MAP_RANK:
        names = [call.writer.first(value) for value in values]
        return Value(first=call.writer.add("Concat", *names, axis=dimensions_first([axis])[0]))
    return Value(last=call.writer.add("Concat", *map(call.writer.last, values), axis=axis))


def _split(call: OperationCall) -> list[Value]:
    """As many equal parts as there are outputs."""
    value, parts = call.inputs[1], call.setting("num_split")
    axis, turned = int(call.known(0)) % call.rank(1), value.is_first
    whole = call.writer.first(value) if turned else call.writer.last(value)
    settings = {"axis": dimensions_first([axis])[0] if turned else axis, "num_outputs": parts}
    names = call.writer.add_several(parts, "Split", whole, **settings)
    return [Value(first=name) if turned else Value(last=name) for name in names]


def _einsum(call: OperationCall) -> Value:
    return Value(last=call.writer.add("Einsum", *map(call.writer.last, call.inputs), equation=call.setting("equation")))


def _shape(call: OperationCall) -> Value:
    value = call.inputs[0]
    if not value.is_first:
        return Value(last=call.writer.add("Shape", call.writer.last(value)))
    shape = call.writer.add("Shape", call.writer.first(value))
    return Value(last=call.writer.add("Gather", shape, call.writer.numbers(*CHANNELS_LAST)))


def _packed(call: OperationCall) -> Value:
    axis = call.setting("axis")
    parts = [call.writer.add("Unsqueeze", call.writer.last(value), call.writer.numbers(axis)) for value in call.inputs]
    return Value(last=call.writer.add("Concat", *parts, axis=axis))


def _gathered(call: OperationCall) -> Value:
    """Values at known places: of computed ones onnxruntime would take -1 for the last, where TensorFlow fails."""
    if call.setting("batch_dims"):
        raise UntranslatableError("GatherV2 within a batch")
    places = call.writer.constant(call.known(1))
    return Value(last=call.writer.add("Gather", call.writer.last(call.inputs[0]), places, axis=int(call.known(2))))


def _sliced(call: OperationCall) -> Value:
    """``x[begin:end:stride]``; a dimension of which one value is taken goes."""
    if call.setting("new_axis_mask"):
        raise UntranslatableError("a slice with new dimensions")
    begins, ends, strides = (call.known(k).tolist() for k in (1, 2, 3))
    masks = [call.setting(f"{name}_mask") for name in ("begin", "end", "shrink_axis")]
    spans: list[tuple[int, int, int, int]] = []
    gone: list[int] = []
    dots = call.setting("ellipsis_mask").bit_length() - 1
    for k, (begin, end, stride) in enumerate(zip(begins, ends, strides, strict=True)):
        if k == dots:
            continue
        axis = k if k < dots or dots < 0 else call.rank() - len(begins) + k
        free_begin, free_end, single = (mask >> k & 1 for mask in masks)
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
        rows = (starts, stops, dimensions_first(axes) if turned else axes, steps)
        found = call.writer.add("Slice", found, *(call.writer.numbers(*row) for row in rows))
    if gone:
        found = call.writer.add("Squeeze", found, call.writer.numbers(*gone))
    return Value(first=found) if turned else Value(last=found)


_FAR = 2**31 - 1


def _transposed(call: OperationCall) -> Value:
    order = [int(axis) for axis in call.known(1)]
    if order == sorted(order):
        return call.inputs[0]
    return Value(last=call.writer.add("Transpose", call.writer.last(call.inputs[0]), perm=order))


def _matrix_product(call: OperationCall) -> Value:
    sides = ("transpose_a", "transpose_b") if call.operation.type == "MatMul" else ("adj_x", "adj_y")
    names = []
    for k, (value, side) in enumerate(zip(call.inputs, sides, strict=True)):
        *batch, rows, columns = range(call.rank(k))
        name = call.writer.last(value)
        names.append(call.writer.add("Transpose", name, perm=[*batch, columns, rows]) if call.setting(side) else name)
    return Value(last=call.writer.add("MatMul", *names))


def _as_given(operation: str) -> OperationRule:
    """One ONNX operation that takes the same inputs, in TensorFlow's order of dimensions."""

    def rule(call: OperationCall) -> Value:
        return Value(last=call.writer.add(operation, *map(call.writer.last, call.inputs)))

    return rule


def _reversed(call: OperationCall) -> Value:
    axes, value = call.axes(1), call.inputs[0]
    turned = value.is_first
    found = call.writer.first(value) if turned else call.writer.last(value)
    for axis in dimensions_first(axes) if turned else axes:
        rows = (call.writer.numbers(number) for number in (-1, -_FAR, axis, -1))
        found = call.writer.add("Slice", found, *rows)
    return Value(first=found) if turned else Value(last=found)


RULES: dict[str, OperationRule] = {
    "Identity StopGradient": _same,
    "IdentityN": _all_same,
    "Reshape": composed(dense, otherwise=_reshaped),
    "Squeeze ExpandDims": _reshaped,
    "Abs": _cell_by_cell("Abs"),
    "AddV2 Add": composed(layer_normalisation, factors_and_summands, otherwise=_cell_by_cell("Add")),
    "Elu": _cell_by_cell("Elu"),
    "Exp": _cell_by_cell("Exp"),
    "Greater": _cell_by_cell("Greater"),
    "GreaterEqual": _cell_by_cell("GreaterOrEqual"),
    "Less": _cell_by_cell("Less"),
    "LessEqual": _cell_by_cell("LessOrEqual"),
    "Log": _cell_by_cell("Log"),
    "Maximum": _cell_by_cell("Max"),
    "Minimum": _cell_by_cell("Min"),
    "Mul": composed(gelu, otherwise=_cell_by_cell("Mul")),
    "Neg": _cell_by_cell("Neg"),
    "Pow": _cell_by_cell("Pow"),
    "RealDiv": _cell_by_cell("Div"),
    "Relu": _cell_by_cell("Relu"),
    "Rsqrt": _cell_by_cell("Sqrt", "Reciprocal"),
    "SelectV2": _cell_by_cell("Where"),
    "Selu": _cell_by_cell("Selu"),
    "Sigmoid": _cell_by_cell("Sigmoid"),
    "Softplus": _cell_by_cell("Softplus"),
    "Softsign": _cell_by_cell("Softsign"),
    "Sqrt": _cell_by_cell("Sqrt"),
    "Sub": _cell_by_cell("Sub"),
    "Tanh": _cell_by_cell("Tanh"),
    "AddN": _sum,
    "BiasAdd": _bias_add,
    "Erfc": _erfc,
    "Expm1": _expm1,
    "LeakyRelu": _leaky_relu,
    "LogSoftmax Softmax": _softmax,
    "Relu6": _relu6,
    "Square": _square,
    "SquaredDifference": _squared_difference,
    "ZerosLike": _zeros,
    "Cast": _cast,
    "Conv2D DepthwiseConv2dNative": translate_convolution,
    "Conv2DBackpropInput": translate_transposed_convolution,
    "AvgPool MaxPool": translate_pooling,
    "ResizeBilinear ResizeNearestNeighbor": translate_resizing,
    "Pad PadV2": _padding,
    "Max Mean Min Prod Sum": _reduction,
    "BatchMatMulV2 MatMul": _matrix_product,
    "BroadcastTo": _as_given("Expand"),
    "ConcatV2": _concatenation,
    "Einsum": _einsum,
    "GatherV2": _gathered,
    "Pack": _packed,
    "ReverseV2": _reversed,
    "Shape": _shape,
    "Split": _split,
    "StridedSlice": _sliced,
    "Tile": _as_given("Tile"),
    "Transpose": _transposed,
}
"""By names of TensorFlow's operations, one or several."""
