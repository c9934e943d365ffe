"""Where ImageNet weights lie, fetching them into Keras' own cache, and putting a weight file into a model.

Weights are never swapped for others: what cannot be had or does not fit is an error.
"""

from __future__ import annotations

import io
import os
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from convfe_core.base.errors import DownloadError, ModelFileError, WeightsError
from convfe_core.catalog.architectures import ARCHITECTURES, Architecture, WeightFile
from convfe_core.catalog.pixel_scaling import IMAGENET_STD
from convfe_core.model_files.download import STALL_SECONDS, MegabyteProgress, download, hash_file
from convfe_core.model_files.exported_weights import count_exported, load_exported
from convfe_core.model_files.safety import check_weight_file
from convfe_core.model_files.saved_model_folder import saved_model_folder

if TYPE_CHECKING:
    import keras

MIRROR_VARIABLE = "CONVFE_WEIGHTS_MIRROR"
"""Environment variable with the address of a folder that holds the files by their names in Keras' cache."""

HUGE, LOST_NUMBERS = 1e6, 16_384
"""What no weight comes near to, and how many zeros in a row are a hole in a file (64 kB of it)."""

_Layer = list[tuple[str, Any]]
"""Names and arrays of one layer in a weight file."""


@dataclass(frozen=True)
class WeightsState:
    """What choosing an architecture's default weights costs.

    Attributes
    ----------
    ready : nothing needs to be fetched
    megabytes : size of the download, 0 when ready
    """

    ready: bool
    megabytes: float


def keras_cache_dir() -> Path:
    """Find the folder in which Keras keeps its files, by Keras' own rule: ``KERAS_HOME``, else ``~/.keras``.

    Where that cannot be written, Keras takes ``.keras`` in the folder for temporary files.
    """
    home = keras_home()
    return home if _writable(home) else _fallback_dir()


def cached_path(weight_file: WeightFile) -> Path:
    """Where a file lies in Keras' cache, or would after a download; a cache that can only be read counts."""
    at_home = keras_home() / "models" / weight_file.name
    return at_home if at_home.is_file() else keras_cache_dir() / "models" / weight_file.name


def weights_state(architecture: Architecture) -> WeightsState:
    """Look whether the default weights are on this machine; by size only, so that it costs nothing."""
    file = architecture.weight_file
    if file is None or _large_enough(cached_path(file), architecture):
        return WeightsState(ready=True, megabytes=0.0)
    return WeightsState(ready=False, megabytes=file.megabytes)


def fetch_weights(
    architecture: Architecture,
    on_progress: MegabyteProgress | None = None,
    *,
    stall_seconds: float = STALL_SECONDS,
) -> Path:
    """Return the file with an architecture's ImageNet weights, downloading it if it is missing or damaged.

    Parameters
    ----------
    on_progress : told the megabytes done and in all
    stall_seconds : give up when the server sends nothing for so long

    Raises
    ------
    DownloadError : one sentence that says why, where Keras looks for the file, and what works without it
    WeightsError : the architecture has no ImageNet weights
    """
    file = architecture.weight_file
    if file is None:
        raise WeightsError(f"There are no ImageNet weights for {architecture.name}; it comes with its own.")
    path = cached_path(file)
    damage = _damage(path, architecture) if path.is_file() else None
    if path.is_file() and damage is None:
        return path
    target = keras_cache_dir() / "models" / file.name
    try:
        download(
            _address(file),
            target,
            check=lambda candidate: _damage(candidate, architecture),
            expected_mb=file.megabytes,
            on_progress=on_progress,
            stall_seconds=stall_seconds,
        )
    except DownloadError as error:
        found = f"the file in the cache is damaged ({damage}) and " if damage else ""
        raise DownloadError(
            f"ImageNet weights of {architecture.name} are not available: {found}{error}. Keras looks for "
            f"{file.name} ({file.megabytes:.0f} MB) in {target.parent}; put it there, or take "
            f"{architecture.name}:untrained or one of the built-in backbones, which need no download.",
            in_public=f"ImageNet weights of {architecture.name} cannot be had on this server now; take "
            f"{architecture.name}:untrained or one of the built-in backbones, which need no download.",
        ) from error
    return target


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


def identify_weights(path: Path) -> Architecture | None:
    """Guess by the count of its numbers which architecture a file of weights alone belongs to."""
    count = _count_numbers(path)
    return next((architecture for architecture in ARCHITECTURES if architecture.parameters == count), None)


def keras_home() -> Path:
    """Where Keras keeps its files if it can write there: ``KERAS_HOME``, else ``~/.keras``."""
    named = os.environ.get("KERAS_HOME")
    if named is not None:
        return Path(named).expanduser()
    home = Path("~").expanduser()
    return (home if os.access(home, os.W_OK) else Path("/tmp")) / ".keras"


def _fallback_dir() -> Path:
    temporary = Path("/tmp")
    return (temporary if temporary.is_dir() else Path(tempfile.gettempdir())) / ".keras"


