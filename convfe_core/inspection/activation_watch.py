"""Activations on the way to the map that pass little on: silent below zero, or driven into their cap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convfe_core.base.arrays import FloatArray
from convfe_core.inspection.layer_watch import WatchedLayer

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
    """Watches every activation among layers."""

    def __init__(self, layers: Sequence[WatchedLayer]) -> None:
        self._layers = [
            (layer, tensor, channels)
            for layer in layers
            for tensor, channels in layer.outputs
            if layer.rectifies or layer.cap
        ]
        self.tensors = [tensor for _, tensor, _ in self._layers]
        self.rows: list[FloatArray] = []

    def reduce(self, values: list[Any]) -> Any:
        """The highest value of each channel, then of each activation the share at its cap."""
        import tensorflow as tf

        maps = [value if len(value.shape) == 4 else value[..., None] for value in values]
        highest = [tf.reduce_max(value, [1, 2]) for value in maps]
        capped = [
            tf.reduce_mean(tf.cast(tf.abs(value) >= (layer.cap or np.inf) * _AT_CAP, tf.float32), [1, 2, 3])
            for value, (layer, _, _) in zip(maps, self._layers, strict=True)
        ]
        return tf.concat([*highest, tf.stack(capped, 1)], 1)

    def activities(self) -> list[Activity]:
        """What every activation did, in the network's order."""
        if not self.rows:
            return []
        rows = np.stack(self.rows)
        count = len(self._layers)
        ends = np.cumsum([channels for _, _, channels in self._layers])[:-1]
        highest = np.split(rows[:, :-count].max(axis=0), ends)
        capped = rows[:, -count:].mean(axis=0)
        return [
            Activity(layer.name, float((most <= 0).mean()) if layer.rectifies else 0.0, float(share))
            for (layer, _, _), most, share in zip(self._layers, highest, capped, strict=True)
        ]
