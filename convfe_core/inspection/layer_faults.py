"""Faults of single layers: weights that cannot be, where NaN begins, and statistics that do not fit the data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.backbones.network import KerasNetwork
from convfe_core.base.arrays import FloatArray
from convfe_core.graph.batch_norm_statistics import is_initial, norm_divergence, stored_statistics
from convfe_core.graph.walk import operation_of
from convfe_core.inspection.layer_watch import layers_of, tensors_of

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


def weight_faults(network: KerasNetwork) -> list[WeightFault]:
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


class FiniteWatch:
    """Watches every tensor for NaN and infinity."""

    def __init__(self, network: KerasNetwork) -> None:
        self.tensors = tensors_of(network)
        self.rows: list[FloatArray] = []

    def reduce(self, values: list[Any]) -> Any:
        """1 for each tensor whose values are all numbers, else 0; the same for all photographs of a batch."""
        import tensorflow as tf

        finite = tf.stack([tf.reduce_all(tf.math.is_finite(value)) for value in values])
        return tf.repeat(tf.cast(finite, tf.float32)[None], tf.shape(values[-1])[0], axis=0)

    def first_layer(self) -> str | None:
        """Name the first layer whose output was not finite; None where all were."""
        finite = np.all(self.rows, axis=0) if self.rows else []
        broken = (operation_of(one) for one, fine in zip(self.tensors, finite, strict=True) if not fine)
        return next((str(layer.name) for layer in broken), None)


class NormWatch:
    """Compares every BatchNormalization's statistics with those of what enters it."""

    def __init__(self, network: KerasNetwork) -> None:
        import keras

        self._layers = [layer for layer in layers_of(network) if isinstance(layer, keras.layers.BatchNormalization)]
        self.tensors = [layer.input for layer in self._layers]
        self.rows: list[FloatArray] = []

    def reduce(self, values: list[Any]) -> Any:
        """The mean of every channel of every layer, then the variances."""
        import tensorflow as tf

        moments = [tf.nn.moments(value, axes=list(range(1, len(value.shape) - 1))) for value in values]
        return tf.concat([part for parts in zip(*moments, strict=True) for part in parts], 1)

    @property
    def never_trained(self) -> bool:
        """Whether every statistic is still the one that a layer begins with."""
        return bool(self._layers) and all(map(is_initial, self._layers))

    def misfits(self) -> list[NormMisfit]:
        """List every layer that was ever trained, in the network's order."""
        if not self.rows:
            return []
        means, variances = np.split(np.stack(self.rows).astype(np.float64), 2, axis=1)
        mean = means.mean(axis=0)
        variance = np.maximum((variances + means**2).mean(axis=0) - mean**2, 0)
        ends = np.cumsum([int(layer.moving_mean.shape[0]) for layer in self._layers])[:-1]
        found = []
        for layer, means_of, variances_of in zip(
            self._layers, np.split(mean, ends), np.split(variance, ends), strict=True
        ):
            if not is_initial(layer):
                divergence, wider = norm_divergence(means_of, variances_of, stored_statistics(layer))
                found.append(NormMisfit(str(layer.name), divergence, wider))
        return found


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
