"""What an ONNX file may hold: known operations without programs inside them, and data that lies beside it.

Everything is checked before onnxruntime sees any of it. A file never names another one outside its own folder.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from convfe_core.base.errors import ModelFileError

MOST_BYTES = 2_000_000_000
"""Of a file and its data together: the format itself ends at 2 GB."""
MOST_NODES = 10_000
"""Operations of one file; the largest networks in use have a few thousand."""

_ALLOWED = """
Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization BitShift Cast
CastLike Ceil Celu CenterCropPad Clip Concat Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh CumSum
DepthToSpace DequantizeLinear Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand Flatten Floor Gather
GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample
GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LRN LayerNormalization
LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul MatMulInteger Max MaxPool Mean
MeanVarianceNormalization Min Mish Mod Mul Neg NonMaxSuppression NonZero Not Or PRelu Pad Pow QLinearConv
QLinearMatMul QuantizeLinear RMSNormalization Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize RotaryEmbedding Round
ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth
Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor
"""
ALLOWED_OPERATIONS = frozenset(_ALLOWED.split())
"""Operations of the standard that take tensors to tensors, each in a time that their sizes tell."""

_STANDARD = ("", "ai.onnx")


OLDEST_OPSET = 7
"""The first version of the standard whose operations onnxruntime has."""


def check_operations(model: Any, name: str) -> None:
    """Refuse a file with anything but a flat graph of allowed operations, and put these in order.

    Parameters
    ----------
    model : onnx.ModelProto, as it was read
    name : of the file

    Raises
    ------
    ModelFileError : one sentence that names what is not allowed
    """
    from onnx import AttributeProto

    if len(model.functions) > 0:
        raise ModelFileError(
            f"{name}: expected operations of the ONNX standard. Received: {model.functions[0].name[:60]!r}, a function "
            "of the file's own; export it with functions inlined (onnx.inliner.inline_local_functions)."
        )
    if len(model.graph.sparse_initializer) > 0:
        raise ModelFileError(f"{name}: expected dense weights. Received: sparse ones, which are not opened here.")
    if len(model.graph.node) > MOST_NODES:
        raise ModelFileError(
            f"{name}: expected at most {MOST_NODES:,} operations. Received: {len(model.graph.node):,}; export the "
            "backbone alone."
        )
    plain = {
        AttributeProto.FLOAT,
        AttributeProto.INT,
        AttributeProto.STRING,
        AttributeProto.TENSOR,
        AttributeProto.FLOATS,
        AttributeProto.INTS,
        AttributeProto.STRINGS,
    }
    for node in model.graph.node:
        if any(one.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for one in node.attribute):
            raise ModelFileError(
                f"{name}: expected a graph without branches and loops. Received: {node.op_type[:60]!r}, which holds a "
                "graph of its own; export the backbone without its post-processing."
            )
        if node.domain not in _STANDARD or node.op_type not in ALLOWED_OPERATIONS:
            kind = f"{node.domain}.{node.op_type}" if node.domain not in _STANDARD else node.op_type
            raise ModelFileError(
                f"{name}: expected operations of the ONNX standard that are allowed here. Received: {kind[:80]!r}; "
                "export the backbone without it."
            )
        if any(one.type not in plain for one in node.attribute):
            raise ModelFileError(f"{name}: expected plain settings of {node.op_type!r}. Received: others.")
    _check_version(model, name)
    _check_names(model.graph, name)
    sort_operations(model.graph, name)


def _check_version(model: Any, name: str) -> None:
    from onnx import defs

    versions = [one.version for one in model.opset_import if one.domain in _STANDARD]
    newest = defs.onnx_opset_version()
    if not versions or not OLDEST_OPSET <= max(versions) <= newest:
        raise ModelFileError(
            f"{name}: expected version {OLDEST_OPSET} to {newest} of ONNX' operations. Received: "
            f"{max(versions, default='none')}; export it again, or use onnx.version_converter."
        )


def _check_names(graph: Any, name: str) -> None:
    """Make sure that every tensor has a name of its own, and that something makes it."""
    given = {one.name for one in (*graph.input, *graph.initializer)}
    texts = [*given, *(text for node in graph.node for text in (node.name, *node.input, *node.output))]
    if not all(isinstance(text, str) for text in texts):
        raise ModelFileError(f"{name}: expected names in UTF-8. Received: others; the file is damaged.")
    made = set(given)
    for node in graph.node:
        if not node.output:
            raise ModelFileError(f"{name}: expected operations that make something. Received: {node.op_type!r}.")
        again = next((one for one in node.output if one in made), None)
        if again is not None:
            raise ModelFileError(f"{name}: expected one operation that makes {again[:60]!r}. Received: two.")
        made.update(one for one in node.output if one)
    for node in graph.node:
        missing = next((source for source in node.input if source and source not in made), None)
        if missing is not None:
            raise ModelFileError(
                f"{name}: {node.op_type} {node.output[0][:60]!r} takes {missing[:60]!r}, which nothing makes; expected "
                "a whole graph."
            )


def sort_operations(graph: Any, name: str) -> None:
    """Put the operations of a graph in an order in which each comes after what it takes.

    The standard asks for that, but tools that change a finished graph, as those for half precision, add at its end.

    Parameters
    ----------
    graph : onnx.GraphProto, changed in place where it is out of order
    name : of the file

    Raises
    ------
    ModelFileError : operations that wait for each other
    """
    maker = {made: number for number, node in enumerate(graph.node) for made in node.output if made}
    order: list[int] = []
    done: set[int] = set()
    for start in range(len(graph.node)):
        way = {} if start in done else {start: None}  # a list that is searched quickly
        while way:
            last = next(reversed(way))
            before = (maker[source] for source in graph.node[last].input if source in maker)
            waiting = next((number for number in before if number not in done), None)
            if waiting in way:
                raise ModelFileError(
                    f"{name}: expected operations one after the other. Received: {graph.node[start].op_type} "
                    f"{graph.node[start].output[0][:60]!r}, which waits for itself."
                )
            if waiting is None:
                order.append(last)
                done.add(last)
                del way[last]
            else:
                way[waiting] = None
    if order != sorted(order):
        nodes = [graph.node[number] for number in order]
        del graph.node[:]
        graph.node.extend(nodes)


def data_file(location: str, folder: Path, name: str) -> Path:
    """Where external data lies: a regular file beside the model, named without any folder.

    Raises
    ------
    ModelFileError : another place, a link, or no such file
    """
    bare = location and location not in (".", "..") and PurePosixPath(location).name == location
    if not bare or "\\" in location or ":" in location or "\0" in location:
        raise ModelFileError(
            f"{name}: expected its data in a file beside it. Received: {location[:80]!r}, which names another place."
        )
    path = folder / location
    if path.is_symlink():
        raise ModelFileError(f"{name}: expected its data in a file beside it. Received: {location!r}, a link.")
    if not path.is_file():
        raise ModelFileError(
            f"{name}: its weights are in a second file, {location!r}. Expected it beside the first one; give both, "
            "in a folder or in a zip."
        )
    return path


def data_range(size: int, offset: int, length: int | None, wanted: int, name: str, tensor: str) -> tuple[int, int]:
    """First byte and number of bytes of a tensor in a data file.

    Parameters
    ----------
    size : of the data file
    offset, length : what the model says
    wanted : bytes that the tensor's shape takes

    Raises
    ------
    ModelFileError : the file does not have these
    """
    length = wanted if length is None else length
    if offset < 0 or length != wanted or offset + length > size:
        raise ModelFileError(
            f"{name}: expected {wanted:,} bytes for {tensor[:60]!r} at {offset:,} in its data. Received: a file of "
            f"{size:,}; the two do not belong together, or one was cut off."
        )
    return offset, length
