"""Which files make up a model in ONNX: one that ends in .onnx, and often a second one beside it with the weights."""

from __future__ import annotations

import zipfile
from pathlib import Path

ONNX = ".onnx"
_DATA = (".onnx.data", ".onnx_data")


def is_onnx(path: Path) -> bool:
    """Whether a file, a folder or a zip is a model in ONNX; whether it is a good one turns out when it is opened."""
    if path.is_dir():
        return any(path.glob(f"*{ONNX}"))
    if path.suffix.casefold() == ".zip" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return any(map(is_onnx_member, archive.namelist()))
    return path.suffix.casefold() == ONNX


def is_onnx_member(name: str) -> bool:
    """Whether an entry of an archive is the first file of such a model."""
    return name.casefold().endswith(ONNX) and not name.startswith("__MACOSX/")


def is_onnx_data(name: str) -> bool:
    """Whether a file is by its name the second one, as ``net.onnx.data`` of PyTorch and ``net.onnx_data``."""
    return name.casefold().endswith(_DATA)


def with_onnx_data(path: Path) -> list[Path]:
    """A file, and beside an ONNX file those whose names go on from its own."""
    if path.suffix.casefold() != ONNX:
        return [path]
    try:
        beside = (other for other in path.parent.iterdir() if other.name.startswith(path.name) and other != path)
        return [path, *sorted(beside)]
    except OSError:
        return [path]
