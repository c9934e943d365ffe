"""A network frozen into one graph that scales pixels, runs it and reduces its channels.

TensorFlow is imported inside the functions here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from convfe_core.backbones.batch_norm_folding import Fold
from convfe_core.backbones.frozen_graph import in_bfloat16, run_graph
from convfe_core.backbones.model_runs import about_model, guarded
from convfe_core.backbones.network import (
    UNTRAINED_SEED,
    Described,
    LoadProgress,
    Network,
    ignore_progress,
    load_as,
)
from convfe_core.backbones.precision import Precision, computes_in_bfloat16
from convfe_core.base.arrays import FloatArray, PixelArray
from convfe_core.catalog.memory_need import require_room
from convfe_core.catalog.specs import Spec
from convfe_core.photos.gallery import SAMPLES, load_sample
from convfe_core.photos.letterbox import place_on_canvas, plan_frame

BFLOAT16_SHIFT, BFLOAT16_SAMPLES = 0.015, 3
"""``fast`` stays with float32 where it would move the maps of this many sample photographs, on average over their
cells, by more than this share of their range."""

Inputs = Callable[[PixelArray], tuple[Any, ...]]
"""Takes a batch, (N, H, W, 3) uint8, and returns what a frozen graph takes for it."""


def pixels_alone(batch: PixelArray) -> tuple[Any, ...]:
    """The inputs of a graph that takes nothing beside pixels."""
    return (batch,)


@dataclass(frozen=True, eq=False, kw_only=True)
class FrozenNetwork(Described):
    """A network turned into one graph with its weights fixed; it can be shared between threads.

    Attributes
    ----------
    precision : ``float32``, or ``fast`` for bfloat16 where the processor has it and the maps tolerate it
    """

    precision: Precision
    _graph: Callable[..., Any]
    _inputs: Inputs = pixels_alone

    def run(self, *inputs: NDArray[Any]) -> list[NDArray[Any]]:
        """Run one batch; what goes in and comes out is that of the function that was frozen."""
        return run_graph(self._graph, *inputs)

    def run_blank(self, batch: PixelArray) -> None:
        """Run one batch, (N, H, W, 3), for its time alone."""
        self.run(*self._inputs(batch))


class Backbone(FrozenNetwork):
    """A frozen network that turns photographs into maps."""

    def reduce(self, batch: PixelArray) -> tuple[FloatArray, FloatArray]:
        """(N, H, W, 3) uint8 RGB -> the max and the mean over channels, both (N, h, w) float32."""
        maximum, mean = self.run(batch)
        return maximum, mean


Frozen = TypeVar("Frozen", bound=FrozenNetwork)


def freeze_network(network: Network, precision: Precision = "float32", fold: Fold = "copy") -> Backbone:
    """Turn a network into a backbone: one traced graph with its weights fixed.

    The graph takes any batch, height and width, so it is traced once however many sizes of image follow.

    Parameters
    ----------
    fold : ``spend`` where the network is not used again, which halves the memory that this takes
    """
    import tensorflow as tf

    read = network.reader([network.tensor], fold)

    def reduce_channels(pixels: Any) -> tuple[Any, Any]:
        (features,) = read(pixels)
        return tf.reduce_max(features, axis=-1), tf.reduce_mean(features, axis=-1)

    return freeze_maps(Backbone, network, reduce_channels, [], precision)


def freeze_maps(
    kind: type[Frozen],
    network: Network,
    function: Callable[..., Any],
    others: list[Any],
    precision: Precision,
    inputs: Inputs = pixels_alone,
) -> Frozen:
    """Freeze a network with a function whose first two results are max and mean maps.

    In ``fast`` precision it computes with bfloat16 only where that moves the maps of sample photographs by no more than
    `BFLOAT16_SHIFT`. Trained networks with depthwise convolutions often do not tolerate it: rounding errors grow from
    layer to layer where a few channels have a far wider range than the rest.

    Parameters
    ----------
    kind : of what is returned
    function : of what `inputs` returns, to be traced
    others : tensorflow.TensorSpec of what it takes besides pictures
    inputs : for batches of which only the maps, or the time, are wanted
    """
    graph = network.trace(function, *others)
    if computes_in_bfloat16(precision):
        fast = in_bfloat16(graph)
        with about_model(network.label, network.own):
            alike = _alike(graph, fast, network, inputs)
        if alike:
            graph = fast
        else:
            precision = "float32"
    known = {one.name: getattr(network, one.name) for one in fields(Described) if one.init}
    return kind(**known, precision=precision, _graph=guarded(graph, network.label, network.own), _inputs=inputs)


def _alike(exact: Callable[..., Any], fast: Callable[..., Any], network: Network, inputs: Inputs) -> bool:
    """Whether two graphs give nearly the same maps of sample photographs."""
    for sample in SAMPLES[:BFLOAT16_SAMPLES]:
        photo = load_sample(sample.name)
        frame = plan_frame(photo.height, photo.width, network.working_size, 32, fixed=network.fixed)
        arguments = inputs(place_on_canvas(photo, frame)[None])
        maps = (run_graph(graph, *arguments)[:2] for graph in (exact, fast))
        for one, other in zip(*maps, strict=True):
            if not np.abs(one - other).mean() <= BFLOAT16_SHIFT * np.ptp(one):
                return False
    return True


def load_backbone(
    spec: Spec,
    tap: str = "auto",
    *,
    seed: int = UNTRAINED_SEED,
    precision: Precision = "float32",
    make_room: Callable[[Spec], None] = require_room,
    on_progress: LoadProgress = ignore_progress,
) -> Backbone:
    """Open a network, freeze it and run it once; arguments and errors as in `load_as` and `freeze_network`."""
    make = partial(freeze_and_run, precision=precision)
    return load_as(make, spec, tap, seed=seed, make_room=make_room, on_progress=on_progress)


def freeze_and_run(network: Network, precision: Precision) -> Backbone:
    """Freeze a network that is not used again, and run it once: TensorFlow optimises a graph at its first pass."""
    backbone = freeze_network(network, precision, "spend")
    side = backbone.native_size
    frame = plan_frame(side, side, side, 32, fixed=backbone.fixed)
    backbone.run_blank(np.zeros((1, frame.input_height, frame.input_width, 3), np.uint8))
    return backbone
