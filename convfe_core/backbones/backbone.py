"""From a spec to a loaded backbone: one frozen graph that scales pixels, runs the network and reduces its channels.

TensorFlow is imported inside the functions here, so that listing, parsing and drawing never wait for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from convfe_core.backbones.batch_norm_folding import Fold, fold_model
from convfe_core.backbones.frozen_graph import freeze, in_bfloat16
from convfe_core.backbones.precision import Precision, computes_in_bfloat16
from convfe_core.base.arrays import FloatArray, PixelArray
from convfe_core.base.errors import SpecError
from convfe_core.base.memory import give_back
from convfe_core.base.tensorflow_import import import_tensorflow
from convfe_core.catalog.builders import build_model
from convfe_core.catalog.pixel_scaling import scale_pixels, to_grey
from convfe_core.catalog.specs import Preprocessing, Spec, find_architecture
from convfe_core.graph.cell_geometry import CellGrid
from convfe_core.graph.taps import SpatialPath, Tap, resolve_tap, trace_path, values_per_pixel
from convfe_core.model_files.weight_cache import fetch_weights, load_weights
from convfe_core.photos.gallery import SAMPLES, load_sample
from convfe_core.photos.letterbox import place_on_canvas, plan_frame

UNTRAINED_SEED = 0

BFLOAT16_SHIFT, BFLOAT16_SAMPLES = 0.015, 3
"""``fast`` may move the maps of so many sample photographs by this share of their range, on average over cells."""

LoadProgress = Callable[[str, float | None], None]
"""Called with a phrase such as ``"downloading, 12 of 94 MB"`` and the share done (0..1), or None if unknown."""

_building = threading.RLock()
"""Keras' global random state and layer naming belong to one build at a time."""


def ignore_progress(_phrase: str, _share: float | None) -> None:
    """Take a progress report and show it to nobody."""


@dataclass(frozen=True, eq=False)
class Network:
    """A Keras model with its weights, and the tensor in it that is looked at.

    Attributes
    ----------
    label : how it is called in titles and files
    weights : ``imagenet``, ``untrained``, ``builtin`` or the name of a file
    model : keras.Model, built for input (None, None, None, 3), or of another size where `fixed` says so
    tensor : the tapped KerasTensor, (N, h, w, C)
    preprocessing : how pixels are scaled before they enter, a mode of `scale_pixels`
    fixed : (height, width) of the input of a network that takes no other
    """

    label: str
    weights: str
    model: Any
    tensor: Any
    tap: Tap
    path: SpatialPath
    preprocessing: Preprocessing
    working_size: int
    native_size: int
    fixed: tuple[int, int] | None = None

    def at(self, tensor: Any, tap: Tap) -> Network:
        """The same network, looked at elsewhere."""
        path = trace_path(self.model, tensor)
        trained = self.path.shift != (0.0, 0.0)
        return replace(self, tensor=tensor, tap=tap, path=path.centred(self.native_size) if trained else path)

    @property
    def batch_shape(self) -> tuple[int | None, int | None, int | None, int]:
        """Of the pictures that it takes, None where any."""
        height, width = self.fixed or (None, None)
        return None, height, width, 3

    @property
    def activation_bytes(self) -> float:
        """Memory that a forward pass holds at once, for each pixel of its input."""
        return values_per_pixel(self.model) * np.dtype(np.float32).itemsize

    @property
    def megabytes(self) -> float:
        """Memory that its weights hold."""
        return int(self.model.count_params()) * np.dtype(np.float32).itemsize / 2**20

    def features(self, pixels: Any, fold: Fold = "copy") -> Any:
        """(N, H, W, 3) uint8 tensor -> (N, h, w, C) float32 feature map; see `tensors`."""
        return self.tensors(pixels, [self.tensor], fold)[0]

    def tensors(self, pixels: Any, wanted: list[Any], fold: Fold = "copy") -> list[Any]:
        """(N, H, W, 3) uint8 tensor -> the values of several of the model's tensors, float32.

        Inside a graph the weights are those that the model has when the graph is traced.

        Parameters
        ----------
        fold : as in `convfe_core.backbones.batch_norm_folding.fold_model`
        """
        import tensorflow as tf

        scaled = scale_pixels(tf.cast(pixels, tf.float32), self.preprocessing)
        if self.model.inputs[0].shape[-1] == 1:
            scaled = to_grey(scaled)
        return [tf.cast(value, tf.float32) for value in fold_model(self.model, wanted, fold)(scaled)]


