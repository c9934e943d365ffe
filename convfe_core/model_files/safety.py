"""What a model file may hold: refusing code, foreign references and bombs by reading, before any loader runs.

Everything is judged by lists of what is allowed. What is not on them is refused by the name of its layer, whether
it would run code (Lambda layers, pickles), read other files (external links, vocabularies) or only be unknown.
"""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from convfe_core.base.errors import ModelFileError
from convfe_core.model_files.allowed_names import (
    ACTIVATIONS,
    CLASSES,
    LAYERS,
    MODULES,
    REFUSED,
    REGISTERED,
    TENSORFLOW_LAYERS,
)
from convfe_core.model_files.other_libraries import refusal_of_library

MOST_BYTES = 2_000_000_000
"""Of a model file, and of everything in it once unpacked."""
MOST_CONFIG_BYTES = 32_000_000
MOST_ENTRIES = 100_000
"""Files in an archive, or groups and arrays in an HDF5 file."""
MOST_TIMES, HARMLESS_BYTES = 20, 50_000_000
"""An archive or HDF5 file that unpacks to more than so many times its size is a bomb: weights hardly shrink."""
MOST_LAYERS = 3_000
"""The deepest network of Keras Applications has 1,041; Keras takes minutes to build tens of thousands."""
MOST_PARTS = 1 << 12
"""What layers may split their inputs into: Keras makes a tensor of each before anything can be counted."""

_PART_KEYS = ("indices_or_sections", "num", "num_or_size_splits", "num_split")


def check_config(config: Any, file_name: str) -> None:
    """Refuse a model's configuration that names anything but Keras' own layers.

    Parameters
    ----------
    config : the configuration as JSON gives it, of Keras 2 or 3

    Raises
    ------
    ModelFileError : one sentence that names the layer
    """
    pending: list[tuple[Any, str]] = [(config, "")]
    layers, parts = 0, 0.0
    while pending:
        node, layer = pending.pop()
        if isinstance(node, dict):
            if "class_name" in node:
                layer = _check_object(node, layer, file_name)
                layers += node["class_name"] in LAYERS
            if layers > MOST_LAYERS:
                raise ModelFileError(f"{file_name}: has more than {MOST_LAYERS:,} layers; expected fewer.")
            _check_values(node, layer, file_name)
            parts += sum(_parts(node.get(key)) for key in _PART_KEYS)
            if parts > MOST_PARTS:
                raise ModelFileError(
                    f"{file_name}: layer {layer!r} splits its input, which makes {parts:,.0f} parts so far; "
                    f"expected at most {MOST_PARTS:,}."
                )
            _check_inputs(node, layer, file_name)
            pending += [(value, layer) for key, value in node.items() if key != "compile_config"]
        elif isinstance(node, list):
            pending += [(value, layer) for value in node]


def objects_in(config: Any) -> Iterator[dict[str, Any]]:
    """Every object of a configuration as JSON gives it, the outer ones first; an object may be changed meanwhile."""
    pending = [config]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            yield node
            pending += node.values()
        elif isinstance(node, list):
            pending += node


def _check_object(node: dict[str, Any], layer: str, file_name: str) -> str:
    """Judge one object of a configuration and return the name of the layer it belongs to."""
    kind, settings, outermost = node["class_name"], node.get("config"), not layer
    own = settings.get("name") if isinstance(settings, dict) else None
    layer = str(node.get("name") or own or layer)[:80]
    shown = f"{file_name}: layer {layer!r}"
    if kind in ("Lambda", "__lambda__"):
        raise ModelFileError(
            f"{shown} is a Lambda, which carries program code; models are opened without running any. "
            "Replace it by Keras' own layers and save the model again."
        )
    module = node.get("module")
    at_home = (
        module is None
        or module == "keras"
        or any(module == home or str(module).startswith(f"{home}.") for home in MODULES)
    )
    function = kind == "function" and isinstance(settings, str) and settings in ACTIVATIONS
    if function and (at_home or module == "builtins"):  # where Keras says that its own functions come from
        return layer
    foreign = refusal_of_library(node, layer, file_name, outermost=outermost)
    if foreign is not None:
        raise ModelFileError(foreign)
    if at_home and isinstance(kind, str) and kind in REFUSED:
        raise ModelFileError(
            f"{shown} is Keras' {kind!r}, which {REFUSED[kind]}; save the model again without it, or only its part "
            "before that."
        )
    known = isinstance(kind, str) and (kind in CLASSES or kind == REGISTERED)
    registered = str(node.get("registered_name"))
    if not known or not at_home or (">" in registered and registered != REGISTERED):
        raise ModelFileError(
            f"{shown} is {_shown(kind)}{_from(module)}, which is none of the layers of Keras that are known "
            "here; others would need program code or other files. Save the model again without it, or only its part "
            "before that."
        )
    if kind in TENSORFLOW_LAYERS:
        _check_call(node, shown)
    return layer


