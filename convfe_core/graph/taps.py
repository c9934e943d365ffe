"""Which layers of a model can be looked at."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convfe_core.base.errors import SpecError
from convfe_core.catalog.architectures import Architecture
from convfe_core.graph.tracing import MapPlace, Trace
from convfe_core.graph.walk import operation_of, sources_of, tensors_in_order

if TYPE_CHECKING:
    import keras

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
        last = last_map(model)
        if architecture is not None and last is not model.outputs[0]:  # an earlier map would be shown without a word
            raise SpecError(
                f"Expected {architecture.name} of layers that are known here. Received: others, from this version of "
                "Keras; choose a layer by its name, and please report this."
            )
        tensor, uncapped = _show(model, last)
    elif tap in _STRIDES:
        tensor, uncapped = _show(model, _stage_tensor(model, tap))
    else:
        tensor = _layer_output(model, tap)
    return _describe(model, tensor, tap, uncapped)


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


def values_per_pixel(model: keras.Model) -> float:
    """Count the values that a forward pass holds at once, for each pixel of its input.

    That is the largest sum, over all layers, of what enters one and what leaves it.
    """
    tensors = tensors_in_order(model)
    strides = Trace(model).strides(tensors)
    values = {id(source): float(source.shape[-1] or 1) for source in model.inputs}
    values |= {
        id(tensor): (tensor.shape[-1] or 1) / (down * across)
        for tensor, (down, across) in zip(tensors, strides, strict=True)
        if down
    }
    layers = ([tensor, *sources_of(tensor)] for tensor in tensors)
    return max((sum(values.get(id(one), 0.0) for one in layer) for layer in layers), default=3.0)


def _describe(model: keras.Model, tensor: Any, name: str, uncapped: bool) -> tuple[Any, Tap]:
    """Say what a tensor is, turned upright where it stands otherwise."""
    layer = operation_of(tensor).name.removesuffix(_UNCAPPED)
    trace = Trace(model, [tensor])
    found, lost = trace.map_of(tensor), trace.lost(tensor)
    if found is None and len(tensor.shape) != 4:
        raise SpecError(f"Expected a layer whose output is (n, h, w, C). Received: {layer!r} with {tensor.shape}.")
    if lost is not None:
        raise SpecError(
            f"Expected a layer before {lost!r}, behind which nobody knows where cells lie. Received: {layer!r}."
        )
    if found is None:
        raise SpecError(f"Expected a layer with a map. Received: {layer!r}, whose output covers the whole picture.")
    ((down, _),) = trace.strides([tensor])
    return _upright(tensor, found), Tap(name, layer, int(tensor.shape[-1]), max(1, round(down)), uncapped)


_UNCAPPED, _UPRIGHT = "_uncapped", "_upright"


def _upright(tensor: Any, found: MapPlace) -> Any:
    """Lay out tokens as a map; turn a map back whose columns come first, or whose last row or column does."""
    import keras

    def name_last(tensor: Any) -> Any:
        """Keras counts on from 0 in each process and may call another layer so."""
        operation_of(tensor).name = f"{operation_of(sources_of(tensor)[0]).name}{_UPRIGHT}"
        return tensor

    if found.row is not None:
        before = tensor.shape[1] - math.prod(found.row)
        tensor = name_last(tensor[:, before:]) if before else tensor
        tensor = name_last(keras.ops.reshape(tensor, (-1, *found.row, tensor.shape[2])))
    if found.turned:
        tensor = name_last(keras.ops.transpose(tensor, (0, 2, 1, 3)))
    mirrored = [axis for axis, last_first in enumerate(found.mirrored, start=1) if last_first]
    return name_last(keras.ops.flip(tensor, mirrored)) if mirrored else tensor


def _show(model: keras.Model, tensor: Any) -> tuple[Any, bool]:
    """Step back from a last layer that hides the picture; True if a cap was taken off.

    A final LayerNormalization makes the mean over channels nearly meaningless; a cap makes the maximum flat.
    """
    import keras

    tensor = _before_turns(model, tensor)
    operation = operation_of(tensor)
    sources = sources_of(tensor)
    if isinstance(operation, keras.Model):
        inner, uncapped = _show(operation, operation.outputs[tensor._keras_history.tensor_index])
        if inner is operation.outputs[tensor._keras_history.tensor_index]:
            return tensor, False
        return keras.Model(operation.inputs, inner, name=f"{operation.name}{_UNCAPPED}")(sources), uncapped
    if type(operation).__name__ in _NORMALIZING:
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
    """Find the model's first output, or the last map before its head.

    Layers that only turn it, mirror it or lay it out anew are passed over for the map before them.
    """
    for tensor, stride in reversed(_backbone_maps(model)):
        if stride > 0:
            return _before_turns(model, tensor)
    raise SpecError(f"Expected a model with a layer whose output is (n, h, w, C). Received: {model.name}.")


_TURNING = ("Permute", "Transpose", "Moveaxis", "Swapaxes", "Flip")
_LAID_OUT_ANEW = ("Reshape", "GetItem", "Slice", "Cropping1D")
"""Layers that may make a map of tokens or cut those off that stand for no place."""


def _backbone_maps(model: keras.Model) -> list[tuple[Any, float]]:
    """The tensors that a model's first output is computed from, with the stride of each that a backbone may end in.

    Tokens belong to a backbone up to their last normalisation, as each block of a transformer begins with one; without
    any they belong to a head, such as attention over the cells of a convolutional map.
    """
    found = tensors_and_strides(model, model.outputs[:1])
    normed = [
        stride > 0 and len(tensor.shape) == 3 and type(operation_of(tensor)).__name__ in _NORMALIZING
        for tensor, stride in found
    ]
    last = max((position for position, one in enumerate(normed) if one), default=-1)
    return [
        (tensor, stride if len(tensor.shape) == 4 or position <= last else 0.0)
        for position, (tensor, stride) in enumerate(found)
    ]


_NORMALIZING = ("LayerNormalization", "RMSNormalization")


def _before_turns(model: keras.Model, tensor: Any) -> Any:
    """The map before layers that change nothing about its cells but how they are laid out."""
    while True:
        kind = type(operation_of(tensor)).__name__
        if kind not in (*_TURNING, *_LAID_OUT_ANEW):
            return tensor
        source = sources_of(tensor)[0]
        if kind in _LAID_OUT_ANEW:
            trace = Trace(model, [tensor])
            here, before = trace.map_of(tensor), trace.map_of(source)
            same_cells = here is not None and before is not None and here.place == before.place
            if not same_cells or source.shape[-1] != tensor.shape[-1]:
                return tensor
        tensor = source


def _stage_tensor(model: keras.Model, stage: str) -> Any:
    """The last map of a stage's stride that all later maps are computed from; paddings do not count.

    NASNet has none, because each of its cells also takes the output of the cell before the last. There the widest
    concatenation of the stride is taken, which ends a cell.
    """
    import keras

    last, last_cell, reach = None, None, 0
    tensors = _backbone_maps(model)
    consumers = _last_consumers([tensor for tensor, _ in tensors])
    for position, (tensor, stride) in enumerate(tensors):
        bypassed = reach > position
        reach = max(reach, consumers[position])
        padding = isinstance(operation_of(tensor), keras.layers.ZeroPadding2D)
        at_stage = stride > 0 and round(math.log2(stride)) == round(math.log2(_STRIDES[stage]))
        if at_stage and not bypassed and not padding:
            last = tensor
        if at_stage and isinstance(operation_of(tensor), keras.layers.Concatenate):
            last_cell = tensor if last_cell is None else max(tensor, last_cell, key=lambda t: t.shape[-1])
    last = last_cell if last is None else last
    if last is None:
        raise SpecError(f"Expected a stage that {model.name} has. Received: {stage} (stride {_STRIDES[stage]}).")
    return last


def tensors_and_strides(model: keras.Model, outputs: list[Any] | None = None) -> list[tuple[Any, float]]:
    """List every tensor that some outputs are computed from with the stride of its map, 0 if it is none.

    Parameters
    ----------
    outputs : of the model; all of them where nothing is said
    """
    tensors = tensors_in_order(model, outputs)
    return [(tensor, down) for tensor, (down, _) in zip(tensors, Trace(model, outputs).strides(tensors), strict=True)]


def map_layers(model: keras.Model) -> tuple[str, ...]:
    """Names of the layers whose output is a map, from the picture on."""
    return tuple(str(operation_of(tensor).name) for tensor, stride in tensors_and_strides(model) if stride > 0)


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
    """What a layer gives, at its last call where there are several."""
    named = {operation_of(tensor).name: tensor for tensor in [*model.inputs, *tensors_in_order(model)]}
    if name not in named:
        near = difflib.get_close_matches(name, [*named, "auto", "output", *STAGES], n=3, cutoff=0.5)
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        raise SpecError(f"Expected auto, output, C2 to C5 or a layer of {model.name}. Received: {name!r}.{hint}")
    return named[name]