@dataclass(frozen=True, eq=False)
class FrozenNetwork:
    """A network turned into one graph with its weights fixed; it can be shared between threads.

    Attributes
    ----------
    label, weights, tap, working_size, native_size, fixed : as in `Network`
    path : where cells lie for any input size
    megabytes : memory that its weights hold
    activation_bytes : memory that a forward pass holds at once, for each pixel of its input
    precision : ``float32``, or ``fast`` for bfloat16 where the processor has it and the maps stand it
    """

    label: str
    weights: str
    tap: Tap
    path: SpatialPath
    working_size: int
    native_size: int
    megabytes: float
    activation_bytes: float
    precision: Precision
    _graph: Callable[..., Any]
    fixed: tuple[int, int] | None = None

    def grid(self, input_height: int, input_width: int) -> CellGrid:
        """Where the cells lie on an input of this size."""
        return self.path.grid(input_height, input_width)


class Backbone(FrozenNetwork):
    """A frozen network that turns photographs into maps."""

    def reduce(self, batch: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
        """(N, H, W, 3) uint8 RGB -> the max and the mean over channels, both (N, h, w) float32."""
        import tensorflow as tf

        maximum, mean = self._graph(tf.constant(batch))
        return maximum.numpy(), mean.numpy()


Frozen = TypeVar("Frozen", bound=FrozenNetwork)


def open_network(
    spec: Spec,
    tap: str = "auto",
    *,
    seed: int = UNTRAINED_SEED,
    on_progress: LoadProgress = ignore_progress,
) -> Network:
    """Build the architecture that a spec names, give it its weights and find the tapped layer.

    Parameters
    ----------
    spec : what to load
    tap : ``auto``, ``output`` or a layer's name
    seed : for ``untrained`` weights; the same seed gives the same weights
    on_progress : told what is happening

    Raises
    ------
    SpecError : no such architecture, weights or layer
    WeightsError : weights missing, damaged or of another architecture
    DownloadError : weights that could not be fetched
    ModelFileError : a model file that cannot or must not be opened
    SettingError : Keras is set up for something else than TensorFlow
    """
    if spec.own:
        return _open_own(spec, tap, seed, on_progress)
    architecture = find_architecture(spec.name)
    weights = weight_path(spec, on_progress)
    on_progress("loading", None)
    import_tensorflow()
    with _building:
        import keras

        keras.utils.set_random_seed(seed)
        model = build_model(architecture)
        if spec.weights == "builtin":
            from convfe_core.catalog.builtin_networks import load_builtin_weights

            load_builtin_weights(model, architecture.name)
        elif weights is not None:
            load_weights(model, weights, architecture)
        tensor, found = resolve_tap(model, architecture, tap)
        path = trace_path(model, tensor)
        return Network(
            label=spec.label,
            weights=spec.path.name if spec.path else spec.weights,
            model=model,
            tensor=tensor,
            tap=found,
            path=path if spec.weights == "untrained" else path.centred(architecture.native_size),
            preprocessing=spec.preprocessing or architecture.preprocessing,
            working_size=architecture.working_size,
            native_size=architecture.native_size,
        )


def _open_own(spec: Spec, tap: str, seed: int, on_progress: LoadProgress) -> Network:
    """Open a model file of the user's, or its control, like a network of the catalog."""
    from convfe_core.user_models.open_model import open_model

    assert spec.path is not None
    on_progress("opening", None)
    import_tensorflow()
    with _building:
        import keras

        keras.utils.set_random_seed(seed)
        opened = open_model(spec.path, trained=spec.weights == "model")
        tensor, found = resolve_tap(opened.model, None, spec.layer if tap == "auto" else tap)
        path = trace_path(opened.model, tensor)
        return Network(
            label=spec.label,
            weights=spec.path.name if spec.weights == "model" else "untrained",
            model=opened.model,
            tensor=tensor,
            tap=found,
            path=path.centred(opened.working_size) if spec.weights == "model" else path,
            preprocessing=spec.preprocessing or opened.scaling.mode,
            working_size=opened.working_size,
            native_size=opened.working_size,
            fixed=opened.fixed,
        )


def weight_path(spec: Spec, on_progress: LoadProgress = ignore_progress) -> Path | None:
    """Find the weight file on this machine, fetched first if need be; None for weights that need no file.

    Raises
    ------
    SpecError : no such weights
    DownloadError : weights that could not be fetched
    """
    if spec.path is not None:
        return spec.path
    if spec.weights != "imagenet":
        return None
    architecture = find_architecture(spec.name)
    if architecture.weight_file is None:
        raise SpecError(
            f"Expected weights that exist for {architecture.name}: "
            f"{', '.join(architecture.weights)} or untrained. Received: imagenet."
        )

    def report(done_mb: float, total_mb: float) -> None:
        on_progress(f"downloading, {done_mb:.0f} of {total_mb:.0f} MB", min(done_mb / max(total_mb, 1e-6), 1.0))

    return fetch_weights(architecture, on_progress=report)


def freeze_network(network: Network, precision: Precision = "float32", fold: Fold = "copy") -> Backbone:
    """Turn a network into a backbone: one traced graph with its weights fixed.

    The graph takes any batch, height and width, so it is traced once however many sizes of image follow.

    Parameters
    ----------
    fold : ``spend`` where the network is not used again, which halves the memory that this takes
    """
    import tensorflow as tf

    def reduce_channels(pixels: Any) -> tuple[Any, Any]:
        features = network.features(pixels, fold)
        return tf.reduce_max(features, axis=-1), tf.reduce_mean(features, axis=-1)

    return freeze_maps(Backbone, network, reduce_channels, [tf.TensorSpec(network.batch_shape, tf.uint8)], precision)


def freeze_maps(
    kind: type[Frozen],
    network: Network,
    function: Callable[..., Any],
    signature: list[Any],
    precision: Precision,
    inputs: Callable[[PixelArray], tuple[Any, ...]] = lambda batch: (batch,),
) -> Frozen:
    """Freeze a network with a function whose first two results are max and mean maps.

    In ``fast`` precision it computes with bfloat16 only where that moves the maps of sample photographs by no more than
    `BFLOAT16_SHIFT`. Trained networks with depthwise convolutions often do not stand it: rounding errors grow from
    layer to layer where a few channels have a far wider range than the rest.

    Parameters
    ----------
    kind : of what is returned
    function : of what `inputs` returns, to be traced
    inputs : (1, H, W, 3) uint8 -> what the function takes
    """
    with _building:
        graph = freeze(function, signature)
    if computes_in_bfloat16(precision):
        fast = in_bfloat16(graph)
        if _alike(graph, fast, network, inputs):
            graph = fast
        else:
            precision = "float32"
    return kind(
        label=network.label,
        weights=network.weights,
        tap=network.tap,
        path=network.path,
        working_size=network.working_size,
        native_size=network.native_size,
        megabytes=network.megabytes,
        activation_bytes=network.activation_bytes,
        precision=precision,
        _graph=graph,
        fixed=network.fixed,
    )


def _alike(
    exact: Callable[..., Any],
    fast: Callable[..., Any],
    network: Network,
    inputs: Callable[[PixelArray], tuple[Any, ...]],
) -> bool:
    """Whether two graphs give nearly the same maps of sample photographs."""
    import tensorflow as tf

    for sample in SAMPLES[:BFLOAT16_SAMPLES]:
        photo = load_sample(sample.name)
        frame = plan_frame(photo.height, photo.width, network.working_size, 32, fixed=network.fixed)
        arguments = [tf.constant(value) for value in inputs(place_on_canvas(photo, frame)[None])]
        for one, other in zip(exact(*arguments)[:2], fast(*arguments)[:2], strict=True):
            if not np.abs(one - other).mean() <= BFLOAT16_SHIFT * np.ptp(one):
                return False
    return True


def load_backbone(
    spec: Spec,
    tap: str = "auto",
    *,
    seed: int = UNTRAINED_SEED,
    precision: Precision = "float32",
    on_progress: LoadProgress = ignore_progress,
) -> Backbone:
    """Open a network, freeze it and run it once; arguments and errors as in `open_network` and `freeze_network`."""
    backbone = freeze_network(open_network(spec, tap, seed=seed, on_progress=on_progress), precision, "spend")
    side = backbone.native_size
    frame = plan_frame(side, side, side, 32, fixed=backbone.fixed)
    # TensorFlow optimises a graph at its first pass, which belongs to loading.
    backbone.reduce(np.zeros((1, frame.input_height, frame.input_width, 3), np.uint8))
    give_back()  # Keras models are full of reference cycles; their variables must go before the next one is built
    return backbone
