"""A loaded model, of Keras 3 or tf-keras and with models nested in it, as one flat Keras 3 model.

Everything else in the engine then works on it as on a network of the catalog: taps, strides, freezing. Layers are made
anew from their settings and given the same weights, so that the input's size can be opened.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.base.errors import ModelFileError
from convfe_core.graph.walk import operation_of, sources_of
from convfe_core.model_files.allowed_names import ONLY_IN_TRAINING, TENSORFLOW_LAYERS, layers_of_applications

_RENAMED = {"RandomCrop": "Resizing", "SyncBatchNormalization": "BatchNormalization", "ThresholdedReLU": "ReLU"}
"""What Keras 3 has for a layer of tf-keras, whose RandomCrop makes pictures fit outside training."""
_INNER_LAYERS = ("layer", "backward_layer", "cell", "cells")
"""Settings of a layer that are layers themselves."""
_CALLING_ARGUMENTS = ("training", "mask", "name")


def flatten_model(
    model: Any, side_lengths: tuple[int | None, int | None] | None = None, *, trained: bool = True
) -> Any:
    """Rebuild a model without nesting.

    Parameters
    ----------
    model : a Functional or Sequential model of Keras 3 or tf-keras with one input (n, H, W, C)
    side_lengths : (H, W) of the new model's input, None for any; by default the model's own
    trained : with the model's weights; else as freshly initialised from Keras' global seed

    Returns
    -------
    keras.Model of layers alone, with all the outputs of the model

    Raises
    ------
    ModelFileError : a model or layer that cannot be rebuilt
    """
    import keras

    height, width, channels = picture_shape(model)
    if side_lengths is not None:
        height, width = side_lengths
    picture = keras.Input((height, width, channels), name="picture")
    rebuild = _Rebuild()
    outputs = rebuild.run(model, [picture])
    flat = keras.Model(picture, outputs if len(outputs) > 1 else outputs[0], name=_clean(model.name))
    rebuild.set_weights(trained=trained)
    return flat


def picture_shape(model: Any) -> tuple[int | None, int | None, int]:
    """(height, width, channels) that a model takes, None where any.

    Raises
    ------
    ModelFileError : the model takes no single picture of one or three colours
    """
    inputs = getattr(model, "inputs", None)
    shapes = [tuple(tensor.shape) for tensor in inputs or []]
    if len(shapes) != 1 or len(shapes[0]) != 4:
        raise ModelFileError(
            f"{model.name}: expected a model that takes one picture (n, height, width, 3). "
            f"Received: {', '.join(map(str, shapes)) or 'one that was never built'}."
        )
    _, height, width, channels = shapes[0]
    if channels not in (1, 3):
        raise ModelFileError(
            f"{model.name}: expected a picture of 3 colours or 1 last, (n, height, width, 3). Received: {shapes[0]}."
        )
    return height, width, channels


class _Rebuild:
    """Layers made so far, by the layer they stand for."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[Any, Any]] = {}
        self._names: set[str] = {"picture"}

    def run(self, model: Any, inputs: list[Any], prefix: str = "") -> list[Any]:
        """Call new layers on tensors as a model calls its own; nested models are entered."""
        graph = getattr(model, "_functional", None) or model
        if not hasattr(graph, "_nodes_by_depth"):
            raise ModelFileError(
                f"{model.name}: expected a Functional or Sequential model, whose layers are known. "
                "Received: one whose layers are only known to the program that made it."
            )
        known = {id(old): new for old, new in zip(graph.inputs, inputs, strict=True)}
        for node in _nodes(graph):
            operation = getattr(node, "operation", None) or node.layer
            arguments, named = _arguments(node, known)
            if hasattr(operation, "_nodes_by_depth") or getattr(operation, "_functional", None) is not None:
                made = self.run(operation, [*arguments, *named.values()], operation.name)
            else:
                made = _outputs(self._call(operation, arguments, named, prefix))
            for old, new in zip(_as_list(node.outputs), made, strict=True):
                known[id(old)] = new
        return [known[id(output)] for output in graph.outputs]

    def set_weights(self, *, trained: bool) -> None:
        """Give the new layers the weights of the old; a Normalization keeps its statistics in any case."""
        for old, new in self._made.values():
            statistics = type(old).__name__ == "Normalization"
            if not (trained or statistics) or not getattr(old, "weights", []):
                continue
            values = _weights(old, new)
            if [tuple(w.shape) for w in new.weights] != [value.shape for value in values]:
                raise ModelFileError(f"layer {old.name!r}: expected weights of the shapes that Keras 3 gives it.")
            new.set_weights(values)
            if statistics:
                new.finalize_state()

    def _call(self, operation: Any, arguments: list[Any], named: dict[str, Any], prefix: str) -> Any:

        kind = type(operation).__name__
        if kind in ONLY_IN_TRAINING and not _crops_always(operation):
            return arguments[0]
        if kind in TENSORFLOW_LAYERS:
            from convfe_core.keras2.tensorflow_layers import replay

            made = replay(operation, arguments, named)
            self._name_new(made, [arguments, named], self._name(operation.name, prefix))
            return made
        if kind == "Pipeline":
            for layer in operation.layers:
                arguments = [self._call(layer, arguments, {}, prefix)]
            return arguments[0]
        if id(operation) not in self._made:
            self._made[id(operation)] = (operation, _remake(operation, self._name(operation.name, prefix)))
        return self._made[id(operation)][1](*arguments, **named)

    def _name_new(self, made: Any, given: Any, name: str) -> None:
        """Name the operations that were made of one layer after it, the last one exactly so."""
        import keras

        before = {id(tensor) for tensor in keras.tree.flatten(given)}
        pending = [tensor for tensor in keras.tree.flatten(made) if keras.utils.is_keras_tensor(tensor)]
        seen: set[int] = set()
        while pending:
            tensor = pending.pop()
            operation = operation_of(tensor)
            if id(tensor) not in before and id(operation) not in seen:
                operation.name = name if not seen else self._name(f"{name}_{operation.name}", "")
                seen.add(id(operation))
                pending += sources_of(tensor)

    def _name(self, name: str, prefix: str) -> str:
        """A name that no other layer has: the outer model's goes before a second one."""
        wanted = _clean(name)
        candidate, number = wanted, 1
        while candidate in self._names:
            candidate = _clean(f"{prefix}_{wanted}" if number == 1 and prefix else f"{wanted}_{number}")
            number += 1
        self._names.add(candidate)
        return candidate


