"""An ONNX graph while it is written, with maps in both orders of dimensions: TensorFlow's and onnxruntime's.

TensorFlow has the channels last, (N, H, W, C), and onnxruntime computes convolutions with the channels first,
(N, C, H, W). A map is turned only where an operation needs the other order, once for all that read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.onnx_models.session import weight_beside

if TYPE_CHECKING:
    from convfe_core.engine.operation_call import OperationCall

CHANNELS_FIRST, CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
MAP_RANK = 4
WEIGHTS_FILE = "weights"
LARGE_BYTES = 1 << 14
_PAGE_BYTES = 1 << 12


class UntranslatableError(Exception):
    """An operation, or a setting of one, that has no translation here."""


@dataclass(eq=False)
class Value:
    """What a TensorFlow tensor is in the ONNX graph; at least one of these is there.

    Attributes
    ----------
    constant : its values, where they are known
    last, first : its name with its dimensions as TensorFlow has them, and with the channels before the rows
    call : the operation that it came from; none for what a graph is given
    kernels : names of it as a kernel, by the order of its dimensions
    """

    constant: NDArray[Any] | None = None
    last: str | None = None
    first: str | None = None
    call: OperationCall | None = None
    kernels: dict[tuple[int, ...], str] = field(default_factory=dict)

    @property
    def is_first(self) -> bool:
        """Whether it is a map that is there with its channels first; a constant is in either order what it is."""
        return self.first is not None and self.constant is None


class OnnxWriter:
    """Nodes and constants of an ONNX graph, in the order in which they are written.

    Parameters
    ----------
    folder : constants of more than `LARGE_BYTES` go into a file there at once, `WEIGHTS_FILE`, so that the weights of
        a network are never in memory once more

    Attributes
    ----------
    nodes, initializers : onnx.NodeProto and onnx.TensorProto
    """

    def __init__(self, folder: Path) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self._file = folder / WEIGHTS_FILE
        self._number = 0

    def add(self, operation: str, *inputs: str, **settings: Any) -> str:
        """Write a node with one output, whose name is returned."""
        return self.add_several(1, operation, *inputs, **settings)[0]

    def add_several(self, outputs: int, operation: str, *inputs: str, **settings: Any) -> list[str]:
        """Write a node with several outputs, whose names are returned."""
        from onnx import helper

        names = [self._new_name(operation) for _ in range(outputs)]
        self.nodes.append(helper.make_node(operation, inputs, names, **settings))
        return names

    def constant(self, values: Any, kind: Any = None) -> str:
        """Write a constant, whose name is returned."""
        from onnx import numpy_helper

        name = self._new_name("constant")
        array = np.asarray(values, kind, order="C")
        large = array.nbytes > LARGE_BYTES
        self.initializers.append(self._beside(array, name) if large else numpy_helper.from_array(array, name))
        return name

    def numbers(self, *values: int) -> str:
        """Write whole numbers as a row, such as axes or a shape."""
        return self.constant(values, np.int64)

    def kernel(self, value: Value, order: tuple[int, ...], shape: tuple[int, ...] | None = None) -> str:
        """Write a kernel with its dimensions in another order, once for all layers that share it.

        TensorFlow turns it, which takes a tenth of NumPy's time.

        Parameters
        ----------
        shape : that it has then, if another one
        """
        import tensorflow as tf

        if order not in value.kernels:
            turned = np.asarray(memoryview(tf.transpose(value.constant, order)))
            value.kernels[order] = self.constant(turned if shape is None else turned.reshape(shape))
        return value.kernels[order]

    def last(self, value: Value) -> str:
        """The name of a value with its dimensions as TensorFlow has them."""
        if value.last is None:
            value.last = (
                self.constant(value.constant)
                if value.constant is not None
                else self.add("Transpose", str(value.first), perm=CHANNELS_LAST)
            )
        return value.last

    def first(self, value: Value) -> str:
        """The name of a map with its channels first, or of a constant that is joined to one by broadcasting."""
        if value.first is None:
            value.first = (
                self.constant(channels_first(value.constant))
                if value.constant is not None
                else self.add("Transpose", str(value.last), perm=CHANNELS_FIRST)
            )
        return value.first

    def drop_unread(self, outputs: Sequence[str]) -> None:
        """Leave out nodes and constants that no output needs; onnxruntime would compute them."""
        read, needed = set(outputs), []
        for node in reversed(self.nodes):
            if not read.isdisjoint(node.output):
                read.update(node.input)
                needed.append(node)
        self.nodes = needed[::-1]
        self.initializers = [constant for constant in self.initializers if constant.name in read]

    def _beside(self, array: NDArray[Any], name: str) -> Any:
        """Write a constant into the file, at the beginning of a page of memory."""
        with self._file.open("ab") as file:
            file.write(bytes(-file.tell() % _PAGE_BYTES))
            start = file.tell()
            file.write(array.data)
        return weight_beside(name, array, WEIGHTS_FILE, start)

    def _new_name(self, kind: str) -> str:
        self._number += 1
        return f"{kind}_{self._number}"


def channels_first(constant: NDArray[Any]) -> NDArray[Any]:
    """A constant that is joined to maps (N, H, W, C) by broadcasting, for maps (N, C, H, W)."""
    if constant.ndim == 0:
        return constant
    return constant.reshape((1,) * (MAP_RANK - constant.ndim) + constant.shape).transpose(CHANNELS_FIRST)


def dimensions_first(axes: Sequence[int]) -> list[int]:
    """Where dimensions of (N, H, W, C) stand in (N, C, H, W)."""
    return [CHANNELS_FIRST.index(axis) for axis in axes]
