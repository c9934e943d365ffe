"""Reading a whole model from the files Keras writes: ``.keras``, ``.h5`` and SavedModel, checked before it is loaded.

Keras 3 refuses many files of Keras 2; tf-keras, the maintained Keras 2, opens those. A SavedModel's graph is never run:
its layers are rebuilt from their description, and only the numbers are read from its checkpoint.
"""

from __future__ import annotations

import json
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from convfe_core.base.errors import ModelFileError, WeightsAloneError
from convfe_core.catalog.architectures import Architecture
from convfe_core.model_files.allowed_names import layers_of_applications
from convfe_core.model_files.exported_weights import identify_export
from convfe_core.model_files.safety import (
    MOST_BYTES,
    MOST_CONFIG_BYTES,
    check_archive,
    check_config,
    check_hdf5,
    objects_in,
)
from convfe_core.model_files.saved_model_folder import (
    METADATA,
    SAVED_MODEL,
    VARIABLES,
    extract,
    saved_model_root,
    unpacked,
)
from convfe_core.model_files.weight_numbers import identify_weights
from convfe_core.user_models.allocation_limits import (
    bounded_in_tf_keras,
    build_old_keras,
    check_allocation,
    numbers_in_keras,
)
from convfe_core.user_models.bare_operations import name_operations
from convfe_core.user_models.bounded_loops import bound_loops

EXPECTED = "a Keras model: .keras, .h5, .hdf5, or a SavedModel as a folder or zip"

_Opened = tuple[Any, str]
"""A model, and what opened it."""

_BYTES_A_NUMBER = 4
_FOREIGN = (
    (b"\x80", "a pickle, which can run code when it is opened"),
    (b"\x08", "an ONNX model or a graph without layers"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"{", "a JSON file"),
)


def load_model_file(path: Path) -> tuple[Any, str]:
    """Load a model that is known to hold nothing but Keras' own layers.

    Returns
    -------
    a model of Keras 3 or of tf-keras, not compiled, and which of the two opened it (``Keras 3.15.0``)

    Raises
    ------
    ModelFileError : no model, a refused one, or one that neither opens
    """
    path = path.expanduser()
    name = path.name or str(path)
    if path.is_dir():
        return _load_saved_model(path, name)
    if not path.is_file():
        raise ModelFileError(f"{name}: expected {EXPECTED}, but there is no such file.")
    if path.stat().st_size > MOST_BYTES:
        raise ModelFileError(
            f"{name}: expected at most {MOST_BYTES / 1e9:.0f} GB. Received: {path.stat().st_size / 1e9:.1f} GB."
        )
    if zipfile.is_zipfile(path):  # asked first: weights stored in an archive may lie where HDF5 files can begin
        return _load_archive(path, name)
    import h5py

    if h5py.is_hdf5(path):
        return _load_hdf5(path, name)
    raise ModelFileError(f"{name}: expected {EXPECTED}. Received: {_what_came(path)}.")


def _what_came(path: Path) -> str:
    with path.open("rb") as file:
        beginning = file.read(16)
    if not beginning:
        return "an empty file"
    if beginning[4:8] == b"TFL3":
        return "a TensorFlow Lite model"
    if beginning.startswith(b"\x89HDF"):
        return "the beginning of an HDF5 file whose rest is damaged"
    if beginning.startswith(b"PK"):
        return "a damaged archive"
    return next((what for magic, what in _FOREIGN if beginning.startswith(magic)), "a file of another kind")


def _load_hdf5(path: Path, name: str) -> _Opened:
    import h5py

    held = check_hdf5(path, name)
    with h5py.File(path, "r") as file:
        text, version = file.attrs.get("model_config"), str(file.attrs.get("keras_version"))
    if text is None:
        raise _weights_alone(name, identify_weights(path), name)
    config = _parse(text, name)
    changed = _check(config, name)
    loaders = [
        partial(_hdf5_by_keras, path, name, config, held, changed=changed),
        partial(_by_tf_keras, path, name, held, config if changed else None),
    ]
    crops = any(node.get("class_name") == "RandomCrop" for node in objects_in(config))
    only_keras_2 = version.startswith("2") and crops  # Keras 3's crops in training alone
    return _first_that_opens(name, loaders[only_keras_2:])


def _check(config: dict[str, Any], name: str) -> bool:
    """Judge a description before anything is made of it; True where it was changed, see `bound_loops`."""
    check_config(config, name)
    try:
        return bound_loops(config)
    except ModelFileError as error:
        raise ModelFileError(f"{name}: {error}") from error


