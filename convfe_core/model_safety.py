"""What a model file may hold: refusing code, foreign references and bombs by reading, before any loader runs.

Everything is judged by lists of what is allowed. What is not on them is refused by the name of its layer, whether
it would run code (Lambda layers, pickles), read other files (external links, vocabularies) or only be unknown.
"""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from convfe_core.errors import ModelFileError

MOST_BYTES = 2_000_000_000
"""Of a model file, and of everything in it once unpacked."""
MOST_CONFIG_BYTES = 32_000_000
MOST_ENTRIES = 100_000
"""Files in an archive, or groups and arrays in an HDF5 file."""
MOST_CHANNELS = 1 << 15
"""Filters or units of one layer: what a file of a few bytes could otherwise make this machine allocate."""

TF_OPERATIONS = {
    "math.add": "add",
    "math.subtract": "subtract",
    "math.multiply": "multiply",
    "math.truediv": "divide",
    "math.divide": "divide",
    "divide": "divide",
    "__operators__.add": "add",
    "__operators__.getitem": "getitem",
    "nn.bias_add": "bias_add",
    "nn.relu": "relu",
    "nn.relu6": "relu6",
    "nn.silu": "silu",
    "nn.swish": "silu",
    "math.sigmoid": "sigmoid",
    "identity": "identity",
    "cast": "identity",
    "concat": "concat",
    "math.maximum": "maximum",
    "math.minimum": "minimum",
}
"""Plain arithmetic that Keras 2 writes as operations of TensorFlow, which has others that write files."""

_CONTAINERS = {"Functional", "Model", "Sequential"}
_LAYERS = {
    *("Activation ActivityRegularization Add AlphaDropout Average AveragePooling2D BatchNormalization".split()),
    *("CenterCrop Concatenate Conv2D Conv2DTranspose Cropping2D Dense DepthwiseConv2D Dot Dropout ELU".split()),
    *("Flatten GaussianDropout GaussianNoise GlobalAveragePooling2D GlobalMaxPooling2D Identity InputLayer".split()),
    *("GroupNormalization LayerNormalization LayerScale LeakyReLU MaxPooling2D Maximum Minimum Multiply".split()),
    *("Normalization PReLU Permute RMSNormalization RandomBrightness RandomContrast RandomCrop RandomFlip".split()),
    *("RandomRotation RandomTranslation RandomZoom ReLU Rescaling Reshape Resizing SeparableConv2D Softmax".split()),
    *("SpatialDropout2D StochasticDepth Subtract ThresholdedReLU UnitNormalization UpSampling2D".split()),
    *("ZeroPadding2D SyncBatchNormalization TFOpLambda SlicingOpLambda RandomHeight RandomWidth".split()),
}
_OPERATIONS = {
    *("Add Subtract Multiply TrueDivide Divide GetItem Relu Relu6 Silu Sigmoid HardSigmoid HardSilu Concatenate".split()),
    *("Maximum Minimum Negative Cast Transpose Reshape Squeeze ExpandDims Mean Max Pad Sqrt Square Softmax".split()),
}
_VALUES = {
    *("Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity LecunNormal LecunUniform Ones Orthogonal".split()),
    *("RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros L1 L1L2 L2 OrthogonalRegularizer".split()),
    *("MaxNorm MinMaxNorm NonNeg UnitNorm Policy DTypePolicy FloatDTypePolicy".split()),
    *("__keras_tensor__ __tensor__ __numpy__ __slice__ __ellipsis__ __tuple__ TensorShape".split()),
    *("IdentityInitializer OrthogonalInitializer".split()),
}
_ACTIVATIONS = set(
    "celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear log_sigmoid "
    "log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign swish tanh tanh_shrink".split()
)
_MODULES = (
    "keras.layers",
    "keras.initializers",
    "keras.regularizers",
    "keras.constraints",
    "keras.models",
    "keras.activations",
    "keras.src.models",
    "keras.src.ops",
    "keras.src.layers",
    "keras.src.engine",
    "keras.src.applications",
    "keras.engine",
    "keras.dtype_policies",
    "keras.mixed_precision",
    "tf_keras.src.layers",
    "tf_keras.src.engine",
    "tensorflow.python.keras",
)
_CHANNEL_KEYS = ("filters", "units", "depth_multiplier")


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
    while pending:
        node, layer = pending.pop()
        if isinstance(node, dict):
            layer = _check_object(node, layer, file_name) if "class_name" in node else layer
            _check_values(node, layer, file_name)
            pending += [(value, layer) for key, value in node.items() if key != "compile_config"]
        elif isinstance(node, list):
            pending += [(value, layer) for value in node]