def _nodes(graph: Any) -> Iterator[Any]:
    """The calls of a graph in an order in which each one's inputs are there."""
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        yield from (node for node in graph._nodes_by_depth[depth] if not node.is_input)


def _arguments(node: Any, known: dict[int, Any]) -> tuple[list[Any], dict[str, Any]]:
    """What a layer is called with, the tensors replaced by the new ones."""
    if hasattr(node, "arguments"):  # Keras 3
        arguments, named = node.arguments.fill_in(known)
    else:
        arguments, named = node.map_arguments({str(key): _Again(tensor) for key, tensor in known.items()})
    return list(arguments), {key: value for key, value in named.items() if key not in _CALLING_ARGUMENTS}


class _Again:
    """What tf-keras takes for a stack of copies of one tensor."""

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor

    def pop(self) -> Any:
        return self._tensor


def _remake(operation: Any, name: str) -> Any:
    """A new Keras 3 layer with the settings of a layer of Keras 3 or tf-keras."""
    import keras

    config = {**operation.get_config(), "name": name}
    if isinstance(operation, keras.Operation):
        if isinstance(operation, keras.layers.Layer) and not _quantized(operation):
            config |= {"dtype": "float32"} if "dtype" in config else {}
            if "lora_rank" in config:
                config["lora_rank"] = None  # what it adds to a kernel is added by `_weights`
        return type(operation).from_config(config)
    kind = _RENAMED.get(type(operation).__name__, type(operation).__name__)
    maker = getattr(keras.layers, kind, None) or layers_of_applications("keras").get(kind)
    if maker is None:
        raise ModelFileError(f"layer {name!r}: expected a layer that Keras 3 has. Received: {kind}.")
    if kind == "Resizing" and "seed" in config:
        config["crop_to_aspect_ratio"] = True  # as a RandomCrop of tf-keras does
    for key in set(_INNER_LAYERS) & set(config):
        config[key] = _remake_inner(getattr(operation, key, None))
    if "theta" in config:
        config["threshold"] = config.pop("theta")
    if kind == "LeakyReLU":
        config["negative_slope"] = config.pop("alpha", 0.3)
    if kind == "BatchNormalization" and not isinstance(config.get("axis", -1), int):
        config["axis"] = int(next(iter(config["axis"])))
    accepted = {*inspect.signature(maker.__init__).parameters, "name"}
    settings = {key: value for key, value in config.items() if key in accepted and value is not None}
    for key in [key for key in settings if key.endswith(("_regularizer", "_constraint"))]:
        del settings[key]
    for key in [key for key in settings if key.endswith("_initializer")]:
        settings[key] = _initializer(settings[key])
    return maker(**settings)


def _remake_inner(inner: Any) -> Any:
    """The layers within a layer of tf-keras, anew; a Bidirectional may have no layer of its own for the way back."""
    if isinstance(inner, list | tuple):
        return [_remake_inner(one) for one in inner]
    return None if inner is None else _remake(inner, _clean(inner.name))


def _crops_always(operation: Any) -> bool:
    """Whether a layer is a RandomCrop of tf-keras, which makes every picture of one size, not in training alone."""
    import keras

    return type(operation).__name__ == "RandomCrop" and not isinstance(operation, keras.Operation)


def _quantized(layer: Any) -> bool:
    """Whether a Keras 3 layer, or one within it, keeps its numbers in fewer bits, which its type alone tells."""
    import keras

    policy = layer.dtype_policy
    kinds = keras.dtype_policies.QuantizedDTypePolicy, keras.dtype_policies.QuantizedFloat8DTypePolicy
    return isinstance(policy, (*kinds, keras.dtype_policies.DTypePolicyMap))


def _weights(old: Any, new: Any) -> list[NDArray[Any]]:
    """The weights of a layer for another one like it; what LoRA added to a kernel (arXiv 2106.09685) is in it."""
    if getattr(old, "lora_enabled", False) and not _quantized(old):
        return [np.asarray(getattr(old, weight.name)) for weight in new.weights]
    return [np.asarray(value) for value in old.get_weights()]


def _initializer(described: Any) -> Any:
    """The initializer that a description names, for untrained weights; Keras' usual one where it names none."""
    import keras

    if isinstance(described, dict):
        described = {"class_name": described.get("class_name"), "config": described.get("config", {})}
    try:
        return keras.initializers.get(described)
    except (ValueError, TypeError):
        return keras.initializers.GlorotUniform()


def _outputs(made: Any) -> list[Any]:
    """What a call made, one by one; a tuple of numbers is a shape, which is one thing."""
    if isinstance(made, tuple) and not any(hasattr(one, "dtype") for one in made):
        return [made]
    return _as_list(made)


def _as_list(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def _clean(name: str) -> str:
    return name.replace("/", "_") or "layer"
