"""Where a model's head begins: its maps up to the last one of each output, and what must be said about them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from convfe_core.base.errors import SpecError
from convfe_core.base.wording import in_words
from convfe_core.graph.taps import last_map, tensors_and_strides
from convfe_core.graph.tracing import Trace
from convfe_core.graph.walk import operation_of, sources_of, tensors_in_order

_MAIN = re.compile(r"(^|[^a-z])(main|final|primary)([^a-z]|$)|^(outputs?|predictions?)$")
_AVERAGING = ("AveragePooling2D", "AdaptiveAveragePooling2D")
_POOLING = (*_AVERAGING, "MaxPooling2D", "AdaptiveMaxPooling2D")

_ATTENTION = ("Attention", "AdditiveAttention", "GroupedQueryAttention", "MultiHeadAttention")


@dataclass(frozen=True, eq=False)
class CutModel:
    """A model without its heads.

    Attributes
    ----------
    backbone : keras.Model up to the last maps; its first output is the map that is shown
    way_to_map : keras.Model of that map alone
    head : layers that were left out
    notes : one sentence for each thing that a reader of the map should know
    """

    backbone: Any
    way_to_map: Any
    head: tuple[str, ...]
    notes: tuple[str, ...]


def cut_heads(whole: Any, names: list[str]) -> CutModel:
    """Cut a flat model of one size after the last map on the way to each output.

    Parameters
    ----------
    names : of its outputs, see `output_names`

    Raises
    ------
    SpecError : it has no map
    """
    import keras

    first = main_output(whole, names) if len(names) > 1 else 0
    order = sorted(range(len(names)), key=lambda k: k != first)
    notes: list[str] = []
    maps: list[Any] = []
    for k in order:
        way = keras.Model(whole.inputs, whole.outputs[k], name=whole.name)
        try:
            shown, found = _shown_map(way)
        except SpecError:
            continue  # an output without a map of its own
        if not maps:
            notes += _note_of_outputs(names, k)
            notes += found + _note_of_lost(way)
        known = {id(tensor) for tensor in tensors_in_order(whole, maps)} if maps else set()
        if id(shown) not in known:
            maps.append(shown)
    if not maps:
        last_map(whole)  # says what is missing
    backbone = keras.Model(whole.inputs, maps if len(maps) > 1 else maps[0], name=whole.name)
    kept = {layer.name for layer in backbone.layers}
    return CutModel(
        backbone=backbone,
        way_to_map=keras.Model(whole.inputs, maps[0], name=whole.name),
        head=tuple(layer.name for layer in whole.layers if layer.name not in kept),
        notes=tuple(notes),
    )


def _shown_map(way: Any) -> tuple[Any, list[str]]:
    """The last map that shows something, and a note where layers behind it see the whole picture.

    Fully connected layers may be written as convolutions, whose kernels are as large as the map. Maps of one single
    cell belong to the head then, and so does the pooling before them; as does any pooling that averages at the end.
    """
    tensor = last_map(way)
    single = []
    if _is_single(tensor):
        placed = [one for one, stride in tensors_and_strides(way) if stride > 0]
        single = [one for one in placed if _is_single(one)]
        larger = [one for one in placed if not _is_single(one)]
        tensor = larger[-1] if larger else tensor
        single = single if larger else []
    connected = [one for one in single if getattr(operation_of(one), "weights", [])]
    while type(operation_of(tensor)).__name__ in (_POOLING if connected else _AVERAGING):
        tensor = sources_of(tensor)[0]
    if not connected:
        return tensor, []
    first = operation_of(connected[0]).name
    return tensor, [
        f"From its layer {first!r} on there is one single cell, as in fully connected layers; "
        f"the map of {operation_of(tensor).name!r} before them is shown."
    ]


def _is_single(tensor: Any) -> bool:
    return tuple(tensor.shape[1:3]) == (1, 1)


def _note_of_outputs(names: list[str], shown: int) -> list[str]:
    if len(names) == 1:
        return []
    others = in_words([repr(name) for k, name in enumerate(names) if k != shown])
    return [
        f"It has {len(names)} outputs: the last map on the way to {names[shown]!r} is shown. The layers on the way to "
        f"{others} can be chosen too."
    ]


def _note_of_lost(way: Any) -> list[str]:
    """Say it where maps are not offered because a layer before them is not known."""
    trace = Trace(way)
    for tensor in tensors_in_order(way):
        lost = trace.lost(tensor)
        is_map = len(tensor.shape) == 4 and not _is_single(tensor)
        if lost is not None and (is_map or type(operation_of(tensor)).__name__ in _ATTENTION):
            return [
                f"What its layer {lost!r} does to the places of cells is not known: maps before it are offered, "
                "those behind it are not."
            ]
    return []


def output_names(model: Any) -> list[str]:
    """What a model of Keras 3 or tf-keras calls its outputs, in the order of ``model.outputs``.

    That is the key of each where they come as a dict, else the layer's name.
    """
    if len(model.outputs) == 1:
        return ["output"]
    described = model.get_config().get("output_layers")
    if isinstance(described, dict) and len(described) == len(model.outputs):
        return sorted(map(str, described))
    return [str(name) for name in model.output_names]


def main_output(model: Any, names: list[str]) -> int:
    """Which output a flat model is made for.

    The one that is called so (``main``, ``main_output``, ``final`` ..., or just ``output`` or ``predictions``); else
    the deepest, with the longest chain of layers that have weights, as branches that help to train end before the
    network does; else the first.
    """
    named = [k for k, name in enumerate(names) if _MAIN.search(name.lower())]
    if len(named) == 1:
        return named[0]
    depths = _depths(model)
    return max(range(len(names)), key=lambda k: (depths[id(model.outputs[k])], -k))


def _depths(model: Any) -> dict[int, int]:
    """By tensor, how many layers with weights follow each other on the longest way to it."""
    depths = {id(picture): 0 for picture in model.inputs}
    for tensor in tensors_in_order(model):
        own = bool(getattr(operation_of(tensor), "weights", []))
        depths[id(tensor)] = own + max((depths[id(source)] for source in sources_of(tensor)), default=0)
    return depths
