"""An ONNX graph run by onnxruntime up to the maps that are wanted, from pictures to maps as Keras lays them out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.base.arrays import FloatArray
from convfe_core.base.errors import ModelFileError
from convfe_core.machine.onnxruntime_setup import session_options
from convfe_core.onnx_models.opening import OnnxGraph, Picture
from convfe_core.onnx_models.taps import OnnxMap, OnnxMaps


class OnnxRun:
    """Part of a graph with its weights, loaded; it can be shared between threads and holds nothing of the file.

    Parameters
    ----------
    graph : with its weights
    maps : what is known of it
    wanted : the maps that come out, in this order
    """

    def __init__(self, graph: OnnxGraph, maps: OnnxMaps, wanted: Sequence[OnnxMap]) -> None:
        import onnxruntime

        self._picture, self._maps, self._wanted = graph.picture, maps, tuple(wanted)
        self._names = list(dict.fromkeys(one.name for one in wanted))
        options = session_options()
        part, self._beside = _pruned(graph, maps.before(self._names), self._names)
        if self._beside:
            options.add_external_initializers(list(self._beside), list(self._beside.values()))
        self._file = graph.file
        with self._told("load"):
            self._session = onnxruntime.InferenceSession(part, options, providers=_providers())

    def __call__(self, pictures: FloatArray) -> list[FloatArray]:
        """(N, H, W, C) scaled pictures -> (N, h, w, channels) float32 for each of the maps.

        Raises
        ------
        ModelFileError : layers that do not take this size, or make far too much of it
        """
        height, width = pictures.shape[1:3]
        self._maps.check(self._names, height, width)
        batch = self._picture.batch or len(pictures)
        parts = [self._run_batch(pictures[start : start + batch]) for start in range(0, len(pictures), batch)]
        values = {name: np.concatenate([part[k] for part in parts]) for k, name in enumerate(self._names)}
        return [self._as_map(values[one.name], one, height, width) for one in self._wanted]

    def _run_batch(self, pictures: FloatArray) -> list[NDArray[Any]]:
        count, batch = len(pictures), self._picture.batch or len(pictures)
        if count < batch:
            pictures = np.concatenate([pictures, np.zeros((batch - count, *pictures.shape[1:]), pictures.dtype)])
        given = pictures.transpose(0, 3, 1, 2) if self._picture.channels_first else pictures
        given = np.ascontiguousarray(given, self._picture.dtype)
        with self._told("run"):
            found = self._session.run(self._names, {self._picture.name: given})
        return [value[:count] for value in found]

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Turn what onnxruntime raises, which has many classes, into one sentence."""
        try:
            yield
        except Exception as error:
            reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
            if "NOT_IMPLEMENTED" in reason:
                reason += "; it computes with float32 and float16: export model.float()"
            raise ModelFileError(f"{self._file}: onnxruntime could not {what} it ({reason}).") from error

    def _as_map(self, value: NDArray[Any], one: OnnxMap, height: int, width: int) -> FloatArray:
        placed = one.placed
        if placed.rows == placed.columns:
            cells = self._maps.cells(one, height, width)
            value = value[:, placed.before :].reshape(len(value), *cells, one.channels)
        else:
            value = value.transpose(0, placed.rows, placed.columns, placed.channels)
        return np.ascontiguousarray(value, np.float32)


def _open_input(picture: Picture) -> Any:
    """A network's input as it is known here; files have 0 and -1 for sides that are open."""
    from onnx import helper

    sides = picture.height, picture.width
    shape = (picture.channels, *sides) if picture.channels_first else (*sides, picture.channels)
    return helper.make_tensor_value_info(
        picture.name, helper.np_dtype_to_tensor_dtype(picture.dtype), (picture.batch, *shape)
    )


def _pruned(graph: OnnxGraph, nodes: Sequence[Any], outputs: Sequence[str]) -> tuple[bytes, dict[str, Any]]:
    """The part of a model that leads to some tensors, as a model of its own, and its large weights by name.

    These are handed over beside it, which saves two copies of them; onnxruntime reads them where they are, so that they
    must live as long as the session.
    """
    import onnx
    from onnxruntime import OrtValue

    needed = {name for node in nodes for name in node.input}
    part = onnx.ModelProto(ir_version=graph.proto.ir_version, opset_import=graph.proto.opset_import)
    part.graph.name = "part"
    part.graph.input.append(_open_input(graph.picture))
    beside: dict[str, Any] = {}
    for name, weight in graph.weights.items():
        if name not in needed:
            continue
        if len(weight.raw_data) <= _SMALL or weight.data_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16):
            part.graph.initializer.append(weight)
            continue
        (values,) = graph.arrays([name])
        beside[name] = OrtValue.ortvalue_from_numpy(values)
        part.graph.initializer.append(weight_beside(name, values))
    part.graph.node.extend(nodes)
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    return bytes(part.SerializeToString()), beside


def weight_beside(name: str, values: NDArray[Any], file: str = "memory", start: int = 0) -> Any:
    """The onnx.TensorProto of a weight that is not in the model itself.

    Parameters
    ----------
    file, start : where its bytes are; any name where onnxruntime is given them by the weight's name
    """
    from onnx import TensorProto, helper

    kind = helper.np_dtype_to_tensor_dtype(values.dtype)
    found = TensorProto(name=name, dims=values.shape, data_type=kind, data_location=TensorProto.EXTERNAL)
    for key, text in (("location", file), ("offset", str(start)), ("length", str(values.nbytes))):
        found.external_data.add(key=key, value=text)
    return found


_SMALL = 1 << 14
"""Bytes of weights that go inside the model."""


def _providers() -> list[str]:
    """What onnxruntime computes with here, the fastest first."""
    import onnxruntime

    wanted = "CUDAExecutionProvider", "CPUExecutionProvider"
    return [name for name in wanted if name in onnxruntime.get_available_providers()]
