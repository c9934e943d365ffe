"""Faults of single layers: weights that cannot be, where NaN begins, and statistics that do not fit the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.base.arrays import FloatArray
from convfe_core.graph.batch_norm_statistics import norm_divergence
from convfe_core.inspection.layer_watch import WatchedLayer

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


def weight_faults(layers: Sequence[WatchedLayer]) -> list[WeightFault]:
    """Look through the kernels of layers, in their order."""
    found = []
    for layer in layers:
        weights = layer.weights()
        if any(not np.isfinite(weight).all() for weight in weights):
            found.append(WeightFault(layer.name, "NaN"))
            continue
        kernels = [weight for weight in weights if weight.ndim >= 2 and weight.size > 1]
        if kernels and all(not kernel.any() for kernel in kernels):
            found.append(WeightFault(layer.name, "zero"))
        elif any(_alike(kernel) for kernel in map(layer.filters, kernels)):
            found.append(WeightFault(layer.name, "alike"))
    return found


class FiniteWatch:
    """Watches every tensor for NaN and infinity."""

    def __init__(self, layers: Sequence[WatchedLayer]) -> None:
        outputs = [(layer.name, tensor) for layer in layers for tensor, _ in layer.outputs]
        self._names, self.tensors = [name for name, _ in outputs], [tensor for _, tensor in outputs]
        self.rows: list[FloatArray] = []

    def reduce(self, values: list[Any]) -> Any:
        """1 for each tensor whose values are all numbers, else 0; the same for all photographs of a batch."""
        import tensorflow as tf

        finite = tf.stack([tf.reduce_all(tf.math.is_finite(value)) for value in values])
        return tf.repeat(tf.cast(finite, tf.float32)[None], tf.shape(values[-1])[0], axis=0)

    def first_layer(self) -> str | None:
        """Name the first layer whose output was not finite; None where all were."""
        finite = np.all(self.rows, axis=0) if self.rows else []
        return next((name for name, fine in zip(self._names, finite, strict=False) if not fine), None)


class NormWatch:
    """Compares every BatchNormalization's statistics with those of what enters it."""

    def __init__(self, layers: Sequence[WatchedLayer]) -> None:
        self._norms = [(layer.name, layer.norm) for layer in layers if layer.norm is not None]
        self.tensors = [norm.entering for _, norm in self._norms]
        self.rows: list[FloatArray] = []

    def reduce(self, values: list[Any]) -> Any:
        """The mean of every channel of every layer, then the variances."""
        import tensorflow as tf

        moments = [tf.nn.moments(value, axes=list(range(1, len(value.shape) - 1))) for value in values]
        return tf.concat([part for parts in zip(*moments, strict=True) for part in parts], 1)

    @property
    def never_trained(self) -> bool:
        """Whether every statistic is still the one that a layer begins with."""
        return bool(self._norms) and all(norm.initial for _, norm in self._norms)

    def misfits(self) -> list[NormMisfit]:
        """List every layer that was ever trained, in the network's order."""
        if not self.rows:
            return []
        means, variances = np.split(np.stack(self.rows).astype(np.float64), 2, axis=1)
        mean = means.mean(axis=0)
        variance = np.maximum((variances + means**2).mean(axis=0) - mean**2, 0)
        ends = np.cumsum([len(norm.mean) for _, norm in self._norms])[:-1]
        found = []
        for (name, norm), mean_of, variance_of in zip(
            self._norms, np.split(mean, ends), np.split(variance, ends), strict=True
        ):
            if not norm.initial:
                divergence, wider = norm_divergence(mean_of, variance_of, (norm.mean, norm.variance))
                found.append(NormMisfit(name, divergence, wider))
        return found


def _alike(filters: NDArray[np.float32]) -> bool:
    """Whether all of several filters, (numbers, filters), are equal and not zero."""
    largest = float(np.abs(filters).max(initial=0))
    return filters.shape[1] > 1 and largest > 0 and float(np.ptp(filters, axis=1).max()) <= ALIKE * largest
