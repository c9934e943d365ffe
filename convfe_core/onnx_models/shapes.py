"""The shape of every tensor of an ONNX graph for one size of picture, found without running it.

The graph is walked once. What is computed from shapes alone, as exporters write it out for every reshape, is computed
on the way, so that no shape stays open that the size of the picture settles. All sizes are bounded before onnxruntime
makes a session, which would compute what is constant at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.base.errors import ModelFileError
from convfe_core.machine.memory import room_mb
from convfe_core.onnx_models.opening import MOST_KNOWN, OnnxGraph

Sides = tuple[int, ...]

MOST_PER_PIXEL = 1_024
"""Values that may be held at once for each pixel of a picture; VGG, whose maps are the largest, holds 128."""
MOST_OPERATIONS_PER_PIXEL = 20_000_000
"""Multiplications and additions for each pixel; ViT-g, with 1,100 million weights, takes 11 million."""
SMALLEST_PICTURE = 128 * 128
"""Pixels that a picture counts as at least: some layers hold the same for every picture."""
SPARE_CONSTANTS = 1 << 24
"""Values that may be made of nothing, beside some for each weight."""
_PER_WEIGHT = 4

_SIZES = """
Abs Add And Cast CastLike Ceil Clip Compress Concat ConstantOfShape CumSum Div Equal Exp Expand Flatten Floor Gather
GatherElements GatherND Greater GreaterOrEqual Identity Less LessOrEqual Log Max Min Mod Mul Neg NonZero Not Or Pow
Range Reciprocal ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Relu Reshape Round ScatterElements ScatterND Sign
Size Slice Split Sqrt Squeeze Sub Sum Tile Transpose Trilu Unsqueeze Where Xor
"""
_GROWING = ("ConstantOfShape", "Expand", "Range", "Tile")
_FOLLOWED = frozenset(_SIZES.split())
"""Operations that exporters compute sizes with."""


@dataclass(frozen=True, eq=False)
class Shapes:
    """What is known of a graph for one size of picture.

    Attributes
    ----------
    of : the shape of every tensor that has one; others depend on what the picture shows
    values : of small tensors that are the same for every picture of this size
    from_picture : names of the tensors that are computed from the picture
    held : the most values that are held at once for one picture, weights left out
    operations : by tensor, how many multiplications and additions make it
    """

    of: dict[str, Sides]
    values: dict[str, NDArray[Any]]
    from_picture: frozenset[str]
    held: int
    operations: dict[str, int]


@dataclass(eq=False)
class _Walk:
    """Where a walk through a graph has got to."""

    graph: OnnxGraph
    types: dict[str, Any]
    shapes: dict[str, Sides]
    values: dict[str, NDArray[Any]]
    from_picture: set[str]
    operations: dict[str, int] = field(default_factory=dict)


def infer_shapes(graph: OnnxGraph, height: int, width: int, nodes: Sequence[Any] | None = None) -> Shapes:
    """Find the shape of every tensor for pictures of one size.

    Parameters
    ----------
    nodes : the operations that are asked about, with all that they need; every one where nothing is said

    Raises
    ------
    ModelFileError : layers that do not fit together at this size, or that make far too much of it
    """
    from onnx import helper, numpy_helper

    picture = graph.picture
    given = picture.shape(height, width)
    kind = helper.np_dtype_to_tensor_dtype(picture.dtype)
    walk = _Walk(
        graph=graph,
        types={picture.name: helper.make_tensor_type_proto(kind, given)},
        shapes={picture.name: given},
        values={},
        from_picture={picture.name},
    )
    for name, tensor in graph.weights.items():
        walk.types[name] = helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))
        walk.shapes[name] = tuple(tensor.dims)
        if math.prod(tensor.dims) <= MOST_KNOWN and tensor.data_type in _whole_numbers_and_floats():
            walk.values[name] = numpy_helper.to_array(tensor)
    nodes = graph.nodes if nodes is None else nodes
    last_use = {name: position for position, node in enumerate(nodes) for name in node.input}
    held = peak = math.prod(given)
    constants = work = 0
    pixels = max(height * width, SMALLEST_PICTURE) * given[0]
    budget = SPARE_CONSTANTS + _PER_WEIGHT * graph.count_numbers()
    most = min(MOST_PER_PIXEL * pixels, int(max(room_mb(), 0) * 2**20 / 4))
    for position, node in enumerate(nodes):
        _step(walk, node)
        made = sum(math.prod(walk.shapes.get(name, ())) for name in node.output if name)
        work += sum(walk.operations.get(name, 0) for name in node.output)
        if any(name in walk.from_picture for name in node.output):
            held += made
            peak = max(peak, held)
            if peak > most:
                raise _too_much(graph, node, peak, most, f"a picture of {width} x {height} pixels")
        else:
            constants += made
            if constants > budget:
                raise _too_much(graph, node, constants, budget, "its weights")
        if work > MOST_OPERATIONS_PER_PIXEL * pixels:
            raise ModelFileError(
                f"{graph.file}: takes over {work / 1e9:,.0f} billion operations for a picture of {width} x {height} "
                f"pixels; expected at most {MOST_OPERATIONS_PER_PIXEL * pixels / 1e9:,.0f} billion."
            )
        for name in set(node.input):
            if last_use[name] == position and name in walk.from_picture:
                held -= math.prod(walk.shapes.get(name, ()))
    return Shapes(walk.shapes, walk.values, frozenset(walk.from_picture), peak // given[0], walk.operations)


def _too_much(graph: OnnxGraph, node: Any, values: int, most: int, what: str) -> ModelFileError:
    return ModelFileError(
        f"{graph.file}: {node.op_type} {node.output[0][:60]!r} makes {values * 4 / 2**20:,.0f} MB of {what}; expected "
        f"at most {most * 4 / 2**20:,.0f} MB."
    )


def _step(walk: _Walk, node: Any) -> None:
    """Add what a node makes to what is known."""
    inputs = [name for name in node.input if name]
    if any(name in walk.from_picture for name in inputs) and node.op_type not in ("Shape", "Size"):
        walk.from_picture.update(name for name in node.output if name)
    if any(name not in walk.types for name in inputs):
        return
    if node.op_type == "Shape" and inputs[0] in walk.shapes:
        _keep(walk, node.output[0], _shape_value(node, walk.shapes[inputs[0]]))
        return
    if node.op_type == "Constant":
        _keep(walk, node.output[0], _constant(node))
        return
    _check_channels(walk, node)
    _infer(walk, node, inputs)
    known = all(name in walk.values for name in inputs)
    outputs = [name for name in node.output if name]
    if outputs and any(name in walk.shapes for name in outputs):
        walk.operations[outputs[0]] = _operations_of(walk, node)
    small = all(
        math.prod(walk.shapes[name]) <= MOST_KNOWN if name in walk.shapes else node.op_type not in _GROWING
        for name in outputs
    )
    if known and small and node.op_type in _FOLLOWED:
        for name, value in zip(outputs, _compute(walk, node), strict=True):
            _keep(walk, name, value)


def _check_channels(walk: _Walk, node: Any) -> None:
    """Make sure that a kernel takes as many channels as there are, which onnx leaves to whoever runs it."""
    if node.op_type not in KERNEL or any(name not in walk.shapes for name in node.input[:4]):
        return
    given, kernel = walk.shapes[node.input[0]], walk.shapes[node.input[KERNEL[node.op_type]]]
    groups = next((one.i for one in node.attribute if one.name == "group"), 1)
    taken = kernel[0] if node.op_type == "ConvTranspose" else kernel[1] * groups
    if len(given) > 1 and given[1] != taken:
        raise ModelFileError(
            f"{walk.graph.file}: {node.op_type} {node.output[0][:60]!r} takes {taken} channels. Received: {given[1]}."
        )


def _infer(walk: _Walk, node: Any, inputs: Sequence[str]) -> None:
    """Have onnx tell the shapes of what a node makes."""
    from onnx import defs, numpy_helper, shape_inference

    version = walk.graph.opset.get("", walk.graph.opset.get("ai.onnx", 1))
    try:
        schema = defs.get_schema(node.op_type, version, "")
        found = shape_inference.infer_node_outputs(
            schema,
            node,
            {name: walk.types[name] for name in inputs},
            {name: numpy_helper.from_array(walk.values[name], name) for name in inputs if name in walk.values},
            opset_imports=list(walk.graph.proto.opset_import),
            ir_version=walk.graph.proto.ir_version,
        )
    except Exception as error:  # onnx raises several kinds, some of them without a class of their own
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise ModelFileError(
            f"{walk.graph.file}: {node.op_type} {node.output[0][:60]!r} does not fit what enters it ({reason})."
        ) from error
    for name, kind in found.items():
        if not kind.HasField("tensor_type"):
            continue
        sides = kind.tensor_type.shape.dim if kind.tensor_type.HasField("shape") else None
        if sides is None or any(not side.HasField("dim_value") for side in sides):
            continue
        walk.types[name] = kind
        walk.shapes[name] = tuple(int(side.dim_value) for side in sides)


def _operations_of(walk: _Walk, node: Any) -> int:
    """Multiplications and additions that a node takes, at least about so many."""
    sizes = [math.prod(walk.shapes[name]) for name in node.input if name]
    made = sum(math.prod(walk.shapes.get(name, ())) for name in node.output if name)
    kind = node.op_type
    if kind in KERNEL:
        kernel = walk.shapes[node.input[KERNEL[kind]]]
        outer = sizes[0] if kind == "ConvTranspose" else made
        return 2 * outer * math.prod(kernel[1:])
    if kind in ("MatMul", "MatMulInteger", "QLinearMatMul", "Gemm"):
        shared = walk.shapes[node.input[0]]
        transposed = any(one.name == "transA" and one.i for one in node.attribute)
        return 2 * made * (shared[0] if transposed else shared[-1]) if shared else made
    if kind == "Einsum":
        return math.prod(_einsum_sides(node, [walk.shapes[name] for name in node.input]).values()) * 2
    if kind == "Attention":
        return 4 * made * walk.shapes[node.input[1]][-2]
    if kind in ("AveragePool", "MaxPool", "LpPool"):
        sides = next(one.ints for one in node.attribute if one.name == "kernel_shape")
        return made * math.prod(min(*pair) for pair in zip(sides, walk.shapes[node.input[0]][2:], strict=False))
    return max(made, *sizes, 0) if sizes else made


KERNEL = {"Conv": 1, "ConvInteger": 1, "ConvTranspose": 1, "QLinearConv": 3}
"""Convolutions, and which input of theirs is the kernel."""


def _einsum_sides(node: Any, shapes: Sequence[Sides]) -> dict[str, int]:
    """The length of every dimension that an Einsum names; of those behind an ellipsis, all as one."""
    equation = next(one.s.decode() for one in node.attribute if one.name == "equation").replace(" ", "")
    sides: dict[str, int] = {}
    for letters, shape in zip(equation.partition("->")[0].split(","), shapes, strict=False):
        named = letters.replace("...", "")
        sides["..."] = max(sides.get("...", 1), math.prod(shape))
        sides |= dict(zip(reversed(named), reversed(shape), strict=False))
    return sides if "..." in equation else {key: side for key, side in sides.items() if key != "..."}


def _keep(walk: _Walk, name: str, value: NDArray[Any]) -> None:
    from onnx import helper

    walk.shapes[name] = tuple(value.shape)
    walk.types[name] = helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
    if value.size <= MOST_KNOWN:
        walk.values[name] = value


def _shape_value(node: Any, shape: Sides) -> NDArray[np.int64]:
    given = {one.name: one.i for one in node.attribute}
    return np.array(shape[given.get("start", 0) : given.get("end", len(shape))], np.int64)


def _constant(node: Any) -> NDArray[Any]:
    from onnx import helper, numpy_helper

    (attribute,) = node.attribute
    value = helper.get_attribute_value(attribute)
    if attribute.name == "value":
        return np.asarray(numpy_helper.to_array(value))
    return np.array(value, np.float32 if "float" in attribute.name else np.int64)


def _compute(walk: _Walk, node: Any) -> list[NDArray[Any]]:
    """Compute a node of a few numbers."""
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    inputs = [name for name in dict.fromkeys(node.input) if name]
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_value_info(name, walk.types[name]) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in node.output if name],
    )
    model = helper.make_model(graph, opset_imports=list(walk.graph.proto.opset_import))
    try:
        results = ReferenceEvaluator(model).run(None, {name: walk.values[name] for name in inputs})
    except Exception as error:  # NumPy raises many kinds
        raise ModelFileError(
            f"{walk.graph.file}: {node.op_type} {node.output[0][:60]!r} does not fit what enters it ({error})."
        ) from error
    return [np.asarray(one) for one in results]


def _whole_numbers_and_floats() -> tuple[int, ...]:
    from onnx import TensorProto

    return TensorProto.INT64, TensorProto.INT32, TensorProto.FLOAT, TensorProto.BOOL, TensorProto.DOUBLE
