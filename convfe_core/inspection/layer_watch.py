"""The layers of a network, and a watch over them while photographs pass through it, all of them in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from convfe_core.backbones.frozen_graph import run_graph
from convfe_core.backbones.network import KerasNetwork, Network
from convfe_core.backbones.onnx_network import OnnxNetwork
from convfe_core.base.arrays import FloatArray, Values
from convfe_core.graph.batch_norm_statistics import is_initial, stored_statistics
from convfe_core.graph.taps import tensors_and_strides
from convfe_core.graph.walk import operation_of, tensors_in_order
from convfe_core.machine.machine_queue import OnWait, wait_silently
from convfe_core.maps.extraction import Member, cells_on_photo, run_windows
from convfe_core.maps.input_size import Size
from convfe_core.photos.photo import Photo


class Watch(Protocol):
    """Makes a row of numbers of some tensors for each photograph.

    Attributes
    ----------
    tensors : of the network, as its reader takes them
    rows : what was seen, one row a photograph
    """

    tensors: list[Any]
    rows: list[FloatArray]

    def reduce(self, values: list[Any]) -> Any:
        """The values of `tensors`, (N, ...) -> (N, numbers) float32; becomes part of a graph."""


def watch_photos(
    network: Network,
    photos: Sequence[Photo],
    size: Size,
    watches: Sequence[Watch],
    see: Callable[[FloatArray], None],
    on_wait: OnWait = wait_silently,
) -> None:
    """Run photographs through a network and fill the rows of every watch.

    Parameters
    ----------
    see : takes the (h, w, C) feature map of each photograph
    on_wait : as in `convfe_core.maps.extraction.run_windows`
    """
    watches = [watch for watch in watches if watch.tensors]

    wanted = [network.tensor, *(tensor for watch in watches for tensor in watch.tensors)]
    read = network.reader(wanted, "none")

    def look(pixels: Any) -> list[Any]:
        features, *others = read(pixels)
        values = iter(others)
        return [features, *(watch.reduce(list(islice(values, len(watch.tensors)))) for watch in watches)]

    graph = network.freeze(look)

    def keep(one: Member[int], values: list[NDArray[Any]]) -> None:
        features, *rows = values
        grid = cells_on_photo(one.frame, network)
        see(features[: grid.rows, : grid.columns])
        for watch, row in zip(watches, rows, strict=True):
            watch.rows.append(row)

    for _ in run_windows(
        network, enumerate(photos), size, lambda batch: run_graph(graph, batch.canvases), keep, on_wait
    ):
        pass


@dataclass(frozen=True, eq=False)
class StoredNorm:
    """A BatchNormalization's own statistics, and what enters it.

    Attributes
    ----------
    entering : a tensor of the network
    mean, variance : (C,) that it keeps
    initial : whether it was never trained
    """

    entering: Any
    mean: Values
    variance: Values
    initial: bool


@dataclass(frozen=True, eq=False)
class WatchedLayer:
    """A layer on the way to the map, as far as its health goes.

    Attributes
    ----------
    name : of the layer
    outputs : tensors of the network, each with its channels, that can be read out
    weights : gives its arrays
    filters : takes one of them and returns its (numbers, filters), none of what may be alike
    rectifies : it makes a map in which what is below zero is cut off
    cap : the highest value in a map that it makes, None where there is none
    norm : of a BatchNormalization
    """

    name: str
    outputs: tuple[tuple[Any, int], ...]
    weights: Callable[[], list[NDArray[Any]]]
    filters: Callable[[NDArray[Any]], NDArray[Any]]
    rectifies: bool = False
    cap: float | None = None
    norm: StoredNorm | None = None


def layers_of(network: Network) -> list[WatchedLayer]:
    """The layers that the tapped tensor is computed by, each once, in order; a cap that was taken off there is last."""
    if isinstance(network, OnnxNetwork):
        return _onnx_layers(network)
    assert isinstance(network, KerasNetwork)
    return _keras_layers(network)


_KERAS_CAPS = {"relu6": 6.0, "sigmoid": 1.0, "hard_sigmoid": 1.0, "tanh": 1.0, "hard_tanh": 1.0, "softsign": 1.0}
_ONNX_CAPS = {"Sigmoid": 1.0, "HardSigmoid": 1.0, "Tanh": 1.0, "Softsign": 1.0}
_RECTIFIERS = ("relu", "relu6")


def _keras_layers(network: KerasNetwork) -> list[WatchedLayer]:
    import keras

    tensors = tensors_in_order(keras.Model(network.model.inputs, network.tensor))
    if network.tap.uncapped:
        tensors += [layer.output for layer in network.model.layers if layer.name == network.tap.layer]
    placed = {id(tensor) for tensor, stride in tensors_and_strides(network.model) if stride > 0}
    by_layer: dict[int, tuple[Any, list[Any]]] = {}
    for tensor in tensors:
        by_layer.setdefault(id(operation_of(tensor)), (operation_of(tensor), []))[1].append(tensor)
    found = []
    for layer, outputs in by_layer.values():
        # The plain ReLU in a cap's place is none of the network's own layers, nor one of its model's tensors.
        rectifies, cap = _keras_limits(layer) if any(id(one) in placed for one in outputs) else (False, None)
        found.append(
            WatchedLayer(
                name=str(layer.name),
                outputs=tuple((one, int(one.shape[-1] or 1) if len(one.shape) == 4 else 1) for one in outputs),
                weights=partial(_keras_weights, layer),
                filters=partial(_keras_filters, layer),
                rectifies=rectifies,
                cap=cap,
                norm=_keras_norm(layer),
            )
        )
    return found


def _keras_weights(layer: Any) -> list[NDArray[Any]]:
    return [np.asarray(weight) for weight in getattr(layer, "weights", [])]


def _keras_filters(layer: Any, kernel: NDArray[Any]) -> NDArray[Any]:
    """Nothing of weights that are no convolution's, or of a blur, which are alike on purpose."""
    import keras

    if kernel.ndim != 4:
        return kernel[:0].reshape(0, 1)
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return kernel.reshape(kernel.shape[0] * kernel.shape[1], -1) if (kernel < 0).any() else kernel[:0].reshape(0, 1)
    return kernel.reshape(-1, kernel.shape[-1])


