"""Small ONNX graphs, written operation by operation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PICTURE = ("N", 3, "H", "W")


def kernel(name: str, *shape: int, seed: int = 0):
    """Random weights that keep the scale of what they are multiplied with."""
    rng = np.random.default_rng((seed, len(name)))
    values = rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
    return numpy_helper.from_array(values.astype(np.float32), name)


def numbers(name: str, values, dtype=np.int64):
    return numpy_helper.from_array(np.array(values, dtype), name)


def graph_of(
    nodes: Sequence[onnx.NodeProto],
    weights: Sequence[onnx.TensorProto] = (),
    *,
    picture: Sequence[int | str] = PICTURE,
    outputs: Sequence[str] | None = None,
    dtype: int = TensorProto.FLOAT,
    opset: int = 17,
    **more,
) -> onnx.ModelProto:
    """A model whose input is ``picture``; it returns what its last node makes unless told otherwise."""
    given = helper.make_tensor_value_info("picture", dtype, list(picture))
    names = outputs or [nodes[-1].output[0]]
    returned = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
    graph = helper.make_graph(list(nodes), "made", [given], returned, list(weights))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10, **more)


def written(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def convolution(name: str, source: str, channels: tuple[int, int], size: int, stride: int, pads: Sequence[int] = ()):
    """A convolution and its kernel."""
    node = helper.make_node(
        "Conv",
        [source, f"{name}.weight"],
        [name],
        name=name,
        kernel_shape=[size, size],
        strides=[stride, stride],
        pads=list(pads) or [size // 2] * 4,
    )
    return node, kernel(f"{name}.weight", channels[1], channels[0], size, size)


def plain_network(convolutions: int = 3, **settings) -> onnx.ModelProto:
    """Convolutions of stride 2 with ReLU between them, as PyTorch pads them: strides 2, 4, 8 and so on."""
    nodes, weights, source = [], [], "picture"
    for number, channels in enumerate(((3, 4), (4, 6), (6, 8), (8, 10), (10, 12))[:convolutions], start=1):
        node, weight = convolution(f"conv{number}", source, channels, 3, 2)
        nodes += [node, helper.make_node("Relu", [f"conv{number}"], [f"relu{number}"])]
        weights.append(weight)
        source = f"relu{number}"
    return graph_of(nodes, weights, **settings)
