"""An ONNX file, with its weights inside or in a second file beside it, read and checked; nothing is run here."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from convfe_core.base.errors import ModelFileError
from convfe_core.base.onnx_files import ONNX, is_onnx_member
from convfe_core.model_files.safety import check_archive
from convfe_core.model_files.saved_model_folder import extract
from convfe_core.onnx_models.safety import MOST_BYTES, check_operations, data_file, data_range

COLOURS = (1, 3)
MOST_KNOWN = 4_096
"""Numbers in a tensor whose values are followed to find shapes: sizes, axes, places to cut."""


@dataclass(frozen=True, eq=False)
class Picture:
    """The input of a network.

    Attributes
    ----------
    name : of the input
    channels_first : (N, C, H, W) instead of (N, H, W, C)
    batch, height, width : None where any
    channels : 3, or 1 for grey
    dtype : of its values
    """

    name: str
    channels_first: bool
    batch: int | None
    height: int | None
    width: int | None
    channels: Literal[1, 3]
    dtype: np.dtype[Any]

    def shape(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Of a batch of one, or of as many as it takes, at a size."""
        batch = self.batch or 1
        return (batch, self.channels, height, width) if self.channels_first else (batch, height, width, self.channels)

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) where it takes no other."""
        return None if self.height is None or self.width is None else (self.height, self.width)


@dataclass(frozen=True, eq=False)
class OnnxGraph:
    """A checked ONNX file.

    Attributes
    ----------
    file : its name
    proto : onnx.ModelProto with all weights inside
    picture : its input
    weights : onnx.TensorProto by name
    said : what the exporter wrote beside the graph, as Ultralytics' ``imgsz``, ``stride`` and ``task``
    """

    file: str
    proto: Any
    picture: Picture
    weights: dict[str, Any]
    said: dict[str, str]

    @property
    def nodes(self) -> list[Any]:
        """Its operations, in the order in which they are computed."""
        return list(self.proto.graph.node)

    @property
    def opset(self) -> dict[str, int]:
        """The version of the standard, by domain."""
        return {one.domain: one.version for one in self.proto.opset_import}

    @property
    def outputs(self) -> list[str]:
        """Names of what it returns."""
        return [one.name for one in self.proto.graph.output]

    def arrays(self, names: Iterable[str]) -> list[NDArray[Any]]:
        """Some of its weights."""
        from onnx import numpy_helper

        return [np.asarray(numpy_helper.to_array(self.weights[name])) for name in names]

    def without_weights(self) -> OnnxGraph:
        """The same graph, its weights reduced to their shapes; those that sizes are computed with are kept."""
        import onnx

        proto = onnx.ModelProto()
        graph = self.proto.graph
        proto.ir_version = self.proto.ir_version
        proto.opset_import.extend(self.proto.opset_import)
        proto.graph.node.extend(graph.node)
        proto.graph.output.extend(graph.output)
        for one in graph.initializer:
            if math.prod(one.dims) <= MOST_KNOWN:
                proto.graph.initializer.append(one)
            else:
                proto.graph.initializer.add(name=one.name, dims=one.dims, data_type=one.data_type)
        return replace(self, proto=proto, weights={one.name: one for one in proto.graph.initializer})

    @property
    def made_by(self) -> str:
        """Who wrote the file, as ``pytorch 2.9.0``."""
        return f"{self.proto.producer_name} {self.proto.producer_version}".strip() or "an unnamed exporter"

    def count_numbers(self, names: Iterable[str] | None = None) -> int:
        """How many numbers some of its weights hold; all of them where nothing is said."""
        wanted = self.weights if names is None else names
        return sum(math.prod(self.weights[name].dims) for name in wanted if name in self.weights)


def open_onnx(path: Path) -> OnnxGraph:
    """Read an ONNX file and check everything that can be checked without sizes.

    Parameters
    ----------
    path : the file, with its data beside it where it has some; or a folder or zip with both

    Raises
    ------
    ModelFileError : one sentence that says what was expected and what came
    """
    with _model_file(path) as file:
        model = _parse(file, path.name)
        check_operations(model, path.name)
        _take_in_data(model, file.parent, path.name)
    weights = {one.name: one for one in model.graph.initializer}
    return OnnxGraph(
        file=path.name,
        proto=model,
        picture=_picture(model, weights, path.name),
        weights=weights,
        said={one.key: one.value for one in model.metadata_props if isinstance(one.value, str)},
    )


@contextmanager
def _model_file(path: Path) -> Iterator[Path]:
    """The .onnx file itself; out of a zip, it and what lies beside it there, in a temporary folder."""
    if path.suffix.casefold() == ONNX and not path.is_dir():
        yield path
    elif path.is_dir():
        yield _only_one(sorted(path.glob(f"*{ONNX}")), path.name)
    else:
        with zipfile.ZipFile(path) as archive, TemporaryDirectory(prefix="convfe-") as folder:
            check_archive(archive, path.name)
            member = _only_one([PurePosixPath(name) for name in archive.namelist() if is_onnx_member(name)], path.name)
            for name in archive.namelist():
                if PurePosixPath(name).parent == member.parent and not name.endswith("/"):
                    extract(archive, name, Path(folder, PurePosixPath(name).name))
            yield Path(folder, member.name)


def _only_one(found: list[Any], name: str) -> Any:
    if len(found) != 1:
        raise ModelFileError(
            f"{name}: expected one file that ends in {ONNX}. Received: {', '.join(one.name for one in found[:5])}."
        )
    return found[0]


def _parse(file: Path, name: str) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        size = file.stat().st_size
        if size > MOST_BYTES:
            raise ModelFileError(f"{name}: expected at most 2 GB. Received: {size / 1e9:.1f} GB.")
        data = file.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{name}: could not be read ({error.strerror}); expected an ONNX file.") from error
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise ModelFileError(f"{name}: is no ONNX file, or was cut off; export it again.") from error
    if not model.graph.node:
        raise ModelFileError(f"{name}: expected an ONNX file with operations. Received: none.")
    return model


def _take_in_data(model: Any, folder: Path, name: str) -> None:
    """Bring weights that lie in other files into the model; sizes are checked before a byte is read."""
    from onnx import TensorProto

    total = 0
    constants = (one.t for node in model.graph.node for one in node.attribute if one.HasField("t"))
    for tensor in (*model.graph.initializer, *constants):
        wanted = _bytes_of(tensor, name)
        total += wanted
        if total > MOST_BYTES:
            raise ModelFileError(f"{name}: expected weights of at most 2 GB together. Received: more.")
        if tensor.data_location != TensorProto.EXTERNAL:
            _check_filled(tensor, wanted, name)
            continue
        said = {one.key: one.value for one in tensor.external_data}
        path = data_file(said.get("location", ""), folder, name)
        offset, length = (_number(said.get(key), name) for key in ("offset", "length"))
        start, count = data_range(path.stat().st_size, offset or 0, length, wanted, name, tensor.name)
        with path.open("rb") as file:
            file.seek(start)
            tensor.raw_data = file.read(count)
        tensor.ClearField("external_data")
        tensor.data_location = TensorProto.DEFAULT


def _number(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 15:
        raise ModelFileError(f"{name}: expected a place in its data file. Received: {text[:40]!r}.")
    return int(text)


def _bytes_of(tensor: Any, name: str) -> int:
    """Bytes that a tensor's shape takes."""
    from onnx import helper

    if any(side < 0 for side in tensor.dims):
        raise ModelFileError(f"{name}: expected weights with sizes. Received: {tensor.name[:60]!r} of {tensor.dims}.")
    try:
        dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except (KeyError, ValueError, TypeError):
        dtype = np.dtype(object)
    if dtype.name == "bfloat16":
        raise ModelFileError(
            f"{name}: expected weights of float32 or float16. Received: bfloat16, which onnxruntime computes on some "
            "graphics cards alone; export model.float()."
        )
    if dtype.kind in "OUSc":
        raise ModelFileError(
            f"{name}: expected weights that are numbers. Received: {tensor.name[:60]!r} of type {tensor.data_type}."
        )
    count: int = math.prod(tensor.dims)
    return (count + 1) // 2 if dtype.name in _HALF_BYTES else count * int(dtype.itemsize)


