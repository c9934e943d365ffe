"""Layers that TensorFlow composes of several operations, and that onnxruntime computes in one.

Each is found at its last operation, from what its inputs came from; the operations before it are then read by nobody
and left out of the model. A graph that only resembles a layer is translated operation by operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.engine.onnx_writer import Value
from convfe_core.engine.operation_call import OperationCall, OperationRule
from convfe_core.engine.operation_pattern import SUM, Pattern, matches

ComposedLayer = Callable[[OperationCall], Value | None]
"""Writes the layer that an operation is the last one of; None where it is not."""


def composed(*layers: ComposedLayer, otherwise: OperationRule) -> OperationRule:
    """The first of these layers that an operation is the last one of, or what it is by itself."""

    def rule(call: OperationCall) -> Value | list[Value]:
        for layer in layers:
            if (found := layer(call)) is not None:
                return found
        return otherwise(call)

    return rule


_FACTORS_AND_SUMMANDS = Pattern(SUM, (Pattern("Mul", ("x", "factors"), "product"), "summands"))


def factors_and_summands(call: OperationCall) -> Value | None:
    """A factor and a summand for each channel of maps with their channels first, as a normalisation.

    onnxruntime keeps maps in blocks of channels from one operation to the next through a normalisation, and turns them
    back for a product or a sum with other numbers.
    """
    for found in matches(_FACTORS_AND_SUMMANDS, call):
        factors, summands = found["factors"].constant, found["summands"].constant
        if factors is None or summands is None or not factors.ndim == summands.ndim == 1:
            continue
        if _keeps_channels(call) and _keeps_channels(found.call("product")):
            rest = (np.zeros_like(factors), np.ones_like(factors))
            numbers = (call.writer.constant(row) for row in (factors, summands, *rest))
            maps = call.writer.first(found["x"])
            return Value(first=call.writer.add("BatchNormalization", maps, *numbers, epsilon=0.0))
    return None


def _keeps_channels(call: OperationCall) -> bool:
    """Whether all inputs are taken with their channels first and have as many."""
    return call.on_maps and len({tensor.shape[-1] for tensor in call.operation.inputs if tensor.shape.rank}) == 1


_MEAN = Pattern("Mean", ("x", "axes of the mean"), "mean")
_VARIANCE = Pattern("Mean", (Pattern("SquaredDifference", ("x", _MEAN)), "axes of the variance"), "variance")
_INVERSE = Pattern("Rsqrt", (Pattern(SUM, (_VARIANCE, "epsilon")),))


def _normalisations() -> Iterator[Pattern]:
    """``x * factor + (shift - mean * factor)`` with ``factor = scale / sqrt(variance + epsilon)``.

    Without scale or shift Keras leaves their operations out; tf.nn.batch_normalization writes the difference as one.
    """
    for factor in (replace(_INVERSE, name="factor"), Pattern("Mul", (_INVERSE, "scale"), "factor")):
        negative = Pattern("Mul", (Pattern("Neg", (_MEAN,)), factor))
        difference = Pattern("Sub", ("shift", Pattern("Mul", (_MEAN, factor))))
        for rest in (Pattern(SUM, (negative, "shift")), negative, difference):
            yield Pattern(SUM, (Pattern("Mul", ("x", factor)), rest))


_NORMALISATIONS = tuple(_normalisations())
_ONE, _ZERO = Value(constant=np.ones(1, np.float32)), Value(constant=np.zeros(1, np.float32))


def layer_normalisation(call: OperationCall) -> Value | None:
    """What ``keras.layers.LayerNormalization`` does along the last dimension (arXiv 1607.06450)."""
    for found in (each for pattern in _NORMALISATIONS for each in matches(pattern, call)):
        if not all(_is_mean_of_last(found.call(name)) for name in ("mean", "variance")):
            continue
        mean = found.call("mean")
        channels = mean.operation.inputs[0].shape[-1]
        scale = _row(found.get("scale", _ONE), channels, mean.rank())
        shift = _row(found.get("shift", _ZERO), channels, mean.rank())
        epsilon = _row(found["epsilon"], 1, mean.rank())
        if scale is None or shift is None or epsilon is None:
            continue
        writer = call.writer
        names = (writer.last(found["x"]), writer.constant(scale), writer.constant(shift))
        return Value(last=writer.add("LayerNormalization", *names, epsilon=float(epsilon[0])))
    return None


def _is_mean_of_last(call: OperationCall) -> bool:
    """Whether a mean is along the last dimension, which stays."""
    return call.axes(1) == [call.rank() - 1] and bool(call.setting("keep_dims"))


def _row(value: Value, channels: int | None, rank: int) -> NDArray[np.float32] | None:
    """A constant as one number for each channel of a value of so many dimensions, if that is what it is for it."""
    numbers = value.constant
    if numbers is None or channels is None or numbers.ndim > rank:
        return None
    last = numbers.shape[-1] if numbers.ndim else 1
    return np.broadcast_to(numbers.ravel(), channels) if numbers.size == last and last in (1, channels) else None


_GELU = Pattern(
    "Mul", (Pattern("Mul", ("half", "x")), Pattern("Erfc", (Pattern("Mul", (Pattern("Neg", ("x",)), "root")),)))
)


def gelu(call: OperationCall) -> Value | None:
    """``x / 2 * erfc(-x / sqrt(2))`` (arXiv 1606.08415), in the five operations that onnxruntime knows and joins."""
    for found in matches(_GELU, call):
        if _is(found["half"], np.float32(0.5)) and _is(found["root"], np.float32(np.sqrt(0.5))):
            writer, turned = call.writer, found["x"].is_first
            x = writer.first(found["x"]) if turned else writer.last(found["x"])
            root, one, half = (writer.constant(number, np.float32) for number in (np.sqrt(2), 1, 0.5))
            share = writer.add("Add", writer.add("Erf", writer.add("Div", x, root)), one)
            made = writer.add("Mul", writer.add("Mul", x, share), half)
            return Value(first=made) if turned else Value(last=made)
    return None


_COLUMN = Pattern("Reshape", ("x", "shape of the column"), "column")
_SHAPE = Pattern("ConcatV2", (Pattern("GatherV2", (Pattern("Shape", ("x",)), "kept", "axis")), "made", "axis of both"))
_DENSE = Pattern("Reshape", (Pattern("MatMul", (_COLUMN, "weights"), "product"), _SHAPE))


def dense(call: OperationCall) -> Value | None:
    """A product of the last dimension with a matrix, for which TensorFlow makes one column of all cells, and back.

    onnxruntime does that by itself, without the dozen operations on shapes.
    """
    for found in matches(_DENSE, call):
        weights = found["weights"].constant
        if weights is None or any(found.call("product").setting(name) for name in ("transpose_a", "transpose_b")):
            continue
        places = range(found.call("column").rank() - 1)
        # As many cells as before, each with what the matrix makes: it took a cell's whole last dimension, not a part.
        if _is(found["kept"], places) and _is(found["made"], [weights.shape[1]]):
            names = (call.writer.last(found[name]) for name in ("x", "weights"))
            return Value(last=call.writer.add("MatMul", *names))
    return None


def _is(value: Value, numbers: Any) -> bool:
    """Whether a value is known to be these numbers."""
    return value.constant is not None and np.array_equal(value.constant, numbers)
