"""Which layers of a model can be looked at, and the way from the picture to their cells."""

from __future__ import annotations

import difflib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from convfe_core.base.errors import SpecError
from convfe_core.catalog.architectures import Architecture
from convfe_core.graph.cell_geometry import Change, Finer, Margin, Pair, SpatialPath, Step, Window

if TYPE_CHECKING:
    import keras

__all__ = [
    "STAGES",
    "SpatialPath",
    "Tap",
    "last_map",
    "operation_of",
    "resolve_tap",
    "sources_of",
    "stage_taps",
    "tensors_and_strides",
    "tensors_in_order",
    "trace_path",
    "values_per_pixel",
]

STAGES = {"C2": 4, "C3": 8, "C4": 16, "C5": 32}
"""Names of the stages and their strides, as in Feature Pyramid Networks (arXiv 1612.03144)."""

FINE_STAGES = {"C0": 1, "C1": 2}
"""Stages before the usual ones, for networks made for small pictures, which halve them less often."""

_STRIDES = FINE_STAGES | STAGES


@dataclass(frozen=True)
class Tap:
    """A layer that is looked at.

    Attributes
    ----------
    name : what was asked for: ``auto``, ``output``, a stage ``C2`` to ``C5``, or the layer itself
    layer : the layer
    channels : of its output
    stride : input pixels per cell
    uncapped : its output is not the layer's own but a plain ReLU of what enters it, without the cap at 6
    """

    name: str
    layer: str
    channels: int
    stride: int
    uncapped: bool


def resolve_tap(model: keras.Model, architecture: Architecture | None, tap: str) -> tuple[Any, Tap]:
    """Find the tensor to look at.

    Parameters
    ----------
    architecture : gives the default tap; None for a model of the user's own
    tap : ``auto``: the last feature map, before a final LayerNormalization, and through a plain ReLU where
        it ends in a capped one. ``C0`` to ``C5``: the last map of that stage, by the same rule. ``output``:
        what the model returns. Else the name of a layer

    Returns
    -------
    tuple of keras.KerasTensor (n, h, w, C), connected to the model's inputs, and Tap

    Raises
    ------
    SpecError : no such layer or stage, or one whose output is no map
    """
    if tap == "auto" and architecture is not None:
        tap = architecture.tap
    uncapped = False
    if tap == "output":
        tensor = model.outputs[0]
    elif tap == "auto":
        tensor, uncapped = _show(last_map(model))
    elif tap in _STRIDES:
        tensor, uncapped = _show(_stage_tensor(model, tap))
    else:
        tensor = _layer_output(model, tap)
    return tensor, _describe(model, tensor, tap, uncapped)


def stage_taps(model: keras.Model) -> dict[str, Tap]:
    """List the stages that a model has, by name: the last map of stride 4, 8, 16 and 32.

    That is the last map that everything after it is computed from, never one from the inside of a block. A network
    that has fewer than three of these, as one made for small pictures, shows those of stride 1 and 2 as well.
    """
    found = _stages_among(model, STAGES)
    return found if len(found) >= 3 else {**_stages_among(model, FINE_STAGES), **found}


def _stages_among(model: keras.Model, stages: Iterable[str]) -> dict[str, Tap]:
    found = {}
    for stage in stages:
        try:
            found[stage] = resolve_tap(model, None, stage)[1]
        except SpecError:
            continue
    return found


def trace_path(model: keras.Model, tensor: Any) -> SpatialPath:
    """Read the way from a model's input to one of its tensors into steps that need no Keras."""
    steps: list[Step] = []
    places = {id(source): -1 for source in model.inputs}
    place = _trace(tensor, places, steps)
    if place != len(steps) - 1:
        steps.append(Step((place,)))
    return SpatialPath(tuple(steps))


def values_per_pixel(model: keras.Model) -> float:
    """Count the values that a forward pass holds at once, for each pixel of its input.

    That is the largest sum, over all layers, of what enters one and what leaves it.
    """
    tensors = tensors_and_strides(model)
    values = {id(source): float(source.shape[-1] or 1) for source in model.inputs}
    values |= {id(tensor): (tensor.shape[-1] or 1) / stride**2 for tensor, stride in tensors if stride > 0}
    layers = ([tensor, *sources_of(tensor)] for tensor, _ in tensors)
    return max((sum(values.get(id(one), 0.0) for one in layer) for layer in layers), default=3.0)


