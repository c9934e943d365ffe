"""Layers of Keras 2 that stand for a call of TensorFlow: a function by its name, or one node of its graph.

Since TensorFlow 2.4 Keras 2 writes the function (TFOpLambda, SlicingOpLambda), before that the node that the function
had made (TensorFlowOpLayer), with constants beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from convfe_core.keras2.tensorflow_calls import call_tensorflow, resize_as_node


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


def _as(name: str, **renamed: str) -> Node:
    """A node whose inputs are a function's arguments in order, and whose settings are some of them by name."""
    return lambda inputs, attributes: (
        name,
        inputs,
        {key: attributes[setting] for key, setting in renamed.items() if setting in attributes},
    )


def _resize_node(method: str) -> Node:
    return lambda inputs, attributes: (
        "ResizeNode",
        [*inputs, method],
        {key: bool(attributes.get(key)) for key in ("align_corners", "half_pixel_centers")},
    )


_ELEMENTWISE = {
    "Abs": "abs",
    "Add": "add",
    "AddV2": "add",
    "Atan2": "atan2",
    "Ceil": "ceil",
    "Cos": "cos",
    "Div": "truediv",
    "DivNoNan": "divide_no_nan",
    "Equal": "equal",
    "Erf": "erf",
    "Exp": "exp",
    "Expm1": "expm1",
    "Floor": "floor",
    "FloorDiv": "floordiv",
    "FloorMod": "floormod",
    "Greater": "greater",
    "GreaterEqual": "greater_equal",
    "Inv": "reciprocal",
    "IsFinite": "is_finite",
    "IsNan": "is_nan",
    "Less": "less",
    "LessEqual": "less_equal",
    "Log": "log",
    "Log1p": "log1p",
    "LogicalAnd": "logical_and",
    "LogicalNot": "logical_not",
    "LogicalOr": "logical_or",
    "Maximum": "maximum",
    "Minimum": "minimum",
    "Mul": "multiply",
    "MulNoNan": "multiply_no_nan",
    "Neg": "negative",
    "NotEqual": "not_equal",
    "Pow": "pow",
    "RealDiv": "truediv",
    "Reciprocal": "reciprocal",
    "Round": "round",
    "Rsqrt": "rsqrt",
    "Sigmoid": "sigmoid",
    "Sign": "sign",
    "Sin": "sin",
    "Softplus": "softplus",
    "Sqrt": "sqrt",
    "Square": "square",
    "SquaredDifference": "squared_difference",
    "Sub": "subtract",
    "Tan": "tan",
    "Tanh": "tanh",
}
_REDUCTIONS = {"All": "all", "Any": "any", "Max": "max", "Mean": "mean", "Min": "min", "Prod": "prod", "Sum": "sum"}

NODES: dict[str, Node] = {
    **{op: _as(f"math.{name}") for op, name in _ELEMENTWISE.items()},
    **{op: _as(f"math.reduce_{name}", keepdims="keep_dims") for op, name in _REDUCTIONS.items()},
    "AddN": lambda inputs, _: ("math.add_n", [inputs], {}),
    "ArgMax": _as("math.argmax"),
    "AvgPool": _as(
        "compat.v1.nn.avg_pool", ksize="ksize", strides="strides", padding="padding", data_format="data_format"
    ),
    "BatchMatMul": _as("linalg.matmul", transpose_a="adj_x", transpose_b="adj_y"),
    "BatchMatMulV2": _as("linalg.matmul", transpose_a="adj_x", transpose_b="adj_y"),
    "BiasAdd": _as("nn.bias_add", data_format="data_format"),
    "BroadcastTo": _as("broadcast_to"),
    "Cast": _as("cast", dtype="DstT"),
    "CheckNumerics": _as("debugging.check_numerics"),
    "ClipByValue": _as("clip_by_value"),
    "ConcatV2": lambda inputs, _: ("concat", [inputs[:-1], inputs[-1]], {}),
    "Conv2D": _as("nn.conv2d", strides="strides", padding="padding", dilations="dilations", data_format="data_format"),
    "DepthToSpace": _as("nn.depth_to_space", block_size="block_size", data_format="data_format"),
    "DepthwiseConv2dNative": _as(
        "nn.depthwise_conv2d", strides="strides", padding="padding", dilations="dilations", data_format="data_format"
    ),
    "Einsum": lambda inputs, attributes: ("einsum", [attributes["equation"], *inputs], {}),
    "Elu": _as("nn.elu"),
    "ExpandDims": _as("expand_dims"),
    "GatherV2": lambda inputs, attributes: (
        "gather",
        inputs[:2],
        {"axis": inputs[2], "batch_dims": attributes.get("batch_dims", 0)},
    ),
    "HSVToRGB": _as("image.hsv_to_rgb"),
    "Identity": _as("identity"),
    "LRN": _as("nn.local_response_normalization", depth_radius="depth_radius", bias="bias", alpha="alpha", beta="beta"),
    "LeakyRelu": _as("nn.leaky_relu", alpha="alpha"),
    "LogSoftmax": _as("nn.log_softmax"),
    "MatMul": _as("linalg.matmul", transpose_a="transpose_a", transpose_b="transpose_b"),
    "MaxPool": _as(
        "compat.v1.nn.max_pool", ksize="ksize", strides="strides", padding="padding", data_format="data_format"
    ),
    "MirrorPad": _as("pad", mode="mode"),
    "OneHot": _as("one_hot", axis="axis"),
    "OnesLike": _as("ones_like"),
    "Pack": lambda inputs, attributes: ("stack", [inputs], {"axis": attributes.get("axis", 0)}),
    "Pad": _as("pad"),
    "PadV2": lambda inputs, _: ("pad", inputs[:2], {"constant_values": inputs[2]}),
    "RGBToHSV": _as("image.rgb_to_hsv"),
    "Rank": _as("rank"),
    "Relu": _as("nn.relu"),
    "Relu6": _as("nn.relu6"),
    "Reshape": _as("reshape"),
    "ResizeBicubic": _resize_node("bicubic"),
    "ResizeBilinear": _resize_node("bilinear"),
    "ResizeNearestNeighbor": _resize_node("nearest"),
    "ReverseV2": _as("reverse"),
    "Roll": _as("roll"),
    "Select": _as("where"),
    "SelectV2": _as("where"),
    "Selu": _as("nn.selu"),
    "Shape": _as("shape"),
    "Size": _as("size"),
    "Slice": _as("slice"),
    "Softmax": _as("nn.softmax"),
    "Softsign": _as("nn.softsign"),
    "SpaceToDepth": _as("nn.space_to_depth", block_size="block_size", data_format="data_format"),
    "Split": lambda inputs, attributes: (
        "split",
        [inputs[1]],
        {"num_or_size_splits": attributes["num_split"], "axis": inputs[0]},
    ),
    "SplitV": _as("split"),
    "Squeeze": lambda inputs, attributes: ("squeeze", inputs, {"axis": attributes.get("squeeze_dims") or None}),
    "StopGradient": _as("stop_gradient"),
    "StridedSlice": _as(
        "strided_slice",
        **{name: name for name in ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")},
    ),
    "Tile": _as("tile"),
    "Transpose": _as("transpose"),
    "Unpack": _as("unstack", num="num", axis="axis"),
    "ZerosLike": _as("zeros_like"),
}
"""Which function's call a node is, by the node's operation."""
