"""A network frozen into a graph that scales pixels, runs it and reduces its channels.

TensorFlow is imported inside the functions here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from convfe_core.backbones.batch_norm_folding import Fold
from convfe_core.backbones.described import Described
from convfe_core.backbones.frozen_graph import in_bfloat16, with_weights
from convfe_core.backbones.network import UNTRAINED_SEED, Network, load_as
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


@dataclass(frozen=True, eq=False)
class Traced:
    """What a frozen network was made of besides its weights.

    Attributes
    ----------
    layers, maps : graphs of pictures and weights: of the layers, and of what `with_maps` gives of these
    untrained : opens its controls, which share both; see `convfe_core.backbones.network.Network.untrained`
    """

    layers: Any
    maps: Any
    untrained: Callable[[int], Network] | None


@dataclass(frozen=True, eq=False, kw_only=True)
class FrozenNetwork(Described):
    """A network turned into a graph with its weights fixed; it can be shared between threads.

    Attributes
    ----------
    precision : ``float32``, or ``fast`` for bfloat16 where the processor has it and the maps tolerate it
    traced : None unless it was kept
    """

    precision: Precision
    traced: Traced | None = None
    _graph: Callable[[PixelArray], Sequence[Any]]

    def run(self, batch: PixelArray, directions: FloatArray) -> list[NDArray[Any]]:
        """Run one batch.

        Parameters
        ----------
        batch : (N, H, W, 3) uint8 RGB
        directions : as of `project_features`

        Returns
        -------
        max and mean over channels, (N, h, w), and the projection, (N, h, w, k)
        """
        features, maximum, mean = self._graph(batch)
        return maps_and_projection(features, maximum, mean, directions)

    def run_blank(self, batch: PixelArray) -> list[NDArray[Any]]:
        """Run one batch, (N, H, W, 3), for its maps or its time alone."""
        return self.run(batch, self.no_directions)


class Backbone(FrozenNetwork):
    """A frozen network that turns photographs into maps."""

    def reduce(self, batch: PixelArray) -> tuple[FloatArray, FloatArray]:
        """(N, H, W, 3) uint8 RGB -> the max and the mean over channels, both (N, h, w) float32."""
        maximum, mean, _ = self.run_blank(batch)
        return maximum, mean


Frozen = TypeVar("Frozen", bound=FrozenNetwork)


def collapse_channels(features: Any) -> tuple[Any, Any]:
    """Max and mean over channels of (N, h, w, C) features: tensors (N, h, w), computed inside a network's graph."""
    import tensorflow as tf

    return tf.reduce_max(features, axis=-1), tf.reduce_mean(features, axis=-1)


def with_maps(layers: Callable[..., Sequence[Any]]) -> Callable[..., list[Any]]:
    """What layers give for pictures and, where they take them, weights: each (N, h, w, C), followed by its two maps."""

    def run(*given: Any) -> list[Any]:
        return [value for features in layers(*given) for value in (features, *collapse_channels(features))]

    return run


def maps_and_projection(features: Any, maximum: Any, mean: Any, directions: FloatArray) -> list[NDArray[Any]]:
    """Arrays of what `with_maps` gives for a layer: the maps, and `project_features` of its features."""
    return [np.asarray(maximum), np.asarray(mean), project_features(features, mean, directions)]


def project_features(features: Any, mean: Any, directions: FloatArray) -> NDArray[Any]:
    """Find the cells' components along some directions.

    A feature that is no number counts as 0, or it would spread over all of them.

    Parameters
    ----------
    features : (N, h, w, C), an array or a tensor
    mean : (N, h, w) over channels, which is no number either where one of the features is none
    directions : (C, k) float32; with the identity the components are the features themselves, not copied

    Returns
    -------
    (N, h, w, k) float32
    """
    if not directions.shape[1]:  # features of a GPU are not even fetched then
        return np.empty((*mean.shape, 0), np.float32)
    found = np.asarray(features)
    if not np.isfinite(mean).all():
        found = np.where(np.isfinite(found), found, np.float32(0))
    return found if _is_identity(directions) else found @ directions


def _is_identity(matrix: FloatArray) -> bool:
    """Whether a matrix changes nothing. To see that takes far less than the product, and often a network's layers."""
    rows, columns = matrix.shape
    return rows == columns == np.count_nonzero(matrix) and bool((matrix.diagonal() == 1).all())


def freeze_network(network: Network, precision: Precision = "float32", fold: Fold = "copy") -> Backbone:
    """Turn a network into a backbone; see `freeze_maps`."""
    return freeze_maps(Backbone, network, precision, fold)


def freeze_maps(
    kind: type[Frozen],
    network: Network,
    precision: Precision,
    fold: Fold,
    *,
    traced: Traced | None = None,
    keep_traced: bool = False,
) -> Frozen:
    """Freeze a network together with the collapse of its channels.

    The graph takes any batch, height and width, so it is traced once however many sizes of image follow.

    In ``fast`` precision the layers compute with bfloat16, only where that moves the maps of sample photographs by no
    more than `BFLOAT16_SHIFT`. Trained networks with depthwise convolutions often do not tolerate it: rounding errors
    grow from layer to layer where a few channels have a far wider range than the rest. What the features are reduced
    with is float32 always.

    Parameters
    ----------
    kind : of what is returned
    fold : ``spend`` where the network is not used again, which halves the memory that this takes
    traced : of the network whose control this one is, at the same precision, if that opened it
    keep_traced : keep the like with the result, and with it the network's model without weights
    """

    def frozen(graph: Callable[[PixelArray], Sequence[Any]], precision: Precision) -> Frozen:
        known = {one.name: getattr(network, one.name) for one in fields(Described) if one.init}
        graph = guarded(graph, network.label, network.own)
        return kind(**known, precision=precision, traced=traced, _graph=graph)

    bfloat16 = computes_in_bfloat16(precision)

    reader = network.reader([network.tensor], fold)
    weights, specs = reader.weights, reader.weight_specs
    both = bfloat16 and network.takes_bfloat16
    if traced is None:
        layers = network.trace(reader.given, *specs) if both or keep_traced else reader.given
        maps = network.trace(with_maps(layers), *specs)
        traced = Traced(layers, maps, network.untrained()) if keep_traced else None
    else:
        layers, maps = traced.layers, traced.maps
    run = on_onnxruntime(maps, weights, spend=reader.has_only_copy and not both)
    if run is None:
        run = with_weights(maps, weights)
    exact = frozen(run, "float32" if bfloat16 else precision)
    if not both:
        return exact
    fast = frozen(with_maps(in_bfloat16(layers, weights)), precision)
    return fast if _alike(exact, fast) else exact


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
    return load_as(make, spec, tap, seed=seed, make_room=make_room, on_progress=on_progress, variables=False)


def freeze_and_run(network: Network, precision: Precision) -> Backbone:
    """Freeze a network that is not used again, and run it once: TensorFlow optimises a graph at its first pass."""
    backbone = freeze_network(network, precision, "spend")
    side = backbone.native_size
    frame = plan_frame(side, side, side, 32, fixed=backbone.fixed)
    backbone.run_blank(np.zeros((1, frame.input_height, frame.input_width, 3), np.uint8))
    return backbone