def _describe(model: keras.Model, tensor: Any, name: str, uncapped: bool) -> Tap:
    layer = operation_of(tensor).name.removesuffix(_UNCAPPED)
    if len(tensor.shape) != 4:
        raise SpecError(f"Expected a layer whose output is (n, h, w, C). Received: {layer!r} with {tensor.shape}.")
    path = trace_path(model, tensor)
    if not path.placed:
        raise SpecError(f"Expected a layer with a map. Received: {layer!r}, whose output covers the whole picture.")
    return Tap(name, layer, int(tensor.shape[-1]), round(path.strides[0]), uncapped)


_UNCAPPED = "_uncapped"


def _show(tensor: Any) -> tuple[Any, bool]:
    """Step back from a last layer that hides the picture; True if a cap was taken off.

    A final LayerNormalization makes the mean over channels nearly meaningless; a cap makes the maximum flat.
    """
    import keras

    operation = operation_of(tensor)
    sources = sources_of(tensor)
    if isinstance(operation, keras.Model):
        inner, uncapped = _show(operation.outputs[tensor._keras_history.tensor_index])
        if inner is operation.outputs[tensor._keras_history.tensor_index]:
            return tensor, False
        return keras.Model(operation.inputs, inner, name=f"{operation.name}{_UNCAPPED}")(sources), uncapped
    if isinstance(operation, keras.layers.LayerNormalization):
        return sources[0], False
    if _capped(operation):
        return keras.layers.ReLU(name=f"{operation.name}{_UNCAPPED}")(sources[0]), True
    return tensor, False


def _capped(operation: Any) -> bool:
    import keras

    if isinstance(operation, keras.layers.ReLU):
        return operation.max_value is not None
    return isinstance(operation, keras.layers.Activation) and operation.activation is keras.activations.relu6


def last_map(model: keras.Model) -> Any:
    """Find the model's output, or the last map before its head."""
    for tensor, stride in reversed(tensors_and_strides(model)):
        if stride > 0:
            return tensor
    raise SpecError(f"Expected a model with a layer whose output is (n, h, w, C). Received: {model.name}.")


def _stage_tensor(model: keras.Model, stage: str) -> Any:
    """The last map of a stage's stride that all later maps come from; paddings do not count.

    NASNet has none, because its cells look back two cells: there, the widest concatenation ends a cell.
    """
    import keras

    last, last_cell, reach = None, None, 0
    tensors = tensors_and_strides(model)
    consumers = _last_consumers([tensor for tensor, _ in tensors])
    for position, (tensor, stride) in enumerate(tensors):
        bypassed = reach > position
        reach = max(reach, consumers[position])
        padding = isinstance(operation_of(tensor), keras.layers.ZeroPadding2D)
        if stride == _STRIDES[stage] and not bypassed and not padding:
            last = tensor
        if stride == _STRIDES[stage] and isinstance(operation_of(tensor), keras.layers.Concatenate):
            last_cell = tensor if last_cell is None else max(tensor, last_cell, key=lambda t: t.shape[-1])
    last = last_cell if last is None else last
    if last is None:
        raise SpecError(f"Expected a stage that {model.name} has. Received: {stage} (stride {_STRIDES[stage]}).")
    return last


def tensors_and_strides(model: keras.Model) -> list[tuple[Any, float]]:
    """List every tensor that the output is computed from with the stride of its map, 0 if it is none."""
    steps: list[Step] = []
    places = {id(source): -1 for source in model.inputs}
    _trace(model.outputs[0], places, steps)
    strides = [*SpatialPath(tuple(steps)).step_strides(), 1.0]
    return [(tensor, strides[places[id(tensor)]]) for tensor in tensors_in_order(model)]


def tensors_in_order(model: keras.Model) -> list[Any]:
    """List every tensor that the output is computed from, sources before what is computed from them."""
    ordered: list[Any] = []
    seen: set[int] = {id(source) for source in model.inputs}
    stack: list[tuple[Any, bool]] = [(output, False) for output in reversed(model.outputs)]
    while stack:
        tensor, sources_done = stack.pop()
        if sources_done:
            ordered.append(tensor)
        elif id(tensor) not in seen:
            seen.add(id(tensor))
            stack.append((tensor, True))
            stack += [(source, False) for source in reversed(sources_of(tensor))]
    return ordered


def _last_consumers(tensors: list[Any]) -> list[int]:
    """For each tensor, the position of the last one that is computed directly from it."""
    positions = {id(tensor): position for position, tensor in enumerate(tensors)}
    last = list(range(len(tensors)))
    for position, tensor in enumerate(tensors):
        for source in sources_of(tensor):
            if id(source) in positions:
                last[positions[id(source)]] = position
    return last


def _layer_output(model: keras.Model, name: str) -> Any:
    names = [layer.name for layer in model.layers]
    if name not in names:
        near = difflib.get_close_matches(name, [*names, "auto", "output", *STAGES], n=3, cutoff=0.5)
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        raise SpecError(f"Expected auto, output, C2 to C5 or a layer of {model.name}. Received: {name!r}.{hint}")
    output = model.get_layer(name).output
    if isinstance(output, list | tuple):
        raise SpecError(f"Expected a layer with one output. Received: {name!r} with {len(output)}.")
    return output


