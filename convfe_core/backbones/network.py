"""From a spec to a network with its weights, and the tensor in it that is looked at.

Whoever reads a network asks what `Network` offers; there is one kind for Keras models, and one for ONNX graphs in
`convfe_core.backbones.onnx_network`.

TensorFlow is imported inside the functions here, so that listing, parsing and drawing never wait for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from convfe_core.backbones.batch_norm_folding import Fold, fold_model
from convfe_core.backbones.described import Described
from convfe_core.backbones.frozen_graph import Layers, WeightsSpentError, profiled_flops, trace
from convfe_core.base.arrays import PixelArray
from convfe_core.base.model_runs import about_model, guarded
from convfe_core.base.pace import LoadProgress, ignore_progress
from convfe_core.catalog.architectures import Architecture
from convfe_core.catalog.builders import build_model
from convfe_core.catalog.memory_need import require_room
from convfe_core.catalog.pixel_scaling import scale_pixels, to_grey
from convfe_core.catalog.specs import Preprocessing, Spec, find_architecture
from convfe_core.graph.taps import Tap, map_layers, resolve_tap, stage_taps, values_per_pixel
from convfe_core.graph.tracing import trace_path
from convfe_core.machine.machine_queue import BUILDING
from convfe_core.machine.memory import collected_afterwards
from convfe_core.machine.tensorflow_import import import_tensorflow
from convfe_core.model_files.load_weights import load_weights
from convfe_core.model_files.weight_cache import weight_path
from convfe_core.photos.photo import Photo
from convfe_core.user_models.input_scaling import InputAudit, audit_input, norm_misfits

if TYPE_CHECKING:
    from convfe_core.catalog.weights_beside import WeightsBeside

UNTRAINED_SEED = 0

Loaded = TypeVar("Loaded")

_MUST_KNOW_SIZE = ("CenterCrop",)
"""Layers that do something else, without a word, where they are traced for any size."""

_FLOAT_BYTES = np.dtype(np.float32).itemsize


@dataclass(frozen=True, eq=False, kw_only=True)
class Network(Described, ABC):
    """A network with its weights, and the tensor in it that is looked at.

    Attributes
    ----------
    model : what its layers and weights are: a keras.Model, or an OnnxGraph
    tensor : what is tapped, (N, h, w, C); a handle that `reader` takes
    preprocessing : how pixels are scaled before they enter, a mode of `scale_pixels`
    colours : that it takes, 3 or 1
    by_size : it must be traced for each size of picture
    """

    model: Any
    tensor: Any
    preprocessing: Preprocessing
    colours: int = 3
    by_size: bool = False

    @abstractmethod
    def at(self, layer: str) -> Self:
        """The same network, looked at elsewhere: at a layer or a stage.

        Raises
        ------
        SpecError : no such layer or stage, or one whose output is no map
        """

    @abstractmethod
    def stages(self) -> dict[str, Tap]:
        """The stages that it has, by name, the finest first."""

    @abstractmethod
    def map_layers(self) -> tuple[str, ...]:
        """Names of the layers whose output is a map, from the picture on."""

    @abstractmethod
    def count_params(self) -> int:
        """Parameters that the tapped map is computed with."""

    @abstractmethod
    def count_flops(self, height: int, width: int, layers: Any = None) -> int:
        """Floating-point operations of one image of a size, a multiply-add counting as two.

        Parameters
        ----------
        layers : the graph of its `reader`, if it was traced
        """

    @abstractmethod
    def layers(self, wanted: list[Any], fold: Fold) -> Layers:
        """What computes several of its tensors from scaled pictures, a (N, H, W, colours) float32 tensor."""

    @abstractmethod
    def audit(self, photo: Photo, height: int, width: int) -> InputAudit:
        """What the first layer with weights receives for a photograph, on an input of a size where it takes any."""

    @abstractmethod
    def misfits(self, pictures: Iterable[PixelArray]) -> dict[Preprocessing, float]:
        """How badly pictures, (H, W, 3) each, fit its first BatchNormalization under each scaling, in nats.

        Empty without such a layer, or with one that was never trained.
        """

    def untrained(self) -> Callable[[int], Network] | None:
        """A function of a seed that gives the same network with untrained weights, for less than it takes to open one.

        It holds none of this network's weights. None where only opening it anew gives these.
        """
        return None

    def features(self, pixels: Any) -> Any:
        """(N, H, W, 3) uint8 tensor -> (N, h, w, C) float32 feature map."""
        return self.reader([self.tensor])(pixels)[0]

    def reader(self, wanted: list[Any], fold: Fold = "copy") -> Layers:
        """A function from (N, H, W, 3) uint8 tensors to the values of several of the network's tensors, float32.

        The weights are those that the network has now.

        Parameters
        ----------
        fold : as in `convfe_core.backbones.batch_norm_folding.fold_model`
        """
        import tensorflow as tf

        with about_model(self.label, self.own):
            layers = self.layers(wanted, fold)

        def read(pixels: Any, weights: Sequence[Any]) -> list[Any]:
            scaled = scale_pixels(tf.cast(pixels, tf.float32), self.preprocessing)
            if self.colours == 1:
                scaled = to_grey(scaled)
            return [tf.cast(value, tf.float32) for value in layers.compute(scaled, weights)]

        return replace(layers, compute=read)

    def freeze(self, function: Callable[..., Any], *others: Any) -> Callable[..., Any]:
        """Trace a function of pictures that this network takes, and of `others`, each a tensorflow.TensorSpec.

        What its layers raise is one sentence.
        """
        return guarded(self.trace(function, *others), self.label, self.own)

    def trace(self, function: Callable[..., Any], *others: Any) -> Callable[..., Any]:
        """As `freeze`; errors at a pass are TensorFlow's own."""
        with about_model(self.label, self.own):
            graph: Callable[..., Any] = trace(function, [self.pixels, *others], by_size=self.by_size)
        return graph


