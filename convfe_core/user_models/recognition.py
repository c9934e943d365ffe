"""Which architecture of the catalog a model's layers are, found by counting and then comparing its weights."""

from __future__ import annotations

import math
from typing import Any

from convfe_core.catalog.architectures import ARCHITECTURES, Architecture
from convfe_core.catalog.builders import build_model
from convfe_core.graph.walk import operation_of, tensors_in_order


def recognise_backbone(model: Any) -> Architecture | None:
    """Find the catalog's architecture that a flat model is, or begins with.

    The layers up to some map must hold exactly the weights of the architecture, shape by shape in order; layers of
    the user's own may follow. A Normalization before them does not count.

    Parameters
    ----------
    model : from `convfe_core.user_models.flatten.flatten_model`

    Returns
    -------
    Architecture or None
    """
    by_parameters = {architecture.parameters: architecture for architecture in reversed(ARCHITECTURES)}
    shapes: list[tuple[int, ...]] = []
    total, seen = 0, set()
    best: tuple[Architecture, list[tuple[int, ...]]] | None = None
    outside = _leading_normalization(model)
    for tensor in tensors_in_order(model):
        layer = operation_of(tensor)
        if id(layer) in seen or layer is outside:
            continue
        seen.add(id(layer))
        added = [tuple(weight.shape) for weight in getattr(layer, "weights", [])]
        shapes += added
        total += sum(map(math.prod, added))
        if added and total in by_parameters:
            best = by_parameters[total], sorted(shapes)
    if best is None:
        return None
    architecture, found = best
    wanted = sorted(tuple(weight.shape) for weight in build_model(architecture).weights)
    return architecture if wanted == found else None


def _leading_normalization(model: Any) -> Any:
    """A Normalization of the user's own in front; EfficientNet's own comes after its Rescaling and belongs to it."""
    import keras

    picture = model.inputs[0]
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.input is picture:
            return layer
    return None