def _keras_limits(operation: Any) -> tuple[bool, float | None]:
    """Whether a layer cuts off what is below zero, and where it caps, if it does."""
    import keras

    if isinstance(operation, keras.layers.ReLU):
        return not operation.negative_slope and not operation.threshold, operation.max_value
    name = getattr(getattr(operation, "activation", None), "__name__", "")
    return name in _RECTIFIERS, _KERAS_CAPS.get(name)


def _keras_norm(layer: Any) -> StoredNorm | None:
    import keras

    if not isinstance(layer, keras.layers.BatchNormalization):
        return None
    return StoredNorm(layer.input, *stored_statistics(layer), initial=is_initial(layer))


def _onnx_layers(network: OnnxNetwork) -> list[WatchedLayer]:
    last = network.tap.layer if network.tap.uncapped else network.tensor.name
    maps = {one.name: one for one in network.maps.maps}
    found = []
    for node in network.maps.before([last]):
        weights = [name for name in node.input if name in network.model.weights]
        cap = network.maps.cap_of(node) if node.op_type == "Clip" else _ONNX_CAPS.get(node.op_type)
        rectifies = node.op_type == "Relu" or (node.op_type == "Clip" and cap is not None)
        # Every map that is read out is copied: sums and products of others tell nothing more.
        told = bool(weights) or rectifies or cap is not None
        outputs = [maps[name] for name in node.output if name in maps and told]
        found.append(
            WatchedLayer(
                name=str(node.output[0]),
                outputs=tuple((one, one.channels) for one in outputs),
                weights=partial(network.model.arrays, weights),
                filters=_onnx_filters if node.op_type == "Conv" else _no_filters,
                rectifies=rectifies,
                cap=cap,
            )
        )
    return found


def _onnx_filters(kernel: NDArray[Any]) -> NDArray[Any]:
    blur = kernel.ndim == 4 and kernel.shape[1] == 1 and not (kernel < 0).any()
    return _no_filters(kernel) if kernel.ndim != 4 or blur else kernel.reshape(kernel.shape[0], -1).T


def _no_filters(kernel: NDArray[Any]) -> NDArray[Any]:
    return kernel.reshape(-1)[:0].reshape(0, 1)