@dataclass(frozen=True, eq=False, kw_only=True)
class KerasNetwork(Network):
    """A network that is a Keras model; `tensor` is one of its KerasTensors.

    The model is built for input (None, None, None, 3), or of another size where `fixed` says so.

    Attributes
    ----------
    weights_beside : what has its weights, where its variables do not
    seed : that its model was built with
    """

    weights_beside: WeightsBeside | None = None
    seed: int

    def at(self, layer: str) -> Self:
        with BUILDING:
            tensor, tap = resolve_tap(self.model, None, layer)
        path = trace_path(self.model, tensor)
        if self.path.shift != (0.0, 0.0):  # it was trained
            path = path.centred(*self.native_input)
        return replace(self, tensor=tensor, tap=tap, path=path)

    def stages(self) -> dict[str, Tap]:
        return stage_taps(self.model)

    def map_layers(self) -> tuple[str, ...]:
        return map_layers(self.model)

    def untrained(self) -> Callable[[int], Network] | None:
        if self.weights_beside is None:
            return None
        from convfe_core.catalog.weights_beside import initial_weights

        draw, empty = initial_weights(self.model, self.seed), replace(self, weights_beside=None, weights="untrained")
        return None if draw is None else lambda seed: replace(empty, weights_beside=draw(seed))

    def count_params(self) -> int:
        import keras

        return int(keras.Model(self.model.inputs, self.tensor).count_params())

    def count_flops(self, height: int, width: int, layers: Any = None) -> int:
        if layers is None:
            reader = self.reader([self.tensor])
            layers = self.trace(reader.given, *reader.weight_specs)
        return profiled_flops(layers, height, width)

    def audit(self, photo: Photo, height: int, width: int) -> InputAudit:
        return audit_input(self.model, self.preprocessing, photo, (height, width))

    def misfits(self, pictures: Iterable[PixelArray]) -> dict[Preprocessing, float]:
        return norm_misfits(self.model, pictures)

    def layers(self, wanted: list[Any], fold: Fold) -> Layers:
        with self.weights_beside or nullcontext():
            return fold_model(self.model, wanted, fold, self.weights_beside)


def load_as(
    make: Callable[[Network], Loaded],
    spec: Spec,
    tap: str = "auto",
    *,
    seed: int = UNTRAINED_SEED,
    make_room: Callable[[Spec], None] = require_room,
    on_progress: LoadProgress = ignore_progress,
    variables: bool = True,
    untrained: Callable[[int], Network] | None = None,
) -> Loaded:
    """Load a network as what is made of it, such as a frozen graph; every way of loading one goes through here.

    Parameters
    ----------
    make : takes the network, which nobody else has
    make_room : called before anything is opened; raises MemoryLimitError where it does not fit
    untrained : what `Network.untrained` gave of another one of these layers, if the spec has untrained weights
    others, and errors : as in `open_network`
    """
    make_room(spec)
    with collected_afterwards():  # Keras models are full of reference cycles, which hold their variables
        try:
            if untrained is not None:
                return make(untrained(seed))
            return make(open_network(spec, tap, seed=seed, on_progress=on_progress, variables=variables))
        except WeightsSpentError:
            return make(open_network(spec, tap, seed=seed, on_progress=on_progress))


