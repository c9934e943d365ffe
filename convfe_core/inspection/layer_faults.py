"""Faults of single layers: weights that cannot be, where NaN begins, and statistics that do not fit the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.backbones.backbone import Network
from convfe_core.backbones.model_runs import about_model
from convfe_core.base.arrays import PixelArray, Values
from convfe_core.graph.batch_norm_statistics import is_initial, norm_divergence, stored_statistics
from convfe_core.graph.walk import operation_of, tensors_in_order

ALIKE = 1e-6
"""Filters are equal when they differ by less than this share of their magnitude."""


@dataclass(frozen=True)
class WeightFault:
    """What is wrong with one layer's weights: ``NaN`` (or infinity), ``zero`` or ``alike`` (equal filters)."""

    layer: str
    kind: str


@dataclass(frozen=True)
class NormMisfit:
    """How far a BatchNormalization's stored statistics are from those of the photographs.

    Attributes
    ----------
    divergence : median over channels of the Kullback-Leibler divergence, in nats; about 0.5 or less where they fit
    wider : by what factor the data's spread exceeds the stored one, the median over channels
    """

    layer: str
    divergence: float
    wider: float


def weight_faults(network: Network) -> list[WeightFault]:
    """Look through the kernels of all layers up to the tapped one, first layer first."""
    found = []
    for layer in layers_of(network):
        weights = [np.asarray(weight) for weight in getattr(layer, "weights", [])]
        if any(not np.isfinite(weight).all() for weight in weights):
            found.append(WeightFault(str(layer.name), "NaN"))
            continue
        kernels = [weight for weight in weights if weight.ndim >= 2 and weight.size > 1]
        if kernels and all(not kernel.any() for kernel in kernels):
            found.append(WeightFault(str(layer.name), "zero"))
        elif any(_alike(kernel) for kernel in map(partial(_filters, layer), kernels)):
            found.append(WeightFault(str(layer.name), "alike"))
    return found


def first_not_finite(network: Network, batch: PixelArray) -> str | None:
    """Name the first layer whose output holds NaN or infinity for (N, H, W, 3) pictures; None where none does."""
    import tensorflow as tf

    tensors = tensors_of(network)
    if not tensors:
        return None

    read = network.reader(tensors, "none")

    def finite(pixels: Any) -> Any:
        return tf.stack([tf.reduce_all(tf.math.is_finite(value)) for value in read(pixels)])

    with about_model(network.label, network.own):
        answers = tf.function(finite, autograph=False)(tf.constant(batch)).numpy()
    broken = (operation_of(tensor) for tensor, fine in zip(tensors, answers, strict=True) if not fine)
    return next((str(layer.name) for layer in broken), None)


class NormGatherer:
    """Compares every BatchNormalization's statistics with those of the photographs it is given."""

    def __init__(self, network: Network) -> None:
        import keras

        self._layers = [layer for layer in layers_of(network) if isinstance(layer, keras.layers.BatchNormalization)]
        self._counts = [int(layer.moving_mean.shape[0]) for layer in self._layers]
        self._graph = _moments(network, self._layers) if self._layers else None
        self._means: list[Values] = []
        self._squares: list[Values] = []

    def add(self, batch: PixelArray) -> None:
        """Take (1, H, W, 3) uint8: a photograph as the network receives it."""
        import tensorflow as tf

        if self._graph is not None:
            mean, variance = (value.numpy().astype(np.float64) for value in self._graph(tf.constant(batch)))
            self._means.append(mean)
            self._squares.append(variance + mean**2)

    @property
    def never_trained(self) -> bool:
        """Whether every statistic is still the one that a layer begins with."""
        return bool(self._layers) and all(map(is_initial, self._layers))

    def misfits(self) -> list[NormMisfit]:
        """List every layer that was ever trained, in the network's order."""
        if not self._means:
            return []
        mean = np.mean(self._means, axis=0)
        variance = np.maximum(np.mean(self._squares, axis=0) - mean**2, 0)
        found, start = [], 0
        for layer, count in zip(self._layers, self._counts, strict=True):
            part = slice(start, start + count)
            start += count
            if not is_initial(layer):
                divergence, wider = norm_divergence(mean[part], variance[part], stored_statistics(layer))
                found.append(NormMisfit(str(layer.name), divergence, wider))
        return found


def _moments(network: Network, layers: list[Any]) -> Callable[[Any], Any]:
    import tensorflow as tf

    read = network.reader([layer.input for layer in layers], "none")

    def moments(pixels: Any) -> tuple[Any, Any]:
        pairs = [tf.nn.moments(value, axes=list(range(len(value.shape) - 1))) for value in read(pixels)]
        return tf.concat([mean for mean, _ in pairs], 0), tf.concat([variance for _, variance in pairs], 0)

    return network.freeze(moments)


def tensors_of(network: Network) -> list[Any]:
    """The tensors that the tapped one is computed from, in order, itself last."""
    import keras

    return tensors_in_order(keras.Model(network.model.inputs, network.tensor))


def layers_of(network: Network) -> list[Any]:
    """The layers that the tapped tensor is computed by, each once, in order."""
    return list(dict.fromkeys(map(operation_of, tensors_of(network))))


def _filters(layer: Any, kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """(numbers, filters) of a convolution's kernel; nothing of other weights, or of a blur, alike on purpose."""
    import keras

    if kernel.ndim != 4:
        return kernel[:0].reshape(0, 1)
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return kernel.reshape(kernel.shape[0] * kernel.shape[1], -1) if (kernel < 0).any() else kernel[:0].reshape(0, 1)
    return kernel.reshape(-1, kernel.shape[-1])


def _alike(filters: NDArray[np.float32]) -> bool:
    """Whether all of several filters, (numbers, filters), are equal and not zero."""
    largest = float(np.abs(filters).max(initial=0))
    return filters.shape[1] > 1 and largest > 0 and float(np.ptp(filters, axis=1).max()) <= ALIKE * largest
