"""Layers of Keras 2 that stand for a call of TensorFlow: a function by its name, or one node of its graph.

Since TensorFlow 2.4 Keras 2 writes the function (TFOpLambda, SlicingOpLambda), before that the node that the function
had made (TensorFlowOpLayer), with constants beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from convfe_core.keras2.tensorflow_calls import call_tensorflow
from convfe_core.keras2.tensorflow_pictures import resize_as_node


def replay(layer: Any, arguments: list[Any], named: dict[str, Any]) -> Any:
    """Make the call that a layer of Keras 2 stands for in Keras 3; see `call_tensorflow`.

    Parameters
    ----------
    layer : of tf-keras, one of `convfe_core.model_files.allowed_names.TENSORFLOW_LAYERS`, as a checked file has it
    arguments, named : what it is called with
    """
    if type(layer).__name__ == "TensorFlowOpLayer":
        return _replay_node(layer, arguments)
    name = layer.get_config()["function"]
    if name == "image.convert_image_dtype" and layer.input.dtype.is_integer:
        return call_tensorflow("math.truediv", [arguments[0], float(layer.input.dtype.max)], {})
    return call_tensorflow(name, arguments, named)


def _replay_node(layer: Any, arguments: list[Any]) -> Any:
    inputs = list(arguments[0]) if len(arguments) == 1 and isinstance(arguments[0], list | tuple) else list(arguments)
    for place, constant in sorted(layer.constants.items()):
        inputs.insert(place, np.asarray(constant) if isinstance(constant, list) else constant)
    attributes = {key: _attribute(value) for key, value in layer.node_def.attr.items()}
    name, positional, named = NODES[layer.node_def.op](inputs, attributes)
    if name == "ResizeNode":
        return resize_as_node(*positional, **named)
    return call_tensorflow(name, positional, named)


def _attribute(value: Any) -> Any:
    """A setting of a node as TensorFlow's functions take it."""
    kind = value.WhichOneof("value")
    if kind == "list":
        return [*value.list.i, *value.list.f]
    if kind == "s":
        return value.s.decode()
    if kind == "type":
        import tensorflow as tf

        return tf.as_dtype(value.type).name
    return getattr(value, kind) if kind in ("i", "f", "b") else None


Node = Callable[[list[Any], dict[str, Any]], tuple[str, list[Any], dict[str, Any]]]


def _as(name: str, same: str = "", **renamed: str) -> Node:
    """A node whose inputs are a function's arguments in order, and whose settings are some of them by name.

    Parameters
    ----------
    same : settings that the function calls like the node does
    renamed : by the function's name of it, the node's
    """
    settings = {key: key for key in same.split()} | renamed
    return lambda inputs, attributes: (
        name,
        inputs,
        {key: attributes[setting] for key, setting in settings.items() if setting in attributes},
    )


def _resize_node(method: str) -> Node:
    return lambda inputs, attributes: (
        "ResizeNode",
        [*inputs, method],
        {key: bool(attributes.get(key)) for key in ("align_corners", "half_pixel_centers")},
    )


_LIKE_NODES = {
    "math.": "Abs Atan2 Ceil Cos Equal Erf Exp Expm1 Floor Greater GreaterEqual IsFinite IsNan Less LessEqual Log "
    "Log1p LogicalAnd LogicalNot LogicalOr Maximum Minimum NotEqual Pow Reciprocal Round Rsqrt Sigmoid Sign Sin "
    "Softplus Sqrt Square SquaredDifference Tan Tanh",
    "nn.": "Elu LogSoftmax Relu Relu6 Selu Softmax Softsign",
    "": "BroadcastTo ClipByValue ExpandDims Identity OnesLike Pad Rank Reshape Roll Shape Size Slice StopGradient Tile "
    "Transpose ZerosLike",
}
"""Nodes that are called like their functions but for capitals, by what goes before a function's name."""