def _check_object(node: dict[str, Any], layer: str, file_name: str) -> str:
    """Judge one object of a configuration and return the name of the layer it belongs to."""
    kind, settings = node["class_name"], node.get("config")
    own = settings.get("name") if isinstance(settings, dict) else None
    layer = str(node.get("name") or own or layer)[:80]
    shown = f"{file_name}: layer {layer!r}"
    if kind in ("Lambda", "__lambda__"):
        raise ModelFileError(
            f"{shown} is a Lambda, which carries program code; models are opened without running any. "
            "Replace it by Keras' own layers and save the model again."
        )
    if kind == "function" and settings in _ACTIVATIONS:
        return layer
    known = isinstance(kind, str) and kind in _CONTAINERS | _LAYERS | _OPERATIONS | _VALUES
    module = node.get("module")
    at_home = module is None or module == "keras" or any(
        module == home or str(module).startswith(f"{home}.") for home in _MODULES
    )
    if not known or not at_home or ">" in str(node.get("registered_name")):
        raise ModelFileError(
            f"{shown} is {_shown(kind)}{_from(module)}, but only Keras' own image layers are opened, because others "
            "need program code or other files; remove it and save the model again."
        )
    if kind in ("TFOpLambda", "SlicingOpLambda"):
        function = settings.get("function") if isinstance(settings, dict) else None
        if function not in TF_OPERATIONS:
            raise ModelFileError(
                f"{shown} calls TensorFlow's {_shown(function)}, but only plain arithmetic is opened; "
                "replace it by a Keras layer and save the model again."
            )
    return layer


def _check_values(node: dict[str, Any], layer: str, file_name: str) -> None:
    """Judge functions and sizes that a configuration names."""
    for key, value in node.items():
        named_function = key.endswith("activation") and value is not None
        if named_function and not isinstance(value, dict) and value not in _ACTIVATIONS:
            raise ModelFileError(
                f"{file_name}: layer {layer!r} uses the function {_shown(value)} as {key}, but only Keras' own "
                "functions are opened; replace it and save the model again."
            )
        if named_function and isinstance(value, dict) and "class_name" not in value:
            raise ModelFileError(
                f"{file_name}: layer {layer!r} carries program code as {key}; models are opened without running any. "
                "Replace it by one of Keras' own functions and save the model again."
            )
        if key in _CHANNEL_KEYS and isinstance(value, int | float) and value > MOST_CHANNELS:
            raise ModelFileError(
                f"{file_name}: layer {layer!r} has {value:,.0f} {key}; expected at most {MOST_CHANNELS:,}."
            )


def check_hdf5(path: Path, file_name: str) -> None:
    """Refuse an HDF5 file that reaches into other files or unpacks to more than `MOST_BYTES`.

    Raises
    ------
    ModelFileError : one sentence that names the entry
    """
    import h5py

    total, seen = 0, 0
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
                    total += int(node.size) * node.dtype.itemsize
                if total > MOST_BYTES or seen > MOST_ENTRIES:
                    raise ModelFileError(
                        f"{file_name}: unpacks to more than {MOST_BYTES / 1e9:.0f} GB; expected a smaller model."
                    )
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise ModelFileError(
            f"{file_name}: expected a whole HDF5 file, but it is damaged or cut off; copy it again."
        ) from error


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
    if sum(entry.file_size for entry in entries) > MOST_BYTES:
        raise ModelFileError(
            f"{file_name}: unpacks to {sum(entry.file_size for entry in entries) / 1e9:.1f} GB; "
            f"expected at most {MOST_BYTES / 1e9:.0f} GB."
        )
    for entry in entries:
        parts = PurePosixPath(entry.filename.replace("\\", "/"))
        outside = parts.is_absolute() or ".." in parts.parts or ":" in entry.filename
        if outside or stat.S_ISLNK(entry.external_attr >> 16):
            raise ModelFileError(
                f"{file_name}: its entry {_shown(entry.filename)} points outside the archive; expected a plain model."
            )
        if parts.suffix.lower() in (".pkl", ".pickle", ".joblib", ".py", ".pyc", ".so", ".dll"):
            raise ModelFileError(
                f"{file_name}: holds {_shown(parts.name)}, which can run code when it is opened; expected a Keras model."
            )
        if entry.flag_bits & 1:
            raise ModelFileError(f"{file_name}: is encrypted; expected an archive without a password.")


def _shown(value: Any) -> str:
    text = "".join(c if c.isprintable() else "?" for c in str(value))
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _from(module: Any) -> str:
    return "" if module is None or str(module).startswith("keras") else f" from {_shown(module)}"
