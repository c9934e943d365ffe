"""A model of several outputs: how they are called, and which of them it is made for."""

from __future__ import annotations

import re
from typing import Any

from convfe_core.graph.walk import operation_of, sources_of, tensors_in_order

_MAIN = re.compile(r"(^|[^a-z])(main|final|primary)([^a-z]|$)|^(outputs?|predictions?)$")


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
