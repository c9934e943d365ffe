"""What is known of a network, whoever reads or runs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convfe_core.base.arrays import FloatArray
from convfe_core.base.model_runs import about_model
from convfe_core.geometry.cell_geometry import CellGrid, SpatialPath
from convfe_core.graph.taps import Tap


@dataclass(frozen=True, eq=False, kw_only=True)
class Described:
    """What is known of a network beside its layers and weights.

    Attributes
    ----------
    label : how it is called in titles and files
    weights : ``imagenet``, ``untrained``, ``builtin`` or the name of a file
    tap : the layer that is looked at
    path : where cells lie for any input size
    working_size, native_size : longest side it does best at, and that it was trained at
    minimum_size : shortest side that it takes
    megabytes : memory that its weights hold
    activation_bytes : memory that a forward pass holds at once, for each pixel of its input
    fixed : (height, width) of the input of a network that takes no other
    notes : one sentence for each thing that a reader of its maps should know
    own : it comes from a model file of the user's own
    takes_bfloat16 : its layers can be computed in bfloat16
    """

    label: str
    weights: str
    tap: Tap
    path: SpatialPath
    working_size: int
    native_size: int
    minimum_size: int = 1
    megabytes: float
    activation_bytes: float
    fixed: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()
    own: bool = False
    takes_bfloat16: bool = True
    _grids: dict[tuple[int, int], CellGrid] = field(default_factory=dict, init=False, repr=False)

    def grid(self, input_height: int, input_width: int) -> CellGrid:
        """Where the cells lie on an input of this size, worked out once for each size."""
        size = input_height, input_width
        if size not in self._grids:
            with about_model(self.label, self.own):
                self._grids[size] = self.path.grid(*size)
        return self._grids[size]

    @property
    def channels(self) -> int:
        """Features of each cell, C."""
        return self.tap.channels

    @property
    def no_directions(self) -> FloatArray:
        """(C, 0): what a frozen graph takes where features are to be projected on nothing."""
        return np.zeros((self.channels, 0), np.float32)

    @property
    def all_directions(self) -> FloatArray:
        """(C, C): what a frozen graph takes where the features themselves are wanted."""
        return np.eye(self.channels, dtype=np.float32)

    @property
    def native_input(self) -> tuple[int, int]:
        """(height, width) of the input that it was trained at."""
        return self.fixed or (self.native_size, self.native_size)

    @property
    def receptive_field(self) -> float:
        """Input pixels that one cell sees, across."""
        return self.path.receptive_field[1]

    @property
    def pixels(self) -> Any:
        """The tf.TensorSpec of the batches that it takes: (N, H, W, 3) uint8, H and W open unless `fixed`."""
        import tensorflow as tf

        return tf.TensorSpec((None, *(self.fixed or (None, None)), 3), tf.uint8)
