"""One operation of a TensorFlow graph while it is translated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.engine.onnx_writer import MAP_RANK, OnnxWriter, UntranslatableError, Value


@dataclass(frozen=True, eq=False)
class OperationCall:
    """One operation of a TensorFlow graph, to be written.

    Attributes
    ----------
    operation : tf.Operation
    inputs : what its inputs became, in their order
    """

    operation: Any
    inputs: Sequence[Value]
    writer: OnnxWriter

    def setting(self, name: str) -> Any:
        """An attribute of the operation, text as str."""
        value = self.operation.get_attr(name)
        return value.decode() if isinstance(value, bytes) else value

    def known(self, position: int) -> NDArray[Any]:
        """The values of an input that must be constant."""
        values = self.inputs[position].constant
        if values is None:
            raise UntranslatableError(f"{self.operation.type} with an input that is no constant")
        return values

    def rank(self, position: int = 0) -> int:
        """How many dimensions an input has."""
        rank = self.operation.inputs[position].shape.rank
        if rank is None:
            raise UntranslatableError(f"{self.operation.type} of an unknown shape")
        return int(rank)

    def axes(self, position: int) -> list[int]:
        """Dimensions of the first input, as a constant input names them, counted from the front."""
        return [int(axis) % self.rank() for axis in np.ravel(self.known(position))]

    def require_channels_last(self) -> None:
        """Refuse what TensorFlow would compute with the channels first."""
        if self.setting("data_format") != "NHWC":
            raise UntranslatableError("channels first")

    @property
    def on_maps(self) -> bool:
        """Whether the inputs can be taken with the channels first: maps, one of them made so, and constants.

        Not where that would turn a whole map. To turn the others instead costs less: where onnxruntime leaves its
        blocks of channels after a convolution, and comes back to them before the next, it takes either order.
        """
        given = [(value, self.rank(k)) for k, value in enumerate(self.inputs)]
        return (
            any(value.is_first for value, _ in given)
            and all(rank <= MAP_RANK if value.constant is not None else rank in (0, MAP_RANK) for value, rank in given)
            and not any(self._is_whole_map(k) and value.first is None for k, value in enumerate(self.inputs))
        )

    def _is_whole_map(self, position: int) -> bool:
        """Whether an input is a computed map, of more than one cell as far as TensorFlow knows."""
        shape = self.operation.inputs[position].shape
        return self.inputs[position].constant is None and len(shape) == MAP_RANK and shape[1:3].as_list() != [1, 1]

    def names(self) -> list[str]:
        """The inputs in the order of dimensions that they are taken in."""
        take = self.writer.first if self.on_maps else self.writer.last
        return [take(value) if self.rank(k) else self.writer.last(value) for k, value in enumerate(self.inputs)]

    def made(self, name: str) -> Value:
        """A value in the order of dimensions that the inputs were taken in."""
        return Value(first=name) if self.on_maps else Value(last=name)


OperationRule = Callable[[OperationCall], Value | list[Value]]
"""Writes a call, and returns what its output became, or its several outputs."""