def _load_archive(path: Path, name: str) -> _Opened:
    try:
        with zipfile.ZipFile(path) as archive:
            check_archive(archive, name)
            members = archive.namelist()
            if "config.json" in members:
                return _load_keras_archive(archive, name)
            if any(member.endswith("data.pkl") or member.endswith(".npy") for member in members):
                raise ModelFileError(f"{name}: expected {EXPECTED}. Received: arrays or a pickle in an archive.")
            models = [member for member in members if _is_model_file(member)]
            if len(models) == 1:
                return _load_zipped_file(archive, models[0], name)
            root = saved_model_root(members)
            if root is None:
                raise ModelFileError(f"{name}: expected {EXPECTED}. Received: an archive without a model.")
            with unpacked(archive, root) as folder:
                return _load_saved_model(folder, name)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
        raise ModelFileError(f"{name}: expected a whole archive, but it is damaged; copy it again.") from error


def _is_model_file(member: str) -> bool:
    """Whether an archive's entry is a model of its own, such as the ``keras_model.h5`` of Teachable Machine's zip."""
    path = PurePosixPath(member)
    return path.suffix.lower() in (".keras", ".h5", ".hdf5") and not path.name.startswith(".")


def _load_zipped_file(archive: zipfile.ZipFile, member: str, name: str) -> _Opened:
    with tempfile.TemporaryDirectory(prefix="convfe-") as folder:
        path = Path(folder, f"model{PurePosixPath(member).suffix}")
        extract(archive, member, path)
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as inner:
                check_archive(inner, name)
                if "config.json" in inner.namelist():
                    return _load_keras_archive(inner, name)
        import h5py

        if h5py.is_hdf5(path):
            return _load_hdf5(path, name)
        raise ModelFileError(f"{name}: expected {EXPECTED}. Received: an archive with {_what_came(path)}.")


def _load_keras_archive(archive: zipfile.ZipFile, name: str) -> _Opened:
    """Load a ``.keras`` file from a copy that holds its description and weights and nothing else."""
    config = _parse(_read_member(archive, "config.json", name), name)
    _check(config, name)
    for node in objects_in(config):
        node.pop("compile_config", None)  # losses, metrics and optimizers are not needed and may name a user's code
    weights = "model.weights.h5"
    if weights not in archive.namelist():
        raise ModelFileError(f"{name}: expected a .keras file with {weights} in it; save the model again.")
    with tempfile.TemporaryDirectory(prefix="convfe-") as folder:
        extract(archive, weights, Path(folder, weights))
        held = check_hdf5(Path(folder, weights), name)
        copy = Path(folder, "model.keras")
        with zipfile.ZipFile(copy, "w") as clean:
            clean.writestr("config.json", json.dumps(config))
            if "metadata.json" in archive.namelist():
                clean.writestr("metadata.json", _read_member(archive, "metadata.json", name))
            clean.write(Path(folder, weights), weights)
        loaders = [partial(_by_keras, copy, name, config, held), partial(_by_tf_keras, copy, name, held)]
        return _first_that_opens(name, loaders)


def _load_saved_model(folder: Path, name: str) -> _Opened:
    """Rebuild the layers that a SavedModel describes and give them its numbers; its graph stays closed."""
    if not (folder / SAVED_MODEL).is_file():
        raise ModelFileError(f"{name}: expected {EXPECTED}. Received: a folder without {SAVED_MODEL}.")
    config = _saved_model_config(folder, name)
    _check(config, name)

    def load() -> _Opened:
        import tf_keras

        held = sum(file.stat().st_size for file in (folder / VARIABLES).glob("*")) // _BYTES_A_NUMBER
        with bounded_in_tf_keras(held, name):
            model = tf_keras.models.model_from_config(_with_tuples(config))
        status = model.load_weights(str(folder / VARIABLES / VARIABLES))
        status.assert_existing_objects_matched().expect_partial()
        return model, f"tf-keras {tf_keras.__version__}"

    return _first_that_opens(name, [load])


def _saved_model_config(folder: Path, name: str) -> dict[str, Any]:
    """The configuration of a SavedModel's model: that of the first node that is one."""
    descriptions = _descriptions(folder, name)
    if not descriptions:
        architecture = _exported(folder, name)
        if architecture is not None:
            raise _weights_alone(name, architecture, f"path/to/{name}")
        raise ModelFileError(
            f"{name}: expected a SavedModel that describes its layers ({METADATA}). Received: one with a graph alone, "
            "as model.export() writes it, whose layers cannot be looked at; save it with model.save('model.keras')."
        )
    for description in descriptions:
        described = _parse(description, name)
        if "layers" in (described.get("config") or {}):
            return {"class_name": described.get("class_name"), "config": described["config"]}
    raise ModelFileError(
        f"{name}: expected a model of Keras layers. Received: one whose layers are only known to the program that "
        "made it; save a Functional or Sequential model."
    )


def _exported(folder: Path, name: str) -> Architecture | None:
    """The architecture whose weights a SavedModel without layers holds."""
    try:
        return identify_export(folder)
    except Exception as error:  # TensorFlow raises many kinds for a damaged checkpoint
        raise ModelFileError(f"{name}: its {VARIABLES} are damaged or cut off; copy the model again.") from error


