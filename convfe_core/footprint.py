"""How much memory loading a backbone takes, said before it is loaded."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from convfe_core.backbones import Backbone
from convfe_core.catalog import Spec
from convfe_core.errors import MemoryLimitError
from convfe_core.extraction import Size, frame_for
from convfe_core.images import Photo
from convfe_core.memory import memory_limit_mb, room_mb

TENSORFLOW_MB = 600.0
"""Resident memory that importing TensorFlow takes."""

PHOTOS_AND_BOXES_MB = 400.0
"""What else a process takes that runs backbones over photographs: a few batches, and the boxes of the data set."""

# Peaks measured with TensorFlow 2.21 on Linux, in MB on top of what was held, from loading to the first passes (320 and
# 640 pixels), by MB of weights. Frozen: 4.6 -> 113, 15.4 -> 293, 56 -> 851, 90 -> 1556. Compact, with random weights:
# 4.6 -> 43, 15.4 -> 50, 56 -> 116, 90 -> 156; reading weights from a file takes them once more.
_FROZEN_MB, _FROZEN_TIMES = 60.0, 17.0
_COMPACT_MB, _COMPACT_TIMES = 60.0, 2.2


def weights_mb(spec: Spec) -> float:
    """Megabytes of a backbone's weights as float32; a model of the user's own counts by its file."""
    if spec.architecture is not None:
        return spec.architecture.parameters * 4 / 2**20
    try:
        return spec.path.stat().st_size / 2**20 if spec.path is not None else 0.0
    except OSError:
        return 0.0


def peak_mb(spec: Spec, *, compact: bool) -> float:
    """Megabytes that loading a backbone and running it once take at their highest, TensorFlow itself included."""
    base, times = (_COMPACT_MB, _COMPACT_TIMES) if compact else (_FROZEN_MB, _FROZEN_TIMES)
    return base + times * weights_mb(spec) + (0.0 if "tensorflow" in sys.modules else TENSORFLOW_MB)


def worker_mb(specs: Iterable[Spec]) -> float:
    """Megabytes for a process of its own that runs these backbones one after the other."""
    frozen = [_FROZEN_MB + _FROZEN_TIMES * weights_mb(spec) for spec in specs]
    return TENSORFLOW_MB + max(frozen, default=0.0) + PHOTOS_AND_BOXES_MB


def check_pass(backbone: Backbone, photo: Photo, size: Size) -> None:
    """Refuse a pass whose layers would not fit.

    Raises
    ------
    MemoryLimitError : with both sizes
    """
    frame = frame_for(photo.height, photo.width, backbone, size)
    need, room = frame.input_height * frame.input_width * backbone.activation_bytes / 2**20, room_mb()
    if need > room:
        raise MemoryLimitError(
            f"{backbone.label} at {frame.content_width} x {frame.content_height} pixels does not fit into memory: its "
            f"layers take {need:,.0f} MB, and of the {memory_limit_mb():,.0f} MB that this process may use "
            f"{max(room, 0):,.0f} MB are free; choose a smaller size."
        )


def require_room(spec: Spec, *, compact: bool = False) -> None:
    """Refuse a backbone that would not fit beside what the process holds.

    Raises
    ------
    MemoryLimitError : with both sizes
    """
    need, room = peak_mb(spec, compact=compact), room_mb()
    if need > room:
        raise refusal(spec, need, room)


def refusal(spec: Spec, need: float, room: float) -> MemoryLimitError:
    """The sentence for a backbone that does not fit."""
    return MemoryLimitError(
        f"{spec.label} does not fit into memory: loading it takes {need:,.0f} MB, and of the {memory_limit_mb():,.0f} "
        f"MB that this process may use {max(room, 0):,.0f} MB are free; take a smaller backbone."
    )
