"""Layers of a network watched while photographs pass through it, all of them in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Protocol

from numpy.typing import NDArray

from convfe_core.backbones.frozen_graph import run_graph
from convfe_core.backbones.network import KerasNetwork
from convfe_core.base.arrays import FloatArray
from convfe_core.graph.walk import operation_of, tensors_in_order
from convfe_core.machine.machine_queue import OnWait, wait_silently
from convfe_core.maps.extraction import Member, cells_on_photo, run_windows
from convfe_core.maps.input_size import Size
from convfe_core.photos.photo import Photo


class Watch(Protocol):
    """Makes a row of numbers of some tensors for each photograph.

    Attributes
    ----------
    tensors : KerasTensors of the network
    rows : what was seen, one row a photograph
    """

    tensors: list[Any]
    rows: list[FloatArray]

    def reduce(self, values: list[Any]) -> Any:
        """The values of `tensors`, (N, ...) -> (N, numbers) float32; becomes part of a graph."""


def watch_photos(
    network: KerasNetwork,
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


def tensors_of(network: KerasNetwork) -> list[Any]:
    """The tensors that the tapped one is computed from, in order, itself last."""
    import keras

    return tensors_in_order(keras.Model(network.model.inputs, network.tensor))


def layers_of(network: KerasNetwork) -> list[Any]:
    """The layers that the tapped tensor is computed by, each once, in order."""
    return list(dict.fromkeys(map(operation_of, tensors_of(network))))