def _weights_alone(name: str, guess: Architecture | None, place: str) -> WeightsAloneError:
    known = "MobileNetV2-0.35" if guess is None else guess.name
    return WeightsAloneError(
        f"{name}: expected a whole model. Received: weights alone; name their architecture, as in {known}:{place}, "
        "or save the whole model.",
        None if guess is None else guess.name,
    )


def _descriptions(folder: Path, name: str) -> list[str]:
    """What a SavedModel says of each layer, in a file of its own or, before TensorFlow 2.5, beside its graph."""
    from tensorflow.core.protobuf import saved_model_pb2
    from tf_keras.protobuf import saved_metadata_pb2

    if (folder / METADATA).is_file():
        metadata = _read_message(saved_metadata_pb2.SavedMetadata(), folder / METADATA, name)
        return [node.metadata for node in sorted(metadata.nodes, key=lambda node: int(node.node_id))]
    saved = _read_message(saved_model_pb2.SavedModel(), folder / SAVED_MODEL, name)
    nodes = [node for graph in saved.meta_graphs[:1] for node in graph.object_graph_def.nodes]
    return [node.user_object.metadata for node in nodes if node.user_object.metadata]


def _read_message(message: Any, path: Path, name: str) -> Any:
    from google.protobuf.message import DecodeError

    if path.stat().st_size > MOST_CONFIG_BYTES:
        raise ModelFileError(f"{name}: its {path.name} has {path.stat().st_size / 1e6:.0f} MB; expected far less.")
    try:
        message.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ModelFileError(f"{name}: its {path.name} is damaged; copy the model again.") from error
    return message


def _with_tuples(node: Any) -> Any:
    """A configuration whose tuples, which JSON does not have, are tuples again."""
    if isinstance(node, list):
        return [_with_tuples(value) for value in node]
    if not isinstance(node, dict):
        return node
    if node.get("class_name") in ("__tuple__", "TensorShape"):
        return tuple(_with_tuples(value) for value in node.get("items") or ())
    return {key: _with_tuples(value) for key, value in node.items()}


def _by_keras(path: Path, name: str, config: dict[str, Any], held: int) -> _Opened:
    import keras

    check_allocation(numbers_in_keras(config), held, name)
    return keras.models.load_model(path, compile=False, safe_mode=True), f"Keras {keras.__version__}"


def _hdf5_by_keras(path: Path, name: str, config: dict[str, Any], held: int, *, changed: bool) -> _Opened:
    import keras

    operations = name_operations(config)
    check_allocation(numbers_in_keras(config, build_old_keras), held, name)
    if operations or changed:  # of which Keras' own loader knows nothing
        model = build_old_keras(config)
        model.load_weights(path)
    else:
        with keras.utils.custom_object_scope(layers_of_applications("keras")):
            model = keras.models.load_model(path, compile=False, safe_mode=True)
    return model, f"Keras {keras.__version__}"


def _by_tf_keras(path: Path, name: str, held: int, config: dict[str, Any] | None = None) -> _Opened:
    """Let Keras 2 open a file: an HDF5 file by a description of ours where there is one."""
    import tf_keras

    own = layers_of_applications("tf_keras")
    with bounded_in_tf_keras(held, name), tf_keras.utils.custom_object_scope(own):
        if config is None:
            model = tf_keras.models.load_model(str(path), compile=False, safe_mode=True)
        else:
            model = tf_keras.models.model_from_config(config)
            model.load_weights(str(path))
    return model, f"tf-keras {tf_keras.__version__}"


def _first_that_opens(name: str, loaders: Sequence[Callable[[], _Opened]]) -> _Opened:
    reason = ""
    for load in loaders:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return load()
        except ModelFileError:
            raise
        except Exception as error:  # a broken or foreign file makes both Keras versions raise almost anything
            reason = reason or _first_line(error)
    raise ModelFileError(f"{name}: neither Keras 3 nor tf-keras could open it ({reason}); save the model again.")


def _first_line(error: Exception) -> str:
    """The reason that an error gives, of the innermost one where Keras wraps it in a page of configuration."""
    lines = [line.strip() for line in str(error).rpartition("Exception encountered: ")[2].splitlines() if line.strip()]
    text = lines[0].rstrip(".:") if lines else type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."


def _parse(text: Any, name: str) -> dict[str, Any]:
    if not isinstance(text, str | bytes):
        raise ModelFileError(f"{name}: its description is damaged; expected text. Save the model again.")
    if len(text) > MOST_CONFIG_BYTES:
        raise ModelFileError(f"{name}: its description has {len(text) / 1e6:.0f} MB; expected far less.")
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{name}: its description is damaged; expected JSON. Save the model again.") from error
    if not isinstance(config, dict):
        raise ModelFileError(f"{name}: its description is damaged; expected an object. Save the model again.")
    return config


def _read_member(archive: zipfile.ZipFile, member: str, name: str) -> bytes:
    if archive.getinfo(member).file_size > MOST_CONFIG_BYTES:
        raise ModelFileError(f"{name}: {member} is larger than {MOST_CONFIG_BYTES / 1e6:.0f} MB; expected far less.")
    return archive.read(member)
