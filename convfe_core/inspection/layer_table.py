"""An architecture at a glance: its layers as a table, as text, and its graph as a picture."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from pathlib import Path
from typing import Any, TypeGuard

from tabulate import tabulate

from convfe_core.backbones.network import KerasNetwork, Network
from convfe_core.backbones.onnx_network import OnnxNetwork
from convfe_core.graph.taps import tensors_and_strides
from convfe_core.graph.walk import operation_of
from convfe_core.user_models.allocation_limits import shapes_in_a_pass


def layer_table(network: Network) -> list[dict[str, Any]]:
    """List the layers from the picture on: number, name, type, output shape, parameters and stride.

    The shape is that at the network's native size, ``height x width x channels``; where a map has no place in the
    picture, the stride is None.
    """
    if isinstance(network, OnnxNetwork):
        return _operations(network)
    assert isinstance(network, KerasNetwork)
    strides = {id(operation_of(tensor)): stride for tensor, stride in tensors_and_strides(network.model)}
    height, width = network.fixed or (network.native_size, network.native_size)
    shapes = shapes_in_a_pass(network.model, height, width)
    rows = []
    for number, layer in enumerate(network.model.layers):
        stride = strides.get(id(layer), 0)
        rows.append(
            {
                "#": number,
                "name": str(layer.name),
                "type": type(layer).__name__,
                "output": " × ".join(str(side) for side in shapes.get(id(layer.output), ())[1:]),
                "parameters": int(layer.count_params()) if hasattr(layer, "count_params") else 0,
                "stride": f"{stride:g}" if stride else "",
            }
        )
    return rows


def _operations(network: OnnxNetwork) -> list[dict[str, Any]]:
    """The operations of an ONNX graph, by the names of what they make."""
    maps = {one.name: one for one in network.maps.maps}
    rows = []
    for number, node in enumerate(network.model.nodes):
        name = str(node.output[0])
        shape, stride = network.maps.shapes.of.get(name, ()), maps[name].stride[0] if name in maps else 0
        rows.append(
            {
                "#": number,
                "name": name,
                "type": str(node.op_type),
                "output": " × ".join(str(side) for side in shape[1:]),
                "parameters": network.model.count_numbers(node.input),
                "stride": f"{stride:g}" if stride else "",
            }
        )
    return rows


def summary_text(network: Network) -> str:
    """Keras' own summary as text, or the table of an ONNX graph's operations."""
    if not isinstance(network, KerasNetwork):
        return str(tabulate(layer_table(network), headers="keys")) + "\n"
    lines: list[str] = []
    network.model.summary(print_fn=lambda line, **_: lines.append(line), line_length=120)
    return "\n".join(lines) + "\n"


def can_draw(network: Network) -> TypeGuard[KerasNetwork]:
    """Whether a network's blocks and layers can be drawn: Keras' alone can."""
    return isinstance(network, KerasNetwork)


def can_plot() -> bool:
    """Whether Keras' ``plot_model`` finds what it needs: Graphviz on this machine and pydot."""
    return shutil.which("dot") is not None and importlib.util.find_spec("pydot") is not None


def plot_layers(network: KerasNetwork) -> bytes:
    """Every layer and how they are joined as SVG, by Keras' ``plot_model``; only where `can_plot`."""
    import keras

    with tempfile.TemporaryDirectory(prefix="convfe-") as folder:
        path = Path(folder, "layers.svg")
        keras.utils.plot_model(network.model, path, show_layer_names=True, show_shapes=True, dpi=None)
        return path.read_bytes()