def _check_call(node: dict[str, Any], shown: str) -> None:
    """Judge a layer of Keras 2 that calls TensorFlow: what it calls, and that it does so with a picture's values."""
    from convfe_core.keras2.tensorflow_calls import CALLS
    from convfe_core.keras2.tensorflow_layers import NODES

    settings = node["config"] if isinstance(node.get("config"), dict) else {}
    if node["class_name"] == "TensorFlowOpLayer":
        described, known = settings.get("node_def"), NODES.keys()
        called = described.get("op") if isinstance(described, dict) else None
    else:
        called, known = settings.get("function"), CALLS.keys()
    if not isinstance(called, str) or called not in known:
        raise ModelFileError(
            f"{shown} calls TensorFlow's {_shown(called)}, but only calls that compute with a picture's values alone "
            "are opened; replace it by a Keras layer and save the model again."
        )


def _check_values(node: dict[str, Any], layer: str, file_name: str) -> None:
    """Judge functions and sizes that a configuration names."""
    for key, value in node.items():
        named_function = key.endswith("activation") and value is not None
        if named_function and isinstance(value, str) and value not in ACTIVATIONS:
            raise ModelFileError(
                f"{file_name}: layer {layer!r} uses the function {_shown(value)} as {key}, but only Keras' own "
                "functions are opened; replace it and save the model again."
            )
        if named_function and not isinstance(value, str) and not (isinstance(value, dict) and "class_name" in value):
            raise ModelFileError(
                f"{file_name}: layer {layer!r} carries program code as {key}; models are opened without running any. "
                "Replace it by one of Keras' own functions and save the model again."
            )


def _parts(described: Any) -> float:
    """How many parts a setting asks for: a number, a list of sizes, or either as a node of a graph has it."""
    if isinstance(described, list):
        return len(described)
    if isinstance(described, dict):
        return max(map(_parts, described.values()), default=0)
    try:
        return float(described)
    except (TypeError, ValueError):
        return 0


def _check_inputs(node: dict[str, Any], layer: str, file_name: str) -> None:
    """Refuse a layer that is called with numbers alone: Keras would compute with them while it opens the file."""
    calls = node.get("inbound_nodes")
    if isinstance(calls, list) and not all(_names_a_tensor(call) for call in calls):
        raise ModelFileError(
            f"{file_name}: layer {layer!r} is called with numbers alone; expected what another layer makes of a "
            "picture. Save the model again."
        )


def _names_a_tensor(call: Any) -> bool:
    """Whether the description of a call holds a tensor: ``["its layer", 0, 0]`` in Keras 2."""
    pending = [call]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if node.get("class_name") == "__keras_tensor__":
                return True
            pending += node.values()
        elif isinstance(node, list):
            match node:
                case [str(name), int(place), int(), *_] if name != "_CONSTANT_VALUE" and place >= 0:
                    return True
            pending += node
    return False


def check_hdf5(path: Path, file_name: str) -> int:
    """Refuse an HDF5 file that reaches into other files or unpacks to more than `MOST_BYTES`.

    Returns
    -------
    how many numbers it holds

    Raises
    ------
    ModelFileError : one sentence that names the entry
    """
    import h5py

    total, seen, numbers, stored = 0, 0, 0, 0
    try:
        with h5py.File(path, "r") as file:
            for name, node in _hdf5_nodes(file, file_name):
                seen += 1
                if isinstance(node, h5py.Dataset):
                    if node.external or node.is_virtual:
                        raise ModelFileError(
                            f"{file_name}: {name!r} keeps its numbers in another file; expected everything inside. "
                            "Save the model again."
                        )
                    numbers += int(node.size)
                    total += int(node.size) * node.dtype.itemsize
                    stored += int(node.id.get_storage_size())
                if total > MOST_BYTES or seen > MOST_ENTRIES:
                    raise ModelFileError(
                        f"{file_name}: unpacks to more than {MOST_BYTES / 1e9:.0f} GB; expected a smaller model."
                    )
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise _damaged(file_name) from error
    _check_growth(total, stored, file_name)
    return numbers


