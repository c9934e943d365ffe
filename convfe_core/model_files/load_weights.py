"""Putting the weights of a file into a model that `build_model` made.

Weights are never swapped for others: what does not fit is an error.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convfe_core.base.errors import ModelFileError, WeightsError
from convfe_core.catalog.architectures import ARCHITECTURES, Architecture
from convfe_core.catalog.pixel_scaling import IMAGENET_STD
from convfe_core.model_files.exported_weights import count_exported, load_exported
from convfe_core.model_files.safety import check_weight_file
from convfe_core.model_files.saved_model_folder import saved_model_folder
from convfe_core.model_files.weight_numbers import count_numbers, open_arrays

if TYPE_CHECKING:
    import keras

_Layer = list[tuple[str, Any]]
"""Names and h5py.Datasets of one layer in a weight file, which are read when they are assigned."""


def load_weights(model: keras.Model, path: Path, architecture: Architecture) -> None:
    """Put the weights of a file into a model that `build_model` made.

    Reads Keras' HDF5 files of weights or of whole models (a head on top or the backbone as a layer is fine),
    ``.weights.h5`` and ``.keras``, and what ``model.export()`` writes, as a folder or a zip.

    Raises
    ------
    WeightsError : the file is missing, damaged or of another architecture; the model is not to be used then
    """
    if not path.exists():
        raise WeightsError(f"Expected weights of {architecture.name} in {path}, but there is no such file.")
    try:
        check_weight_file(path)
    except ModelFileError as error:
        raise WeightsError(str(error)) from error
    try:
        with saved_model_folder(path) as exported:
            if exported is not None:
                load_exported(model, exported)
            else:
                _load_file(model, path)
    except Exception as error:  # a broken or foreign file makes h5py, zipfile and Keras raise almost anything
        raise WeightsError(
            f"Expected weights of {architecture.name} ({architecture.parameters:,} numbers), "
            f"the file {path.name} holds {_description(path)}."
        ) from error
    _complete_normalization(model)


def _description(path: Path) -> str:
    """Say how many numbers a file holds, what ``model.export()`` wrote included."""
    try:
        with saved_model_folder(path) as exported:
            count = count_numbers(path) if exported is None else count_exported(exported)
    except Exception:  # TensorFlow raises many kinds for a damaged checkpoint
        count = None
    if count is None:
        return "no weights that can be read"
    alike = [architecture.name for architecture in ARCHITECTURES if architecture.parameters == count]
    return f"{count:,} numbers" + (f", as many as {alike[0]}" if alike else "")


def _load_file(model: keras.Model, path: Path) -> None:
    with _legacy_layers(path) as layers:
        if layers is None:
            _load_by_keras(model, path)
        elif not (_assign_in_order(model, layers) or _assign_by_name(model, layers)):
            raise ValueError("layers or shapes differ")


def _load_by_keras(model: keras.Model, path: Path) -> None:
    """Load a file of Keras 3, and see that it filled the whole model: Keras only warns of layers that it skips."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model.load_weights(path)
    with open_arrays(path) as arrays:
        held = {np.asarray(array[()], np.float32).tobytes() for array in arrays}
    if any(np.asarray(values, np.float32).tobytes() not in held for values in model.get_weights()):
        raise ValueError("layers were skipped")


@contextmanager
def _legacy_layers(path: Path) -> Iterator[list[_Layer] | None]:
    """The layers that have weights in a ``.h5`` file; None for the formats that came with Keras 3."""
    import h5py

    if not h5py.is_hdf5(path):
        if path.suffix != ".keras":
            raise ValueError("no HDF5 file")
        yield None
        return
    with h5py.File(path, "r") as file:
        group = file.get("model_weights", file)
        names = list(_attribute(group, "layer_names"))
        layers = [[(name, group[layer][name]) for name in _attribute(group[layer], "weight_names")] for layer in names]
        yield [layer for layer in layers if layer] if names else None


def _attribute(group: Any, name: str) -> Iterator[str]:
    """Names in an attribute, which Keras splits over ``name0``, ``name1`` ... when it is long."""
    keys = [name] if name in group.attrs else []
    while f"{name}{len(keys)}" in group.attrs:
        keys.append(f"{name}{len(keys)}")
    for key in keys:
        for value in group.attrs[key]:
            yield value.decode() if isinstance(value, bytes) else str(value)


def _assign_in_order(model: keras.Model, layers: list[_Layer]) -> bool:
    """Assign layer by layer; more layers in the file are a head that the model does not have."""
    wanted = [variables for variables in map(_variables, model.layers) if variables]
    if len(layers) < len(wanted):
        return False
    pairs: list[tuple[Any, Any]] = []
    for variables, layer in zip(wanted, layers, strict=False):
        if [tuple(v.shape) for v in variables] != [dataset.shape for _, dataset in layer]:
            return False
        pairs += zip(variables, (dataset for _, dataset in layer), strict=True)
    return _assign(pairs)


def _assign_by_name(model: keras.Model, layers: list[_Layer]) -> bool:
    """Assign by the names of layer and variable; this finds a backbone that is nested in a larger model."""
    datasets = {tuple(name.split(":")[0].split("/")[-2:]): dataset for layer in layers for name, dataset in layer}
    pairs = []
    for layer in model.layers:
        for variable in _variables(layer):
            name = variable.name
            keras_2_name = f"depthwise_{name}"
            dataset = datasets.get((layer.name, name), datasets.get((layer.name, keras_2_name)))
            if dataset is None or dataset.shape != tuple(variable.shape):
                return False
            pairs.append((variable, dataset))
    return _assign(pairs)


def _variables(layer: Any) -> list[Any]:
    """The variables of a layer in the order of Keras' HDF5 files."""
    return [*layer.trainable_weights, *layer.non_trainable_weights]


def _assign(pairs: list[tuple[Any, Any]]) -> bool:
    for variable, dataset in pairs:
        variable.assign(dataset[()])
    return True


def _complete_normalization(model: keras.Model) -> None:
    """Let a loaded normalisation layer see its weights, and mend EfficientNet's.

    EfficientNet's ImageNet weights hold the standard deviation where the variance belongs. Keras makes up for
    it by a layer that only ``weights="imagenet"`` adds; putting the variance itself right comes to the same.
    """
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            mean, variance, *count = layer.get_weights()
            if np.allclose(np.ravel(variance), IMAGENET_STD, atol=1e-4):
                layer.set_weights([mean, np.square(variance), *count])
            layer.finalize_state()
