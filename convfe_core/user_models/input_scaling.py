"""How a model of the user's own wants its pixels: a guess with its reason, and a look at what it really receives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.catalog.architectures import Architecture, Preprocessing
from convfe_core.catalog.pixel_scaling import (
    SCALING_WORDS,
    SCALINGS,
    ScalingGuess,
    fitting_scaling,
    scale_pixels,
    to_grey,
)
from convfe_core.graph.batch_norm_statistics import is_initial, norm_divergence, stored_statistics
from convfe_core.graph.walk import operation_of, tensors_in_order
from convfe_core.photos.gallery import load_sample
from convfe_core.photos.letterbox import place_on_canvas, plan_frame
from convfe_core.photos.photo import Photo

_SCALING_LAYERS = ("Rescaling", "Normalization", "TrueDivide", "Divide", "Multiply", "Subtract", "Add")
_AMPLE_SIDE = 224
_SAMPLES = ("chelsea", "motorcycle", "tissue")
"""Photographs that scalings are tried on, of different brightness."""


@dataclass(frozen=True, eq=False)
class InputAudit:
    """What the first layer with weights receives for one photograph.

    Attributes
    ----------
    low, high, mean, deviation : of its values
    picture : (H, W, C) float32, as received
    layer : the first layer with weights
    scaled_by : layers inside the model that scale pixels before it
    warnings : one sentence each
    """

    low: float
    high: float
    mean: float
    deviation: float
    picture: NDArray[np.float32]
    layer: str
    scaled_by: tuple[str, ...]
    warnings: tuple[str, ...]


def guess_scaling(model: Any, architecture: Architecture | None) -> ScalingGuess:
    """Guess how pixels enter a flat model.

    What is known comes first: layers inside that scale, then the recognised family. Without either, the scaling is
    taken under which photographs give the first BatchNormalization the statistics that it saw in training.

    Parameters
    ----------
    model : from `convfe_core.user_models.flatten.flatten_model`
    architecture : what `convfe_core.user_models.recognition.recognise_backbone` found
    """
    inside = scaling_layers(model)
    if inside:
        return ScalingGuess("raw", f"its layer {inside[0]!r} scales them itself")
    if architecture is not None:
        return ScalingGuess(architecture.preprocessing, f"its layers are those of {architecture.name}")
    fits = fitting_scaling(norm_misfits(model))
    return fits or ScalingGuess("unit", "nothing in the file tells; this is the most common, check the picture below")


def scaling_layers(model: Any) -> tuple[str, ...]:
    """Names of the layers that scale pixels before the first layer with trained weights."""
    found = []
    for tensor in tensors_in_order(model):
        layer = operation_of(tensor)
        if type(layer).__name__ in _SCALING_LAYERS:
            found.append(str(layer.name))
        elif getattr(layer, "weights", []):
            break
    return tuple(found)


def norm_misfits(model: Any, pictures: Iterable[NDArray[Any]] | None = None) -> dict[Preprocessing, float]:
    """How badly the first BatchNormalization's statistics fit photographs under each scaling; lower is better.

    Empty without such a layer, or with one that was never trained.

    Parameters
    ----------
    pictures : (H, W, 3) of 0..255 each, sample photographs unless given

    Returns
    -------
    of each scaling the divergence, in nats, that `convfe_core.graph.batch_norm_statistics.norm_divergence` gives
    """
    import keras

    for tensor in tensors_in_order(model):
        layer = operation_of(tensor)
        if isinstance(layer, keras.layers.BatchNormalization):
            break
    else:
        return {}
    if is_initial(layer):
        return {}
    before = keras.Model(model.inputs, layer.input)
    pictures = list(_samples(model) if pictures is None else pictures)
    misfits: dict[Preprocessing, float] = {}
    for mode in SCALINGS if model.inputs[0].shape[-1] == 3 else SCALINGS[:3]:
        means, squares = [], []
        for picture in pictures:
            scaled = _colours(scale_pixels(picture[None].astype(np.float32), mode), model)
            values = np.asarray(before([scaled], training=False), np.float64)
            means.append(values.mean(axis=(0, 1, 2)))
            squares.append(np.square(values).mean(axis=(0, 1, 2)))
        mean = np.mean(means, axis=0)
        variance = np.maximum(np.mean(squares, axis=0) - mean**2, 0)
        misfits[mode] = norm_divergence(mean, variance, stored_statistics(layer))[0]
    return misfits


def _samples(model: Any) -> Iterator[NDArray[np.float32]]:
    height, width = (side or _AMPLE_SIDE for side in model.inputs[0].shape[1:3])
    return (_canvas(load_sample(name), height, width) for name in _SAMPLES)


def _canvas(photo: Photo, height: int, width: int) -> NDArray[np.float32]:
    frame = plan_frame(photo.height, photo.width, None, fixed=(height, width))
    return place_on_canvas(photo, frame).astype(np.float32)


def _colours(scaled: Any, model: Any) -> Any:
    return scaled if model.inputs[0].shape[-1] == 3 else to_grey(scaled)


def audit_input(model: Any, mode: Preprocessing, photo: Photo, size: tuple[int, int]) -> InputAudit:
    """Run a photograph up to the first layer with weights and say what arrives there.

    Parameters
    ----------
    model : Keras 3 model with one picture input
    mode : how pixels are scaled before they enter
    size : (height, width) of the input, where the model takes any
    """
    import keras

    height, width = (own or side for own, side in zip(model.inputs[0].shape[1:3], size, strict=True))
    batch = _colours(scale_pixels(_canvas(photo, height, width)[None], mode), model)
    layers = map(operation_of, tensors_in_order(model))
    first = next((one for one in layers if type(one).__name__ != "Normalization" and getattr(one, "weights", [])), None)
    received = np.asarray(batch, np.float32)[0]
    if first is not None and first.input is not model.inputs[0]:
        received = np.asarray(keras.Model(model.inputs, first.input)([batch], training=False))[0]
    return audit_of(received, mode, "" if first is None else str(first.name), scaling_layers(model))


def audit_of(received: NDArray[np.float32], mode: Preprocessing, layer: str, inside: tuple[str, ...]) -> InputAudit:
    """What there is to say of a picture as a layer receives it.

    Parameters
    ----------
    received : (H, W, C)
    mode : how pixels were scaled before they entered the model
    layer, inside : as in `InputAudit`
    """
    return InputAudit(
        low=float(received.min()),
        high=float(received.max()),
        mean=float(received.mean()),
        deviation=float(received.std()),
        picture=received,
        layer=layer,
        scaled_by=inside,
        warnings=tuple(_warnings(received, mode, inside)),
    )


def _warnings(received: NDArray[np.float32], mode: Preprocessing, inside: tuple[str, ...]) -> list[str]:
    found = []
    if inside and mode != "raw":
        found.append(
            f"Scaled twice: to {SCALING_WORDS[mode]} before the model and again by its layer {inside[0]!r}; choose raw."
        )
    if float(np.ptp(received)) < 0.1:
        found.append(
            f"The first layer sees values from {received.min():.3g} to {received.max():.3g} only, "
            "as if pixels were scaled twice."
        )
    return found