def _check_growth(unpacked: int, packed: int, file_name: str) -> None:
    if unpacked > max(MOST_TIMES * packed, HARMLESS_BYTES):
        raise ModelFileError(
            f"{file_name}: {packed / 1e6:.1f} MB in it unpack to {unpacked / 1e6:,.0f} MB; expected weights, which "
            "hardly shrink. Save the model again."
        )


def _hdf5_nodes(file: Any, file_name: str) -> Iterator[tuple[str, Any]]:
    """Every group and array once, without following a link out of the file."""
    import h5py

    pending: list[tuple[str, Any]] = [("", file)]
    visited: set[int] = set()
    while pending:
        prefix, group = pending.pop()
        for name in group:
            full = f"{prefix}/{name}"
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise ModelFileError(
                    f"{file_name}: {full!r} is a link to another file, {Path(link.filename).name!r}; expected "
                    "everything inside. Save the model again."
                )
            if isinstance(link, h5py.SoftLink):
                continue
            node = group[name]
            address = h5py.h5o.get_info(node.id).addr
            if address in visited:
                continue
            visited.add(address)
            yield full, node
            if isinstance(node, h5py.Group):
                pending.append((full, node))


def check_archive(archive: zipfile.ZipFile, file_name: str) -> None:
    """Refuse a zip file that writes outside its folder, holds links or code, or unpacks to too much.

    Raises
    ------
    ModelFileError : one sentence that names the entry
    """
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if len(entries) > MOST_ENTRIES or len(set(names)) != len(names):
        raise ModelFileError(f"{file_name}: expected an archive with each file once. Received: {len(entries)} entries.")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > MOST_BYTES:
        raise ModelFileError(
            f"{file_name}: unpacks to {unpacked / 1e9:.1f} GB; expected at most {MOST_BYTES / 1e9:.0f} GB."
        )
    _check_growth(unpacked, sum(entry.compress_size for entry in entries), file_name)
    for entry in entries:
        parts = PurePosixPath(entry.filename.replace("\\", "/"))
        outside = parts.is_absolute() or ".." in parts.parts or ":" in entry.filename
        if outside or stat.S_ISLNK(entry.external_attr >> 16):
            raise ModelFileError(
                f"{file_name}: its entry {_shown(entry.filename)} points outside the archive; expected a plain model."
            )
        if parts.suffix.lower() in (".pkl", ".pickle", ".joblib", ".py", ".pyc", ".so", ".dll"):
            raise ModelFileError(
                f"{file_name}: holds {_shown(parts.name)}, which can run code when opened; expected a Keras model."
            )
        if entry.flag_bits & 1:
            raise ModelFileError(f"{file_name}: is encrypted; expected an archive without a password.")


def check_weight_file(path: Path) -> None:
    """Judge a file of weights alone, ``.h5`` or ``.keras``, as `check_hdf5` and `check_archive` do.

    One file can be both, and Keras goes by its name.
    """
    import h5py

    if h5py.is_hdf5(path):
        check_hdf5(path, path.name)
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                _check_weight_archive(archive, path.name)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
            raise _damaged(path.name) from error


def _check_weight_archive(archive: zipfile.ZipFile, file_name: str) -> None:
    check_archive(archive, file_name)
    with tempfile.TemporaryDirectory(prefix="convfe-") as folder:
        for member in archive.namelist():
            if member.endswith(".h5"):
                inner = Path(folder, "inner.h5")
                with archive.open(member) as source, inner.open("wb") as file:
                    shutil.copyfileobj(source, file)
                check_hdf5(inner, file_name)


def _damaged(file_name: str) -> ModelFileError:
    return ModelFileError(f"{file_name}: expected a whole file, but it is damaged or cut off; copy it again.")


def _shown(value: Any) -> str:
    text = "".join(c if c.isprintable() else "?" for c in str(value))
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _from(module: Any) -> str:
    return "" if module is None or str(module).startswith("keras") else f" from {_shown(module)}"
