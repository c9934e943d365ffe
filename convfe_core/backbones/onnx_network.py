"""An ONNX graph as a network like those of Keras: onnxruntime computes its features, TensorFlow what is made of them.

Between the two a feature map is copied once, which takes far less than any layer. In return whatever else reads a
network works for ONNX files as it is: maps, projections, averages over boxes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from convfe_core.backbones.batch_norm_folding import Fold
from convfe_core.backbones.frozen_graph import Layers
from convfe_core.backbones.network import Network
from convfe_core.base.arrays import PixelArray
from convfe_core.catalog.specs import Preprocessing, Spec
from convfe_core.graph.taps import Tap
from convfe_core.onnx_models.control import without_training
from convfe_core.onnx_models.opening import OnnxGraph, open_onnx
from convfe_core.onnx_models.scaling import find_entry, guess_onnx_scaling, onnx_norm_misfits, scaled_pictures
from convfe_core.onnx_models.session import OnnxRun
from convfe_core.onnx_models.taps import OnnxMaps
from convfe_core.photos.letterbox import place_on_canvas, plan_frame
from convfe_core.photos.photo import Photo
from convfe_core.user_models.input_scaling import InputAudit, audit_of

_FLOAT_BYTES = 4


@dataclass(frozen=True, eq=False, kw_only=True)
class OnnxNetwork(Network):
    """A network that is an ONNX graph with its weights; `tensor` is an `OnnxMap`.

    Attributes
    ----------
    maps : what can be looked at
    """

    model: OnnxGraph
    maps: OnnxMaps

    def at(self, layer: str) -> Self:
        tensor, tap = self.maps.find(layer)
        path = self.maps.path(tensor)
        if self.path.shift != (0.0, 0.0):  # it was trained
            path = path.centred(*self.native_input)
        return replace(self, tensor=tensor, tap=tap, path=path, notes=self.maps.notes(tensor))

    def stages(self) -> dict[str, Tap]:
        return self.maps.stages()

    def map_layers(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.maps.maps)

    def count_params(self) -> int:
        used = {name for node in self.maps.before([self.tensor.name]) for name in node.input}
        return self.model.count_numbers(used)

    def count_flops(self, height: int, width: int, layers: Any = None) -> int:  # noqa: ARG002 - it counts without
        operations = self.maps.check([self.tensor.name], height, width).operations
        made = (name for node in self.maps.before([self.tensor.name]) for name in node.output)
        return sum(operations.get(name, 0) for name in made)

    def audit(self, photo: Photo, height: int, width: int) -> InputAudit:
        entry = find_entry(self.model, self.maps)
        frame = plan_frame(photo.height, photo.width, None, fixed=self.fixed or (height, width))
        received = scaled_pictures(self.model, place_on_canvas(photo, frame)[None], self.preprocessing)
        if entry.entering is not None:
            (received,) = OnnxRun(self.model, self.maps, [entry.entering])(received)
        # A graph that takes 0..1 and scales on from there does not scale twice.
        scaled_by = entry.scaled_by if self.preprocessing == "raw" else ()
        return audit_of(received[0], self.preprocessing, entry.operation, scaled_by)

    def misfits(self, pictures: Iterable[PixelArray]) -> dict[Preprocessing, float]:
        return onnx_norm_misfits(self.model, self.maps, pictures)

    def layers(self, wanted: list[Any], fold: Fold) -> Layers:  # noqa: ARG002 - nothing to fold
        import tensorflow as tf

        run = OnnxRun(self.model, self.maps, wanted)

        def compute(scaled: Any, _weights: Sequence[Any]) -> list[Any]:
            values = tf.nest.flatten(tf.numpy_function(run, [scaled], [tf.float32] * len(wanted), stateful=False))
            for value, one in zip(values, wanted, strict=True):
                value.set_shape((None, None, None, one.channels))
            return [tf.nn.relu(value) if one.capped_by else value for value, one in zip(values, wanted, strict=True)]

        return Layers(compute)


def open_onnx_network(spec: Spec, tap: str, seed: int) -> OnnxNetwork:
    """Open a spec's ONNX file, or its control; arguments and errors as in `open_network`."""
    assert spec.path is not None
    graph = open_onnx(spec.path)
    maps = OnnxMaps(graph.without_weights())
    tensor, found = maps.find(spec.layer if tap == "auto" else tap)
    preprocessing = spec.preprocessing or guess_onnx_scaling(graph, maps).mode
    trained = spec.trained
    path, size = maps.path(tensor), maps.working_size
    return OnnxNetwork(
        label=spec.label,
        weights=spec.weights_shown,
        tap=found,
        path=path.centred(*(graph.picture.size or (size, size))) if trained else path,
        working_size=size,
        native_size=size,
        megabytes=graph.count_numbers() * _FLOAT_BYTES / 2**20,
        activation_bytes=maps.shapes.held / (maps.height * maps.width) * _FLOAT_BYTES,
        fixed=graph.picture.size,
        notes=maps.notes(tensor),
        own=True,
        tensor=tensor,
        preprocessing=preprocessing,
        colours=graph.picture.channels,
        takes_bfloat16=False,
        model=graph if trained else without_training(graph, seed),
        maps=maps,
    )
