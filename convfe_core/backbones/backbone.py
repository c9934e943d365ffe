"""A network frozen into a graph that scales pixels, runs it and reduces its channels.

TensorFlow is imported inside the functions here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache, partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from convfe_core.backbones.batch_norm_folding import Fold
from convfe_core.backbones.frozen_graph import in_bfloat16, run_graph, trace
from convfe_core.backbones.network import (
    UNTRAINED_SEED,
    Described,
    Network,
    load_as,
)
from convfe_core.backbones.precision import Precision, computes_in_bfloat16
from convfe_core.base.arrays import FloatArray, PixelArray
from convfe_core.base.model_runs import guarded
from convfe_core.base.pace import LoadProgress, ignore_progress
from convfe_core.catalog.memory_need import require_room
from convfe_core.catalog.specs import Spec
from convfe_core.engine.onnxruntime_pass import on_onnxruntime
from convfe_core.photos.gallery import SAMPLES, load_sample
from convfe_core.photos.letterbox import place_on_canvas, plan_frame

BFLOAT16_SHIFT, BFLOAT16_SAMPLES = 0.015, 3
"""``fast`` stays with float32 where it would move the maps of this many sample photographs, on average over their
cells, by more than this share of their range."""

PROJECTIONS = 16
"""Graphs that project features are kept for so many numbers of channels."""

More = Callable[[PixelArray], tuple[Any, ...]]
"""Takes a batch, (N, H, W, 3) uint8, and returns what a frozen graph takes for it beside pixels and directions."""


def nothing_more(_batch: PixelArray) -> tuple[Any, ...]:
    """What a graph takes that takes nothing more."""
    return ()


@dataclass(frozen=True, eq=False, kw_only=True)
class FrozenNetwork(Described):
    """A network turned into a graph with its weights fixed; it can be shared between threads.

    Attributes
    ----------
    precision : ``float32``, or ``fast`` for bfloat16 where the processor has it and the maps tolerate it
    """

    precision: Precision
    _graph: Callable[..., Any]
    _more: More = nothing_more

    def run(self, batch: PixelArray, directions: FloatArray, *more: NDArray[Any]) -> list[NDArray[Any]]:
        """Run one batch.

        Parameters
        ----------
        batch : (N, H, W, 3) uint8 RGB
        directions : (C, k) float32; `no_directions` where no projection is wanted, `all_directions` for the features

        Returns
        -------
        maps and projection as of `reduce_features`, then what else the graph gives
        """
        return run_graph(self._graph, batch, directions, *more)

    def run_blank(self, batch: PixelArray) -> list[NDArray[Any]]:
        """Run one batch, (N, H, W, 3), for its maps or its time alone."""
        return self.run(batch, self.no_directions, *self._more(batch))


class Backbone(FrozenNetwork):
    """A frozen network that turns photographs into maps."""

    def reduce(self, batch: PixelArray) -> tuple[FloatArray, FloatArray]:
        """(N, H, W, 3) uint8 RGB -> the max and the mean over channels, both (N, h, w) float32."""
        maximum, mean, _ = self.run_blank(batch)
        return maximum, mean


Frozen = TypeVar("Frozen", bound=FrozenNetwork)


def reduce_features(features: Any, directions: Any) -> tuple[Any, Any, Any]:
    """Reduce (N, h, w, C) features, so that they need not leave the graph.

    Parameters
    ----------
    directions : (C, k) float32

    Returns
    -------
    max and mean over channels, (N, h, w), and the cells' components along the directions, (N, h, w, k). For these a
    feature that is no number counts as 0, or it would spread over all of them; where one is, the mean is none either
    """
    return *_collapse(features), _project(features, directions)


def _collapse(features: Any) -> tuple[Any, Any]:
    """Max and mean over channels."""
    import tensorflow as tf

    return tf.reduce_max(features, axis=-1), tf.reduce_mean(features, axis=-1)


def _project(features: Any, directions: Any) -> Any:
    """The cells' components along the directions."""
    import tensorflow as tf

    def project() -> Any:
        finite = tf.where(tf.math.is_finite(features), features, 0.0)
        return tf.cond(_is_identity(directions), lambda: finite, lambda: tf.tensordot(finite, directions, 1))

    return tf.cond(tf.shape(directions)[1] > 0, project, lambda: features[..., :0])