_HALF_BYTES = ("int4", "uint4", "float4_e2m1fn")


def _check_filled(tensor: Any, wanted: int, name: str) -> None:
    """Make sure that a tensor inside the file holds as many numbers as its shape says."""
    if tensor.HasField("raw_data"):
        right = len(tensor.raw_data) == wanted
    else:
        fields = "float_data", "int32_data", "int64_data", "double_data", "uint64_data"
        held = sum(len(getattr(tensor, field)) for field in fields)
        right = held in (math.prod(tensor.dims), wanted)
    if not right:
        raise ModelFileError(
            f"{name}: expected {math.prod(tensor.dims):,} numbers in {tensor.name[:60]!r}. Received: others; the file "
            "is damaged."
        )


def _picture(model: Any, weights: dict[str, Any], name: str) -> Picture:
    """Find the one input that takes pictures, and how they lie in it; what comes from others is left out."""
    from onnx import helper

    inputs = [one for one in model.graph.input if one.name not in weights]
    pictures = [one for one in inputs if len(one.type.tensor_type.shape.dim) == 4] if len(inputs) > 1 else inputs
    if len(pictures) != 1:
        raise ModelFileError(
            f"{name}: expected one input, of pictures. Received: {len(inputs)} "
            f"({', '.join(one.name for one in inputs[:4]) or 'none'}); export the image encoder alone."
        )
    (given,) = pictures
    kind = given.type.tensor_type
    sides = [side.dim_value if side.dim_value > 0 else None for side in kind.shape.dim]
    first = len(sides) == 4 and sides[1] in COLOURS
    last = len(sides) == 4 and sides[3] in COLOURS
    if len(sides) == 4 and not first and not last and sides[1] is None:
        first = True  # PyTorch's order, whose exporters leave every side open where they are asked to
        sides[1] = _colours_of_first_kernel(model, weights)
    if not first and not last:
        shown = " x ".join("?" if side is None else str(side) for side in sides)
        raise ModelFileError(
            f"{name}: expected an input of pictures, (N, 3, H, W) or (N, H, W, 3). Received: {given.name[:60]!r} of "
            f"{shown or 'no shape'}."
        )
    if first and last and _first_operation(model, given.name) == "Transpose":
        first = False
    batch, height, width, colours = (sides[k] for k in ((0, 2, 3, 1) if first else (0, 1, 2, 3)))
    if (height is None) != (width is None):  # looked at in a square, as if both were fixed
        height = width = height or width
    dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type) if kind.elem_type else np.dtype(np.float32)
    if dtype.kind not in "fiu":
        raise ModelFileError(f"{name}: expected an input of numbers. Received: {dtype}.")
    return Picture(given.name, first, batch, height, width, 1 if colours == 1 else 3, dtype)


def _colours_of_first_kernel(model: Any, weights: dict[str, Any]) -> int:
    convolution = next((node for node in model.graph.node if node.op_type == "Conv"), None)
    kernel = weights.get(convolution.input[1]) if convolution is not None else None
    return 1 if kernel is not None and len(kernel.dims) == 4 and kernel.dims[1] == 1 else 3


def _first_operation(model: Any, picture: str) -> str:
    return next((str(node.op_type) for node in model.graph.node if picture in node.input), "")
