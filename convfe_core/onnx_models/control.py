"""The control of an ONNX file: its own operations with weights as they are before any training."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from convfe_core.base.errors import ModelFileError
from convfe_core.onnx_models.opening import OnnxGraph

_Role = Literal["kernel", "shift", "gain"]

_KERNEL = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1}
"""Operations with a kernel, and which input it is; of a MatMul it may be either one."""
_NORMALIZING = {
    "BatchNormalization": ("gain", "shift", "shift", "gain"),
    "LayerNormalization": ("gain", "shift"),
    "GroupNormalization": ("gain", "shift"),
    "InstanceNormalization": ("gain", "shift"),
    "RMSNormalization": ("gain",),
}
"""What the inputs after the first one are."""
_LAID_OUT_ANEW = ("Transpose", "Reshape", "Cast", "Identity", "Squeeze", "Unsqueeze")


def without_training(graph: OnnxGraph, seed: int) -> OnnxGraph:
    """The same graph with kernels drawn anew, as Keras draws them: Glorot's uniform distribution, shifts 0, gains 1.

    Exporters fold batch normalisation into kernels, shifts and gains. Before training a batch normalisation changes
    nothing, so that what it was folded into is a fresh kernel with a shift of 0 and a gain of 1 as well. What scales
    pixels before the first kernel stays, as do single numbers, which belong to activations.

    Parameters
    ----------
    seed : the same one gives the same weights

    Raises
    ------
    ModelFileError : kernels that are no floating-point numbers, or none at all
    """
    from onnx import numpy_helper

    weights, kernels = dict(graph.weights), 0
    for name, role in _roles(graph):
        (value,) = graph.arrays([name])
        if role == "kernel":
            kernels += 1
            if value.dtype.kind != "f":
                raise ModelFileError(
                    f"{graph.file}: has no untrained control: expected kernels of floating-point numbers. Received: "
                    f"{name[:60]!r} of {value.dtype}."
                )
        if value.size > 1:
            rng = np.random.default_rng((seed, zlib.crc32(name.encode())))
            weights[name] = numpy_helper.from_array(_fresh(value, role, rng), name)
    if not kernels:
        raise ModelFileError(f"{graph.file}: has no untrained control: expected kernels. Received: none.")
    return replace(graph, weights=weights)


def _fresh(value: NDArray[Any], role: _Role, rng: np.random.Generator) -> NDArray[Any]:
    if role == "shift":
        return np.zeros_like(value)
    if role == "gain":
        return np.ones_like(value)
    cells = math.prod(value.shape[2:])
    limit = math.sqrt(6 / ((value.shape[0] + value.shape[1]) * cells))
    return rng.uniform(-limit, limit, value.shape).astype(value.dtype)


def _roles(graph: OnnxGraph) -> Iterator[tuple[str, _Role]]:
    """Weights and what they are for, from the first kernel on."""
    makers = {name: node for node in graph.nodes for name in node.output}

    def stored(node: Any, position: int) -> str | None:
        name = node.input[position] if position < len(node.input) else ""
        while name in makers and makers[name].op_type in _LAID_OUT_ANEW:
            name = makers[name].input[0]
        return name if name in graph.weights else None

    begun = False
    for node in graph.nodes:
        for position, role in _positions(node, begun):
            name = stored(node, position)
            if name is not None and (role != "kernel" or len(graph.weights[name].dims) > 1):
                begun = begun or role == "kernel"
                yield name, role


def _positions(node: Any, begun: bool) -> list[tuple[int, _Role]]:
    """Which inputs of a node may be weights, and what they are for.

    Parameters
    ----------
    begun : a kernel came before
    """
    kind = node.op_type
    if kind in _KERNEL:
        return [(_KERNEL[kind], "kernel"), (2, "shift")]
    if kind == "MatMul":
        return [(0, "kernel"), (1, "kernel")]
    if kind in _NORMALIZING:
        roles: Any = _NORMALIZING[kind]
        return list(enumerate(roles, start=1))
    if begun and kind in ("Add", "Sub"):
        return [(0, "shift"), (1, "shift")]
    if begun and kind in ("Mul", "Div"):
        return [(0, "gain"), (1, "gain")]
    return []
