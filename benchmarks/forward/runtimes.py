"""One network by every runtime that a user could have picked, each as a function without arguments that runs a batch.

Other runtimes get every advantage: the network as Keras exports it for them, for one fixed size of input, with the
reductions inside the graph, and pixels that are scaled already. TensorFlow runs the graph that ours is translated from.
All use as many threads as this process has cores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import seconds
from convfe_core.backbones.backbone import collapse_channels, load_backbone
from convfe_core.backbones.network import KerasNetwork, open_network
from convfe_core.backbones.precision import PRECISIONS
from convfe_core.catalog.pixel_scaling import scale_pixels
from convfe_core.catalog.specs import parse_spec
from convfe_core.engine.onnx_writer import WEIGHTS_FILE
from convfe_core.engine.translate_graph import translate_graph
from convfe_core.machine.processor import usable_cores

Maps = tuple[NDArray[np.float32], NDArray[np.float32]]
Way = Callable[[], Maps]
"""Runs a batch and returns its max and mean maps, (N, h, w) each."""

PREDICT, TENSORFLOW, ONNXRUNTIME, OPENVINO = "predict", "TensorFlow", "onnxruntime", "OpenVINO"
OURS = tuple(f"ours, {precision}" for precision in PRECISIONS)
OTHERS = (PREDICT, TENSORFLOW, ONNXRUNTIME, OPENVINO)


def on_tensorflow(network: KerasNetwork, batch: NDArray[np.uint8]) -> Way:
    """Our folded graph with its reductions, as TensorFlow runs it."""
    import tensorflow as tf

    read = network.reader([network.tensor])

    def reduce(pixels: Any) -> Any:
        return collapse_channels(read(pixels)[0])

    graph = network.trace(reduce)

    def run() -> Maps:
        maximum, mean = graph(tf.constant(batch))
        return maximum.numpy(), mean.numpy()

    return run


def _by_openvino(model: Any, batch: NDArray[Any]) -> Way:
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": usable_cores(),
        "INFERENCE_PRECISION_HINT": "f32",  # by itself it takes bfloat16 where the processor has it
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()

    def run() -> Maps:
        found = request.infer({0: batch}, share_inputs=True)
        return found[0], found[1]

    return run


@dataclass(frozen=True)
class Contest:
    """A network that is run by every runtime, exported once for all sizes.

    Parameters
    ----------
    name : of an architecture; its weights are random, which speed does not depend on
    folder : for the exports
    """

    name: str
    folder: Path

    @cached_property
    def network(self) -> Any:
        """The network as Keras has it."""
        import keras

        network = open_network(parse_spec(f"{self.name}:untrained"))
        for layer in network.model.layers:  # Keras exports tensors that are no variables as further inputs
            if isinstance(layer, keras.layers.Normalization):
                layer.mean, layer.variance = np.asarray(layer.mean), np.asarray(layer.variance)
        return network

    @cached_property
    def ours(self) -> list[Any]:
        """Our backbones, by precision."""
        return [load_backbone(parse_spec(f"{self.name}:untrained"), precision=precision) for precision in PRECISIONS]

    def first_maps(self, batch: NDArray[np.uint8]) -> dict[str, float]:
        """Seconds from a name to the first maps, exports included; to be asked before anything else."""
        opening = seconds(lambda: self.network)
        pixels = self._scaled(batch)
        found = {OURS[0]: seconds(lambda: load_backbone(parse_spec(f"{self.name}:untrained")).reduce(batch))}
        found[OPENVINO] = opening + seconds(lambda: self._openvino(pixels)())
        exporting = seconds(lambda: self._onnx_file)
        if self._onnx_file is not None:
            found[ONNXRUNTIME] = opening + exporting + seconds(lambda: self._onnxruntime(pixels)())
        return found

    def ways(self, batch: NDArray[np.uint8]) -> dict[str, Way]:
        """Every way to run a batch, (N, H, W, 3)."""
        pixels = self._scaled(batch)
        ways: dict[str, Way] = {PREDICT: self._predict(pixels), TENSORFLOW: on_tensorflow(self.network, batch)}
        if self._onnx_file is not None:
            ways[ONNXRUNTIME] = self._onnxruntime(pixels)
        ways[OPENVINO] = self._openvino(pixels)
        for title, backbone in zip(OURS, self.ours, strict=True):
            ways[title] = lambda backbone=backbone: backbone.reduce(batch)  # type: ignore[misc]
        return ways

    def _scaled(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.ascontiguousarray(scale_pixels(batch.astype(np.float32), self.network.preprocessing), np.float32)

    def _predict(self, pixels: NDArray[np.float32]) -> Way:
        """What the notebook does, but for a whole batch."""
        import keras

        model = keras.Model(self.network.model.inputs, self.network.tensor)

        def run() -> Maps:
            features = model.predict(pixels, batch_size=len(pixels), verbose=0)
            return features.max(axis=-1), features.mean(axis=-1)

        return run

    def _onnxruntime(self, pixels: NDArray[np.float32]) -> Way:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = usable_cores()
        name, shape = self._onnx_input
        for dimension, size in zip(shape, pixels.shape, strict=True):
            if isinstance(dimension, str):
                options.add_free_dimension_override_by_name(dimension, size)
        session = onnxruntime.InferenceSession(self._onnx_file, options, providers=["CPUExecutionProvider"])
        return lambda: tuple(session.run(None, {name: pixels}))

    def _openvino(self, pixels: NDArray[np.float32]) -> Way:
        import openvino

        model = openvino.Core().read_model(self._openvino_file)
        model.reshape(pixels.shape)
        return _by_openvino(model, pixels)

    def openvino_on_ours(self, batch: NDArray[np.uint8], *, one_size: bool) -> Way:
        """OpenVINO on the graph that ours is translated to, for the size of the batch or, as ours, for any."""
        import openvino

        reader = self.network.reader([self.network.tensor])
        graph = self.network.trace(lambda *given: collapse_channels(reader.given(*given)[0]), *reader.weight_specs)
        file = self.folder / "ours.onnx"
        (self.folder / WEIGHTS_FILE).unlink(missing_ok=True)
        file.write_bytes(translate_graph(graph, self.folder, reader.weights))
        model = openvino.Core().read_model(file)
        if one_size:
            model.reshape(batch.shape)
        return _by_openvino(model, batch)

    @cached_property
    def _reduced(self) -> Any:
        """The network with its reductions, as a Keras model to be exported."""
        import keras

        maps = [reduce(self.network.tensor, axis=-1) for reduce in (keras.ops.max, keras.ops.mean)]
        return keras.Model(self.network.model.inputs, maps)

    @cached_property
    def _onnx_file(self) -> str | None:
        """None where Keras' exporter does not know an operation of the network."""
        import onnx

        path = self._exported("network.onnx", "onnx")
        known = {node.op_type for node in onnx.load(path, load_external_data=False).graph.node}
        return path if all(onnx.defs.has(name) for name in known) else None

    @cached_property
    def _onnx_input(self) -> tuple[str, list[str | int]]:
        """Its name, and its shape with names for the sizes that are open."""
        import onnx

        graph = onnx.load(self._onnx_file, load_external_data=False).graph
        held = {one.name for one in graph.initializer}
        (given,) = (one for one in graph.input if one.name not in held)
        sizes = given.type.tensor_type.shape.dim
        return given.name, [size.dim_param or size.dim_value for size in sizes]

    @cached_property
    def _openvino_file(self) -> str:
        return self._exported("network.xml", "openvino")

    def _exported(self, name: str, format: str) -> str:
        import keras

        path = str(self.folder / name)
        taken = keras.InputSpec(shape=(None, None, None, 3), dtype="float32", name="pixels")
        self._reduced.export(path, format=format, verbose=False, input_signature=[taken])
        return path