def _writable(folder: Path) -> bool:
    """Whether a folder can be written, or made if it is not there yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK)


def _address(file: WeightFile) -> str:
    mirror = os.environ.get(MIRROR_VARIABLE, "").strip()
    return f"{mirror.rstrip('/')}/{quote(file.name)}" if mirror else file.url


def _large_enough(path: Path, architecture: Architecture) -> bool:
    """Whether a file can hold all parameters at four bytes each."""
    try:
        return path.stat().st_size >= 4 * architecture.parameters
    except OSError:
        return False


def _damage(path: Path, architecture: Architecture) -> str | None:
    """Say in a phrase why a file cannot be the architecture's ImageNet weights; None if it is fine.

    Where Keras has no hash, the file must be readable and hold the right count of numbers, such as weights can be.
    """
    file = architecture.weight_file
    if file is not None and file.digest is not None:
        algorithm = "sha256" if len(file.digest) == 64 else "md5"
        return None if hash_file(path, algorithm) == file.digest else f"its {algorithm.upper()} is not the right one"
    count = _count_numbers(path)
    if count is None:
        return "it is no readable HDF5 file"
    if count != architecture.parameters:
        return f"it holds {count:,} numbers, not {architecture.parameters:,}"
    return None if _plausible(path) else "it holds numbers that no network was trained to"


@contextmanager
def _open_hdf5(path: Path) -> Iterator[Any]:
    """Open a weight file; a ``.keras`` file is an archive with one inside."""
    import h5py

    if not zipfile.is_zipfile(path):
        with h5py.File(path, "r") as file:
            yield file
        return
    with (
        zipfile.ZipFile(path) as archive,
        archive.open("model.weights.h5") as member,
        h5py.File(io.BytesIO(member.read()), "r") as file,
    ):
        yield file


def _count_numbers(path: Path) -> int | None:
    """How many numbers the weights in a file are, the optimizer's left out; None if it cannot be read."""
    try:
        with _open_hdf5(path) as file:
            return sum(int(node.size) for node in _datasets(file))
    except (OSError, RuntimeError, KeyError, zipfile.BadZipFile):
        return None


def _count_anywhere(path: Path) -> int | None:
    """The same for what ``model.export()`` wrote, too."""
    try:
        with saved_model_folder(path) as exported:
            return _count_numbers(path) if exported is None else count_exported(exported)
    except Exception:  # TensorFlow raises many kinds for a damaged checkpoint
        return None


def _plausible(path: Path) -> bool:
    """Whether all numbers are finite, none is huge, and no long stretch of them is missing.

    What a disk spoils becomes zeros or noise. Of floats made of noise two in five are huge; trained weights and
    statistics stay below some thousands, and a dead channel has fewer zeros in a row than `LOST_NUMBERS`.
    """

    def sound(values: NDArray[np.float32]) -> bool:
        ends = np.flatnonzero(np.concatenate([[True], values != 0, [True]]))
        return bool(np.all(np.abs(values) < HUGE) and np.diff(ends).max() <= LOST_NUMBERS)  # NaN is not below it either

    try:
        with _open_hdf5(path) as file:
            return all(sound(np.ravel(node[()])) for node in _datasets(file))
    except OSError:
        return False


def _datasets(file: Any) -> list[Any]:
    import h5py

    found: list[Any] = []

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and not name.startswith("optimizer"):
            found.append(node)

    file.visititems(visit)
    return found


def _description(path: Path) -> str:
    count = _count_anywhere(path)
    if count is None:
        return "no weights that can be read"
    alike = [architecture.name for architecture in ARCHITECTURES if architecture.parameters == count]
    return f"{count:,} numbers" + (f", as many as {alike[0]}" if alike else "")


def _load_file(model: keras.Model, path: Path) -> None:
    layers = _legacy_layers(path)
    if layers is None:
        _load_by_keras(model, path)
    elif not (_assign_in_order(model, layers) or _assign_by_name(model, layers)):
        raise ValueError("layers or shapes differ")


def _load_by_keras(model: keras.Model, path: Path) -> None:
    """Load a file of Keras 3, and see that it filled the whole model: Keras only warns of layers that it skips."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model.load_weights(path)
    with _open_hdf5(path) as file:
        held = {np.asarray(node[()], np.float32).tobytes() for node in _datasets(file)}
    if any(np.asarray(values, np.float32).tobytes() not in held for values in model.get_weights()):
        raise ValueError("layers were skipped")


def _legacy_layers(path: Path) -> list[_Layer] | None:
    """Read the layers that have weights from a ``.h5`` file; None for the formats that came with Keras 3."""
    import h5py

    if not h5py.is_hdf5(path):
        if path.suffix == ".keras":
            return None
        raise ValueError("no HDF5 file")
    with h5py.File(path, "r") as file:
        group = file.get("model_weights", file)
        names = list(_attribute(group, "layer_names"))
        if not names:
            return None
        layers = [
            [(name, group[layer][name][()]) for name in _attribute(group[layer], "weight_names")] for layer in names
        ]
    return [layer for layer in layers if layer]


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
        if [tuple(v.shape) for v in variables] != [array.shape for _, array in layer]:
            return False
        pairs += zip(variables, (array for _, array in layer), strict=True)
    return _assign(pairs)


def _assign_by_name(model: keras.Model, layers: list[_Layer]) -> bool:
    """Assign by the names of layer and variable; this finds a backbone that is nested in a larger model."""
    arrays = {tuple(name.split(":")[0].split("/")[-2:]): array for layer in layers for name, array in layer}
    pairs = []
    for layer in model.layers:
        for variable in _variables(layer):
            name = variable.name
            array = arrays.get((layer.name, name), arrays.get((layer.name, f"depthwise_{name}")))  # Keras 2's name
            if array is None or array.shape != tuple(variable.shape):
                return False
            pairs.append((variable, array))
    return _assign(pairs)


def _variables(layer: Any) -> list[Any]:
    """The variables of a layer in the order of Keras' HDF5 files."""
    return [*layer.trainable_weights, *layer.non_trainable_weights]


def _assign(pairs: list[tuple[Any, Any]]) -> bool:
    for variable, array in pairs:
        variable.assign(array)
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