def open_network(
    spec: Spec,
    tap: str = "auto",
    *,
    seed: int = UNTRAINED_SEED,
    on_progress: LoadProgress = ignore_progress,
    variables: bool = True,
) -> Network:
    """Build the architecture that a spec names, or open its model file, and find the tapped layer.

    Parameters
    ----------
    spec : what to load
    tap : ``auto``, ``output`` or a layer's name
    seed : for ``untrained`` weights; the same seed gives the same weights
    on_progress : told what is happening
    variables : False where the network is only run: the weights of a Keras model of the catalog are tensors beside it
        then, which takes half the time to build it, and the model can be neither called nor saved

    Raises
    ------
    SpecError : no such architecture, weights or layer
    WeightsError : weights missing, damaged or of another architecture
    DownloadError : weights that could not be fetched
    ModelFileError : a model file that cannot or must not be opened
    SettingError : Keras is set up for something else than TensorFlow
    """
    if spec.in_onnx:
        from convfe_core.backbones.onnx_network import open_onnx_network

        on_progress("opening", None)
        import_tensorflow()
        return open_onnx_network(spec, tap, seed)
    return _open_keras(spec, tap, seed, on_progress, variables)


def _open_keras(spec: Spec, tap: str, seed: int, on_progress: LoadProgress, variables: bool) -> KerasNetwork:
    architecture = None if spec.own else find_architecture(spec.name)
    file = weight_path(spec, on_progress)
    on_progress("opening" if spec.own else "loading", None)
    import_tensorflow()
    with BUILDING:
        import keras

        from convfe_core.catalog.weights_beside import WeightsBeside

        keras.utils.set_random_seed(seed)
        beside = None if variables or spec.own else WeightsBeside()
        with beside or nullcontext():
            model, known = _open_model_file(spec) if architecture is None else _build(spec, architecture, file)
        tensor, found = resolve_tap(model, architecture, spec.layer if tap == "auto" else tap)
        path = trace_path(model, tensor)
        return KerasNetwork(
            label=spec.label,
            weights=spec.weights_shown,
            tap=found,
            path=path.centred(*(known.get("fixed") or (known["native_size"],) * 2)) if spec.trained else path,
            megabytes=int(model.count_params()) * _FLOAT_BYTES / 2**20,
            activation_bytes=values_per_pixel(model) * _FLOAT_BYTES,
            model=model,
            weights_beside=beside,
            seed=seed,
            tensor=tensor,
            colours=int(model.inputs[0].shape[-1]),
            by_size=any(type(layer).__name__ in _MUST_KNOW_SIZE for layer in model.layers),
            **(known | ({"preprocessing": spec.preprocessing} if spec.preprocessing else {})),
        )


def _build(spec: Spec, architecture: Architecture, file: Path | None) -> tuple[Any, dict[str, Any]]:
    """A model of the catalog with its weights, and what the catalog knows of it."""
    model = build_model(architecture)
    if spec.weights == "builtin":
        from convfe_core.catalog.builtin_networks import load_builtin_weights

        load_builtin_weights(model, architecture.name)
    elif file is not None:
        load_weights(model, file, architecture)
    names = "preprocessing", "working_size", "native_size", "minimum_size"
    return model, {name: getattr(architecture, name) for name in names}


def _open_model_file(spec: Spec) -> tuple[Any, dict[str, Any]]:
    """A user's own model, or its control, and what its file says of it."""
    from convfe_core.user_models.open_model import open_model

    assert spec.path is not None
    opened = open_model(spec.path, trained=spec.trained)
    size = opened.working_size
    return opened.model, {
        "preprocessing": opened.scaling.mode,
        "working_size": size,
        "native_size": size,
        "fixed": opened.fixed,
        "notes": opened.notes,
        "own": True,
    }