def operation_of(tensor: Any) -> Any:
    """The layer or operation that a tensor is the output of."""
    return tensor._keras_history.operation


def sources_of(tensor: Any) -> list[Any]:
    """The tensors that a tensor is directly computed from."""
    history = tensor._keras_history
    return list(history.operation._inbound_nodes[history.node_index].input_tensors)


def _trace(tensor: Any, places: dict[int, int], steps: list[Step]) -> int:
    """Append the steps that lead to a tensor and return its position; `places` holds those already there."""
    import keras

    pending = [tensor]
    while pending:
        current = pending[-1]
        if id(current) in places:
            pending.pop()
            continue
        sources = sources_of(current)
        missing = [source for source in sources if id(source) not in places]
        if missing:
            pending += missing
            continue
        pending.pop()
        operation = operation_of(current)
        inputs = [places[id(source)] for source in sources]
        if type(operation).__name__ == "Reshape":
            inputs = [places[id(source)] for source in map(partial(_same_grid, current), sources)]
        if isinstance(operation, keras.Model):
            inside = {id(inner): place for inner, place in zip(operation.inputs, inputs, strict=True)}
            places[id(current)] = _trace(operation.outputs[current._keras_history.tensor_index], inside, steps)
            continue
        steps.append(Step(tuple(inputs), _change(operation), _covers_everything(operation, current)))
        places[id(current)] = len(steps) - 1
    return places[id(tensor)]


def _same_grid(grid: Any, tokens: Any) -> Any:
    """The map whose cells became a row of tokens, (n, h * w, C), that is a grid of cells again; else the tokens.

    Attention works on such rows. A plain vector, as a decoder unfolds it, has no cells any more.
    """
    pending, seen = deque([tokens]), {id(tokens)}
    while pending and len(grid.shape) == 4:
        current = pending.popleft()
        if len(current.shape) == 4 and current.shape[1:3] == grid.shape[1:3]:
            return current
        if len(current.shape) == 3:
            before = [source for source in sources_of(current) if id(source) not in seen]
            seen.update(map(id, before))
            pending += before
    return tokens


def _covers_everything(operation: Any, tensor: Any) -> bool:
    import keras

    if type(operation).__name__ == "GetItem" and _takes_a_channel(tensor):
        return False
    return len(tensor.shape) != 4 or isinstance(
        operation, keras.layers.GlobalAveragePooling2D | keras.layers.GlobalMaxPooling2D
    )


def _takes_a_channel(tensor: Any) -> bool:
    """Whether a tensor is one channel of a map, ``x[..., 2]``: a map without an axis for channels."""
    history = tensor._keras_history
    arguments = history.operation._inbound_nodes[history.node_index].arguments
    source, key = [*arguments.args, *arguments.kwargs.values()][:2]
    return len(source.shape) == 4 and isinstance(key, list | tuple) and key[0] is Ellipsis and isinstance(key[-1], int)


def _change(operation: Any) -> Pair[Change] | None:
    """What a layer does to rows and columns; layers not named here work cell by cell."""
    from keras import layers

    if isinstance(operation, layers.SpectralNormalization):
        operation = operation.layer
    if isinstance(operation, layers.Conv2DTranspose):
        return _both(Finer, operation.strides, operation.kernel_size, operation.padding)
    if isinstance(operation, layers.Conv2D | layers.DepthwiseConv2D | layers.SeparableConv2D):
        sizes = [(k - 1) * d + 1 for k, d in zip(operation.kernel_size, operation.dilation_rate, strict=True)]
        return _both(Window, sizes, operation.strides, operation.padding)
    if isinstance(operation, layers.MaxPooling2D | layers.AveragePooling2D):
        return _both(Window, operation.pool_size, operation.strides, operation.padding)
    if isinstance(operation, layers.ZeroPadding2D):
        (top, bottom), (left, right) = operation.padding
        return Margin(top, bottom), Margin(left, right)
    if isinstance(operation, layers.Cropping2D):
        (top, bottom), (left, right) = operation.cropping
        return Margin(-top, -bottom), Margin(-left, -right)
    if isinstance(operation, layers.UpSampling2D):
        return _both(Finer, operation.size, operation.size, "same")
    return None


def _both(kind: type[Window] | type[Finer], first: Any, second: Any, padding: Literal["valid", "same"]) -> Pair[Change]:
    return kind(first[0], second[0], padding), kind(first[1], second[1], padding)
