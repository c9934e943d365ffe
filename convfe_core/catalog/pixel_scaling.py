"""How pixels are scaled before they enter a network, bit for bit as Keras' ``preprocess_input`` does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from convfe_core.catalog.architectures import Preprocessing

SCALINGS: tuple[Preprocessing, ...] = get_args(Preprocessing)
"""Every way of scaling, the ones that treat all colours alike first."""

SCALING_WORDS: dict[Preprocessing, str] = {
    "raw": "0..255, as they are",
    "unit": "0..1",
    "tf": "-1..1",
    "torch": "ImageNet, PyTorch style",
    "caffe": "ImageNet, Caffe style (BGR)",
}
_CLEARLY = 0.5
"""The best scaling's misfit is below this share of the next one's."""

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)
"""RGB, of pixels in 0..1."""

CAFFE_MEAN = np.array([103.939, 116.779, 123.68], np.float32)
"""BGR, of pixels in 0..255."""


@dataclass(frozen=True)
class ScalingGuess:
    """A way of scaling pixels and, as a phrase, what speaks for it."""

    mode: Preprocessing
    reason: str


def fitting_scaling(misfits: Mapping[Preprocessing, float]) -> ScalingGuess | None:
    """The scaling that fits a BatchNormalization clearly better than the others; None where none does.

    Parameters
    ----------
    misfits : of each scaling how badly photographs under it fit, in nats; empty where nothing tells
    """
    if not misfits:
        return None
    first, second = sorted(misfits, key=lambda mode: misfits[mode])[:2]
    if misfits[first] >= _CLEARLY * misfits[second]:
        return None
    return ScalingGuess(first, "photographs scaled like that fit its first BatchNormalization best")


def scale_pixels(pixels: Any, mode: Preprocessing) -> Any:
    """Scale RGB pixels as a network expects them.

    NumPy arrays and TensorFlow tensors, inside a graph too, both work.

    Parameters
    ----------
    pixels : (..., 3) float32 array or tensor, values 0..255
    mode : ``raw`` leaves them alone; ``unit`` maps to 0..1; ``tf`` to -1..1; ``torch`` maps to 0..1 and
        standardises each channel; ``caffe`` swaps to BGR and subtracts each channel's mean

    Returns
    -------
    array or tensor
        Same type and shape, float32.

    Examples
    --------
    >>> scale_pixels(np.float32([[255, 0, 51]]), "tf")
    array([[ 1. , -1. , -0.6]], dtype=float32)
    """
    if mode == "raw":
        return pixels
    if mode == "unit":
        return pixels / np.float32(255.0)
    if mode == "tf":
        return pixels / np.float32(127.5) - np.float32(1.0)
    if mode == "torch":
        return (pixels / np.float32(255.0) - IMAGENET_MEAN) / IMAGENET_STD
    if mode == "caffe":
        return _swap_colours(pixels) - CAFFE_MEAN
    raise ValueError(f"Expected mode to be raw, unit, tf, torch or caffe. Received: {mode!r}.")


def _swap_colours(pixels: Any) -> Any:
    """RGB to BGR; TensorFlow reverses an axis in a third of the time that it slices one backwards."""
    if isinstance(pixels, np.ndarray):
        return pixels[..., ::-1]
    import tensorflow as tf

    return tf.reverse(pixels, [-1])


def to_grey(pixels: Any) -> Any:
    """(..., 3) to (..., 1) by ITU-R BT.601's luma, for networks that take one colour; arrays and tensors alike."""
    return 0.299 * pixels[..., 0:1] + 0.587 * pixels[..., 1:2] + 0.114 * pixels[..., 2:3]
