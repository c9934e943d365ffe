"""How much memory loading a backbone takes, said before it is loaded."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

from convfe_core.base.errors import MemoryLimitError
from convfe_core.base.onnx_files import with_onnx_data
from convfe_core.catalog.specs import Spec
from convfe_core.machine.memory import give_back, memory_limit_mb, room_mb, tensorflow_imported
from convfe_core.machine.tensorflow_import import import_tensorflow

TENSORFLOW_MB = 560.0
"""Resident memory that importing TensorFlow and Keras takes: 500 were measured, with `tensorflow_import`."""

PHOTOS_AND_BOXES_MB = 400.0
"""What else a process takes that runs backbones over photographs: a few batches, and the boxes of the data set."""

# Peaks measured with TensorFlow 2.21 on Linux, in MB on top of what was held, from loading to the end of the first
# pass, by MB of weights: 4.6 -> 24, 15 -> 89, 16 (NASNetMobile, 770 layers) -> 183, 56 -> 121, 90 -> 187, 106 -> 279,
# 223 -> 366, 245 (EfficientNetB7 at 600 pixels) -> 623.
_BASE_MB, _TIMES_WEIGHTS = 100.0, 2.1
_TIMES_ONNX_WEIGHTS = 5.0
"""For an ONNX file, whose weights are there as the file has them and as onnxruntime wants them: 99 MB -> 480 were
measured, of which 210 stay."""


def weights_mb(spec: Spec) -> float:
    """Megabytes of a backbone's weights as float32; a model of the user's own counts by what its file unpacks to."""
    if spec.architecture is not None:
        return spec.architecture.parameters * 4 / 2**20
    try:
        return _unpacked_bytes(spec.path) / 2**20 if spec.path is not None else 0.0
    except (OSError, zipfile.BadZipFile, NotImplementedError):  # which opening it will say in a sentence
        return 0.0


def _unpacked_bytes(path: Path) -> int:
    """Bytes of a file (an ONNX file with its data), of all files in a SavedModel's folder, or of what a zip holds."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    if not zipfile.is_zipfile(path):
        return sum(file.stat().st_size for file in with_onnx_data(path))
    with zipfile.ZipFile(path) as archive:
        return sum(entry.file_size for entry in archive.infolist())


def peak_mb(spec: Spec) -> float:
    """Megabytes that loading a backbone and running it once take at their highest, TensorFlow itself included."""
    return _BASE_MB + _loading_mb(spec) + (0.0 if tensorflow_imported() else TENSORFLOW_MB)


def worker_mb(specs: Iterable[Spec]) -> float:
    """Megabytes for a process of its own that runs these backbones one after the other."""
    largest = max(map(_loading_mb, specs), default=0.0)
    return TENSORFLOW_MB + _BASE_MB + largest + PHOTOS_AND_BOXES_MB


def _loading_mb(spec: Spec) -> float:
    """Megabytes that weights take at their highest, while they are loaded."""
    return weights_mb(spec) * (_TIMES_ONNX_WEIGHTS if spec.in_onnx else _TIMES_WEIGHTS)


def require_room(spec: Spec) -> None:
    """Refuse a backbone that would not fit beside what the process holds, once what was let go has gone.

    Raises
    ------
    MemoryLimitError : with both sizes
    """
    give_back()
    need, room = peak_mb(spec), room_mb()
    if need > room:
        raise refusal(spec, need, room)


def require_room_alone(spec: Spec) -> None:
    """As `require_room`, in a process of a single run: TensorFlow is imported first, and counts as held."""
    import_tensorflow(muted=True)
    require_room(spec)


def refusal(spec: Spec, need: float, room: float) -> MemoryLimitError:
    """The sentence for a backbone that does not fit."""
    return MemoryLimitError(
        f"{spec.label} does not fit into memory: loading it takes {need:,.0f} MB, and of the {memory_limit_mb():,.0f} "
        f"MB that this process may use {max(room, 0):,.0f} MB are free; take a smaller backbone."
    )
