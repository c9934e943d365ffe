"""Activations on the way to the map that pass little on: silent below zero, or driven into their cap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from convfe_core.backbones.network import Network
from convfe_core.base.arrays import FloatArray
from convfe_core.graph.taps import tensors_and_strides
from convfe_core.graph.walk import operation_of
from convfe_core.inspection.layer_watch import tensors_of

_CAPS = {"relu6": 6.0, "sigmoid": 1.0, "hard_sigmoid": 1.0, "tanh": 1.0, "hard_tanh": 1.0, "softsign": 1.0}
_RECTIFIERS = ("relu", "relu6")
_AT_CAP = 1 - 1e-3


@dataclass(frozen=True)
class Activity:
    """What one activation does over all photographs.

    Attributes
    ----------
    layer : that applies it
    silent : share of its channels that are never above zero; 0 where it lets negative values pass
    capped : share of its values at its cap; 0 where it has none
    """

    layer: str
    silent: float
    capped: float


class ActivityWatch:
    """Watches every activation of a network on the way to its map."""

    def __init__(self, network: Network) -> None:
        placed = {id(tensor) for tensor, stride in tensors_and_strides(network.model) if stride > 0}
        self.tensors = [
            tensor for tensor in _candidates(network) if id(tensor) in placed and any(_limits(operation_of(tensor)))
        ]
        self.rows: list[FloatArray] = []
        self._layers = [operation_of(tensor) for tensor in self.tensors]
        self._limits = [_limits(layer) for layer in self._layers]
        self._channels = [int(tensor.shape[-1]) if len(tensor.shape) == 4 else 1 for tensor in self.tensors]

    def reduce(self, values: list[Any]) -> Any:
        """The highest value of each channel, then of each activation the share at its cap."""
        import tensorflow as tf

        maps = [value if len(value.shape) == 4 else value[..., None] for value in values]
        highest = [tf.reduce_max(value, [1, 2]) for value in maps]
        capped = [
            tf.reduce_mean(tf.cast(tf.abs(value) >= (cap or np.inf) * _AT_CAP, tf.float32), [1, 2, 3])
            for value, (_, cap) in zip(maps, self._limits, strict=True)
        ]
        return tf.concat([*highest, tf.stack(capped, 1)], 1)

    def activities(self) -> list[Activity]:
        """What every activation did, in the network's order."""
        if not self.rows:
            return []
        rows = np.stack(self.rows)
        count = len(self._layers)
        highest = np.split(rows[:, :-count].max(axis=0), np.cumsum(self._channels)[:-1])
        capped = rows[:, -count:].mean(axis=0)
        return [
            Activity(str(layer.name), float((most <= 0).mean()) if rectifies else 0.0, float(share))
            for layer, most, share, (rectifies, _) in zip(self._layers, highest, capped, self._limits, strict=True)
        ]


def _candidates(network: Network) -> list[Any]:
    """Tensors up to the tapped one; where a cap was taken off there, the layer as it is, too."""
    tensors = tensors_of(network)
    if network.tap.uncapped:
        own = [layer.output for layer in network.model.layers if layer.name == network.tap.layer]
        tensors = [*tensors[:-1], *own]
    return tensors


def _limits(operation: Any) -> tuple[bool, float | None]:
    """Whether a layer cuts off what is below zero, and where it caps, if it does."""
    import keras

    if isinstance(operation, keras.layers.ReLU):
        return not operation.negative_slope and not operation.threshold, operation.max_value
    name = getattr(getattr(operation, "activation", None), "__name__", "")
    return name in _RECTIFIERS, _CAPS.get(name)