_ARITHMETIC = {
    "Add": "add",
    "AddV2": "add",
    "Div": "truediv",
    "DivNoNan": "divide_no_nan",
    "FloorDiv": "floordiv",
    "FloorMod": "floormod",
    "Inv": "reciprocal",
    "Mul": "multiply",
    "MulNoNan": "multiply_no_nan",
    "Neg": "negative",
    "RealDiv": "truediv",
    "Sub": "subtract",
}
_REDUCTIONS = "All Any Max Mean Min Prod Sum"


def _like_nodes() -> dict[str, Node]:
    return {
        op: _as(before + re.sub("(?<=[a-z])(?=[A-Z])", "_", op).lower())
        for before, ops in _LIKE_NODES.items()
        for op in ops.split()
    }


NODES: dict[str, Node] = {
    **_like_nodes(),
    **{op: _as(f"math.{name}") for op, name in _ARITHMETIC.items()},
    **{op: _as(f"math.reduce_{op.lower()}", keepdims="keep_dims") for op in _REDUCTIONS.split()},
    "AddN": lambda inputs, _: ("math.add_n", [inputs], {}),
    "ArgMax": _as("math.argmax"),
    "AvgPool": _as("compat.v1.nn.avg_pool", "ksize strides padding data_format"),
    "BatchMatMul": _as("linalg.matmul", transpose_a="adj_x", transpose_b="adj_y"),
    "BatchMatMulV2": _as("linalg.matmul", transpose_a="adj_x", transpose_b="adj_y"),
    "BiasAdd": _as("nn.bias_add", "data_format"),
    "Cast": _as("cast", dtype="DstT"),
    "CheckNumerics": _as("debugging.check_numerics"),
    "ConcatV2": lambda inputs, _: ("concat", [inputs[:-1], inputs[-1]], {}),
    "Conv2D": _as("nn.conv2d", "strides padding dilations data_format"),
    "DepthToSpace": _as("nn.depth_to_space", "block_size data_format"),
    "DepthwiseConv2dNative": _as("nn.depthwise_conv2d", "strides padding dilations data_format"),
    "Einsum": lambda inputs, attributes: ("einsum", [attributes["equation"], *inputs], {}),
    "GatherV2": lambda inputs, attributes: (
        "gather",
        inputs[:2],
        {"axis": inputs[2], "batch_dims": attributes.get("batch_dims", 0)},
    ),
    "HSVToRGB": _as("image.hsv_to_rgb"),
    "LRN": _as("nn.local_response_normalization", "depth_radius bias alpha beta"),
    "LeakyRelu": _as("nn.leaky_relu", "alpha"),
    "MatMul": _as("linalg.matmul", "transpose_a transpose_b"),
    "MaxPool": _as("compat.v1.nn.max_pool", "ksize strides padding data_format"),
    "MirrorPad": _as("pad", "mode"),
    "OneHot": _as("one_hot", "axis"),
    "Pack": lambda inputs, attributes: ("stack", [inputs], {"axis": attributes.get("axis", 0)}),
    "PadV2": lambda inputs, _: ("pad", inputs[:2], {"constant_values": inputs[2]}),
    "RGBToHSV": _as("image.rgb_to_hsv"),
    "ResizeBicubic": _resize_node("bicubic"),
    "ResizeBilinear": _resize_node("bilinear"),
    "ResizeNearestNeighbor": _resize_node("nearest"),
    "ReverseV2": _as("reverse"),
    "Select": _as("where"),
    "SelectV2": _as("where"),
    "SpaceToDepth": _as("nn.space_to_depth", "block_size data_format"),
    "Split": lambda inputs, attributes: (
        "split",
        [inputs[1]],
        {"num_or_size_splits": attributes["num_split"], "axis": inputs[0]},
    ),
    "SplitV": _as("split"),
    "Squeeze": lambda inputs, attributes: ("squeeze", inputs, {"axis": attributes.get("squeeze_dims") or None}),
    "StridedSlice": _as("strided_slice", "begin_mask end_mask ellipsis_mask new_axis_mask shrink_axis_mask"),
    "Unpack": _as("unstack", "num axis"),
}
"""Which function's call a node is, by the node's operation."""
