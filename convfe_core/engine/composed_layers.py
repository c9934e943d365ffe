"""Layers that TensorFlow composes of several operations, and that onnxruntime computes in one.

Each is found at its last operation, from what its inputs came from; the operations before it are then read by nobody
and left out of the model. A graph that only resembles a layer is translated operation by operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.engine.onnx_writer import Value
from convfe_core.engine.operation_call import OperationCall, OperationRule

Layer = Callable[[OperationCall], Value | None]
"""Writes the layer that an operation is the last one of; None where it is not."""


def composed(*layers: Layer, otherwise: OperationRule) -> OperationRule:
    """The first of these layers that an operation ends, or what it is by itself."""

    def rule(call: OperationCall) -> Value | list[Value]:
        found = (layer(call) for layer in layers)
        return next((value for value in found if value is not None), None) or otherwise(call)

    return rule


@dataclass(frozen=True)
class _Made:
    """A value by the operation that made it.

    Parameters
    ----------
    types : names of TensorFlow's operations, one or several
    inputs : what each was made by, or a name for any value; what has one name is one value
    name : of this value
    """

    types: str
    inputs: tuple[_Made | str, ...]
    name: str = ""


_Found = dict[str, Value]
"""Values by their names in a pattern."""
_SUM, _COMMUTATIVE = "Add AddV2", ("Add", "AddV2", "Mul", "SquaredDifference")


def _matches(pattern: _Made, call: OperationCall, found: _Found | None = None) -> Iterator[_Found]:
    """Every way to read an operation as a pattern, with the values that have names in it."""
    if call.operation.type not in pattern.types.split() or len(call.inputs) != len(pattern.inputs):
        return
    orders = [call.inputs, call.inputs[::-1]] if call.operation.type in _COMMUTATIVE else [call.inputs]
    for inputs in orders:
        ways = [found or {}]
        for part, value in zip(pattern.inputs, inputs, strict=True):
            ways = [more for way in ways for more in _values(part, value, way)]
        yield from ways


def _values(part: _Made | str, value: Value, found: _Found) -> Iterator[_Found]:
    """Every way to read a value as a part of a pattern, beside what was found before."""
    name = part if isinstance(part, str) else part.name
    if name and found.get(name, value) is not value:
        return
    named = {**found, name: value} if name else found
    if isinstance(part, str) or name in found:
        yield named
    elif value.call is not None:
        yield from _matches(part, value.call, named)


def _origin(value: Value) -> OperationCall:
    """The operation that a value came from that was found by it."""
    assert value.call is not None
    return value.call


_FACTORS_AND_SUMMANDS = _Made(_SUM, (_Made("Mul", ("x", "factors"), "product"), "summands"))


def factors_and_summands(call: OperationCall) -> Value | None:
    """A factor and a summand for each channel of maps with their channels first, as a normalisation.

    onnxruntime keeps maps in blocks of channels from one operation to the next through a normalisation, and turns them
    back for a product or a sum with other numbers.
    """
    for found in _matches(_FACTORS_AND_SUMMANDS, call):
        factors, summands = found["factors"].constant, found["summands"].constant
        rows = all(numbers is not None and numbers.ndim == 1 for numbers in (factors, summands))
        if rows and _keeps_channels(call) and _keeps_channels(_origin(found["product"])):
            rest = (np.zeros_like(factors), np.ones_like(factors))
            numbers = (call.writer.constant(row) for row in (factors, summands, *rest))
            maps = call.writer.first(found["x"])
            return Value(first=call.writer.add("BatchNormalization", maps, *numbers, epsilon=0.0))
    return None


def _keeps_channels(call: OperationCall) -> bool:
    """Whether all inputs are taken with their channels first and have as many."""
    return call.on_maps and len({tensor.shape[-1] for tensor in call.operation.inputs if tensor.shape.rank}) == 1


_MEAN = _Made("Mean", ("x", "mean axes"), "mean")
_VARIANCE = _Made("Mean", (_Made("SquaredDifference", ("x", _MEAN)), "variance axes"), "variance")
_ROOT = _Made("Rsqrt", (_Made(_SUM, (_VARIANCE, "epsilon")),))


def _normalisations() -> Iterator[_Made]:
    """``x * f + (shift - mean * f)`` with ``f = scale / sqrt(variance + epsilon)``, with or without scale and shift."""
    for factor in (replace(_ROOT, name="f"), _Made("Mul", (_ROOT, "scale"), "f")):
        negative = _Made("Mul", (_Made("Neg", (_MEAN,)), factor))
        shifted = _Made(_SUM, (negative, "shift"))
        subtracted = _Made("Sub", ("shift", _Made("Mul", (_MEAN, factor))))  # as tf.nn.batch_normalization has it
        for rest in (shifted, negative, subtracted):
            yield _Made(_SUM, (_Made("Mul", ("x", factor)), rest))


_NORMALISATIONS = tuple(_normalisations())


def layer_normalisation(call: OperationCall) -> Value | None:
    """What ``keras.layers.LayerNormalization`` does along the last dimension (arXiv 1607.06450)."""
    for found in (each for pattern in _NORMALISATIONS for each in _matches(pattern, call)):
        means = [_origin(found[name]) for name in ("mean", "variance")]
        rank, channels = means[0].rank(), means[0].operation.inputs[0].shape[-1]
        epsilon = _row(found["epsilon"], 1, rank)
        rows = [_row(found.get(name, default), channels, rank) for name, default in (("scale", _ONE), ("shift", _ZERO))]
        of_channels = all(mean.axes(1) == [rank - 1] and mean.setting("keep_dims") for mean in means)
        if of_channels and epsilon is not None and not any(row is None for row in rows):
            name = call.writer.last(found["x"])
            if not _is_exact():
                name = call.writer.add("Sub", name, call.writer.last(found["mean"]))
            names = (name, *map(call.writer.constant, rows))
            return Value(last=call.writer.add("LayerNormalization", *names, epsilon=float(epsilon[0])))
    return None


_ONE, _ZERO = Value(constant=np.float32(1)), Value(constant=np.float32(0))


def _row(value: Value, channels: int | None, rank: int) -> NDArray[np.float32] | None:
    """A constant as one number for each channel, if that is what it is beside a value of so many dimensions."""
    numbers = value.constant
    if numbers is None or channels is None or numbers.ndim > rank:
        return None
    last = numbers.shape[-1] if numbers.ndim else 1
    return np.broadcast_to(numbers.ravel(), channels) if numbers.size == last and last in (1, channels) else None


@cache
def _is_exact() -> bool:
    """Whether onnxruntime's LayerNormalization subtracts the mean before it squares, as TensorFlow's graph does.

    Older ones subtract the mean's square from the mean of the squares: of maps around 100 that differ by 1 they were
    wrong by a hundredth, and around 10,000 they gave no number.
    """
    import onnxruntime

    return tuple(map(int, onnxruntime.__version__.split(".")[:2])) >= (1, 27)


_GELU = _Made("Mul", (_Made("Mul", ("half", "x")), _Made("Erfc", (_Made("Mul", (_Made("Neg", ("x",)), "root")),))))


def gelu(call: OperationCall) -> Value | None:
    """``x / 2 * erfc(-x / sqrt(2))`` (arXiv 1606.08415), in the operations that onnxruntime joins to one, bias and all."""
    for found in _matches(_GELU, call):
        if _are(found["half"], np.float32(0.5)) and _are(found["root"], np.float32(np.sqrt(0.5))):
            writer, first = call.writer, found["x"].is_first
            x = writer.first(found["x"]) if first else writer.last(found["x"])
            root, one, half = (writer.constant(number, np.float32) for number in (np.sqrt(2), 1, 0.5))
            above = writer.add("Add", writer.add("Erf", writer.add("Div", x, root)), one)
            name = writer.add("Mul", writer.add("Mul", x, above), half)
            return Value(first=name) if first else Value(last=name)
    return None


_CELLS = _Made("Reshape", ("x", "cells shape"), "cells")
_SHAPE = _Made("ConcatV2", (_Made("GatherV2", (_Made("Shape", ("x",)), "places", "gathered axis")), "made", "axis"))
_DENSE = _Made("Reshape", (_Made("MatMul", (_CELLS, "weights"), "product"), _SHAPE))


def dense(call: OperationCall) -> Value | None:
    """A product of the last dimension with a matrix, for which TensorFlow makes one row of each cell and back.

    onnxruntime does that by itself, without a dozen operations on shapes.
    """
    for found in _matches(_DENSE, call):
        multiplied, cells, weights = _origin(found["product"]), _origin(found["cells"]), found["weights"].constant
        turned = multiplied.setting("transpose_a") or multiplied.setting("transpose_b")
        if weights is None or turned or cells.operation.outputs[0].shape.rank != 2:
            continue
        taken, made = weights.shape
        same_cells = _are(found["places"], range(cells.rank() - 1)) and _are(found["made"], [made])
        if same_cells and _are(found["gathered axis"], 0) and cells.operation.inputs[0].shape[-1] == taken:
            names = map(call.writer.last, (found["x"], found["weights"]))
            return Value(last=call.writer.add("MatMul", *names))
    return None


def _are(value: Value, numbers: Any) -> bool:
    """Whether a value is known to be these numbers."""
    return value.constant is not None and np.array_equal(value.constant, numbers)