def _with_maps(layers: Callable[..., Any]) -> Callable[[Any], tuple[Any, Any, Any]]:
    """What layers give, and the maps of it."""

    def run(pixels: Any) -> tuple[Any, Any, Any]:
        (features,) = layers(pixels)
        return features, *_collapse(features)

    return run


def _is_identity(matrix: Any) -> Any:
    """Whether a matrix changes nothing. To see that takes far less than the product, and often a network's layers."""
    import tensorflow as tf

    rows, columns = tf.unstack(tf.shape(matrix))
    return tf.cond(rows == columns, lambda: tf.reduce_all(matrix == tf.eye(rows)), lambda: False)


@lru_cache(maxsize=PROJECTIONS)
def _projection(channels: int, further: Callable[..., tuple[Any, ...]], others: tuple[Any, ...]) -> Callable[..., Any]:
    """The traced graph of what else features are reduced to; without weights, so that networks with as many channels
    share it.

    To trace and optimise it anew took an eighth of the time that it takes to load TinyResNet.
    """
    import tensorflow as tf

    def project(features: Any, directions: Any, *rest: Any) -> tuple[Any, ...]:
        return _project(features, directions), *further(features, *rest)

    graph: Callable[..., Any] = trace(
        project, [tf.TensorSpec((None, None, None, channels)), tf.TensorSpec((channels, None)), *others]
    )
    return graph


def freeze_network(network: Network, precision: Precision = "float32", fold: Fold = "copy") -> Backbone:
    """Turn a network into a backbone; see `freeze_maps`."""
    return freeze_maps(Backbone, network, precision, fold)


def freeze_maps(
    kind: type[Frozen],
    network: Network,
    precision: Precision,
    fold: Fold,
    further: Callable[..., tuple[Any, ...]] = nothing_more,
    others: Sequence[Any] = (),
    more: More = nothing_more,
) -> Frozen:
    """Freeze a network together with the reduction of its features.

    The graph takes any batch, height and width, so it is traced once however many sizes of image follow.

    In ``fast`` precision the layers compute with bfloat16, only where that moves the maps of sample photographs by no
    more than `BFLOAT16_SHIFT`. Trained networks with depthwise convolutions often do not tolerate it: rounding errors
    grow from layer to layer where a few channels have a far wider range than the rest. What the features are reduced
    with is float32 always.

    Parameters
    ----------
    kind : of what is returned
    fold : ``spend`` where the network is not used again, which halves the memory that this takes
    further : takes (N, h, w, C) features and what `others` describes; what it returns comes after that of
        `reduce_features`. A function that lasts, since its graph is kept
    others : tensorflow.TensorSpec of what the graph takes besides pixels and directions
    more : gives these for batches of which only the maps, or the time, are wanted
    """
    import tensorflow as tf

    projected = _projection(network.channels, further, tuple(others))

    def frozen(layers: Callable[..., Any]) -> Frozen:
        def graph(pixels: Any, directions: Any, *rest: Any) -> Any:
            features, maximum, mean = layers(pixels)
            if directions.shape[1] == 0 and not rest:  # which TensorFlow would take longer for than for a small network
                return maximum, mean, features[..., :0]
            return maximum, mean, *projected(tf.convert_to_tensor(features), directions, *rest)

        known = {one.name: getattr(network, one.name) for one in fields(Described) if one.init}
        graph = guarded(graph, network.label, network.own)
        return kind(**known, precision=precision, _graph=graph, _more=more)

    layers = network.trace(network.reader([network.tensor], fold))
    exact = frozen(on_onnxruntime(network.trace(_with_maps(layers))))
    if not computes_in_bfloat16(precision):
        return exact
    if not network.takes_bfloat16:
        return replace(exact, precision="float32")
    fast = frozen(_with_maps(in_bfloat16(layers)))
    return fast if _alike(exact, fast) else replace(exact, precision="float32")


def _alike(exact: FrozenNetwork, fast: FrozenNetwork) -> bool:
    """Whether two graphs of a network give nearly the same maps of sample photographs."""
    for sample in SAMPLES[:BFLOAT16_SAMPLES]:
        photo = load_sample(sample.name)
        frame = plan_frame(photo.height, photo.width, exact.working_size, 32, fixed=exact.fixed)
        batch = place_on_canvas(photo, frame)[None]
        maps = (network.run_blank(batch)[:2] for network in (exact, fast))
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
