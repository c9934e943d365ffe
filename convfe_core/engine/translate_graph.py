"""A traced TensorFlow graph as an ONNX model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.engine.onnx_writer import CHANNELS_FIRST, OnnxWriter, UntranslatableError, Value
from convfe_core.engine.operation_call import OperationCall
from convfe_core.engine.operations import RULES
from convfe_core.machine.onnxruntime_setup import IR_VERSION, OPSET

PICTURES = "pictures"
"""Name of the model's one input."""

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_RULES = {name: rule for names, rule in RULES.items() for name in names.split()}


def translate_graph(graph: Any, folder: Path, weights: Sequence[Any] = ()) -> bytes:
    """Translate a traced function of pictures and weights.

    Maps are computed with their channels first and turned only where an operation wants them otherwise. What comes out
    has its dimensions as in TensorFlow.

    Parameters
    ----------
    graph : tf.ConcreteFunction of pictures, (N, H, W, C), and the weights; its outputs are float32
    folder : where large weights go, in a file that the model names
    weights : arrays or tensors; those that the graph holds itself come besides

    Returns
    -------
    an onnx.ModelProto, its input `PICTURES`, its outputs in the graph's order

    Raises
    ------
    UntranslatableError : an operation, or a setting of one, that is not known here
    OSError : the weights cannot be written
    """
    writer = OnnxWriter(folder)
    picture, *held = graph.inputs
    values = {picture.name: Value(first=writer.add("Transpose", PICTURES, perm=CHANNELS_FIRST))}
    for tensor, weight in zip(held, [*weights, *graph.captured_inputs], strict=True):
        values[tensor.name] = Value(constant=_weight(weight))
    _translate_all(graph.graph, values, writer)
    # An output of its own for each tensor: two may be the same value.
    outputs = [writer.add("Identity", writer.last(values[tensor.name])) for tensor in graph.outputs]
    writer.drop_unread(outputs)
    return _model(picture, writer, outputs)


def _model(picture: Any, writer: OnnxWriter, outputs: Sequence[str]) -> bytes:
    from onnx import TensorProto, helper

    kind = helper.np_dtype_to_tensor_dtype(np.dtype(picture.dtype.as_numpy_dtype))
    inside = helper.make_graph(
        writer.nodes,
        "network",
        [helper.make_tensor_value_info(PICTURES, kind, [None, *picture.shape[1:]])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        writer.initializers,
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return bytes(helper.make_model(inside, opset_imports=opsets, ir_version=IR_VERSION).SerializeToString())


def _translate_all(graph: Any, values: dict[str, Value], writer: OnnxWriter) -> None:
    """Write the operations of a tf.Graph, and note what each of its tensors became, by its name."""
    for operation in graph.get_operations():
        if operation.type != "Placeholder":
            inputs = [values[tensor.name] for tensor in operation.inputs]
            outputs = _translate(operation, inputs, writer)
            values.update(zip((tensor.name for tensor in operation.outputs), outputs, strict=True))


def _translate(operation: Any, inputs: Sequence[Value], writer: OnnxWriter) -> Sequence[Value]:
    """Write one operation; what its outputs became is returned."""
    if operation.type in _CALLS:
        return _translate_function(operation, inputs, writer)
    constant = _constant(operation.outputs[0]) if len(operation.outputs) == 1 else None
    if constant is not None:
        return [Value(constant=constant)]
    if operation.type not in _RULES:
        raise UntranslatableError(operation.type)
    call = OperationCall(operation, inputs, writer)
    found = _RULES[operation.type](call)
    outputs = found if isinstance(found, list) else [found]
    for value in outputs:
        if value not in inputs:  # as it is for what changes nothing
            value.call = call
    return outputs


def _translate_function(call: Any, inputs: Sequence[Value], writer: OnnxWriter) -> Sequence[Value]:
    """Write what a graph calls as a function, such as Keras' convolutions in groups, where it is called."""
    function = call.graph._get_function(call.get_attr("f").name).graph
    values = {tensor.name: value for tensor, value in zip(function.inputs, inputs, strict=True)}
    _translate_all(function, values, writer)
    return [values[tensor.name] for tensor in function.outputs]


def _constant(tensor: Any) -> NDArray[Any] | None:
    """The values of a constant, or of a shape that TensorFlow can tell without running anything."""
    import tensorflow as tf

    if tensor.op.type != "Const" and not tensor.dtype.is_integer:
        return None
    _require_known_kind(tensor.dtype)
    values = tf.get_static_value(tensor)
    return None if values is None else _widened(np.asarray(values))


def _weight(values: Any) -> NDArray[Any]:
    """The values of a tensor or an array of weights, not copied."""
    import tensorflow as tf

    _require_known_kind(tf.as_dtype(values.dtype))
    return _widened(np.asarray(values if isinstance(values, np.ndarray) else memoryview(values)))


def _require_known_kind(kind: Any) -> None:
    """Refuse the values of a tf.DType other than float32, whole numbers and truth."""
    if kind.name != "float32" and not kind.is_integer and not kind.is_bool:
        raise UntranslatableError(f"values that are {kind.name}")


def _widened(values: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers as wide as ONNX wants shapes."""
    return values.astype(np.int64) if values.dtype == np.int32 else values
