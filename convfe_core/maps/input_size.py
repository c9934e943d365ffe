"""How large a photograph enters a network."""

from __future__ import annotations

from dataclasses import dataclass

from convfe_core.backbones.described import Described
from convfe_core.base.errors import MemoryLimitError, SpecError
from convfe_core.machine.memory import memory_limit_mb, room_mb
from convfe_core.photos.letterbox import Frame, plan_frame
from convfe_core.photos.photo import Photo

SIZE_NAMES = ("own", "native", "image")
SMALLEST_SIZE, LARGEST_SIZE = 32, 2048


@dataclass(frozen=True)
class Size:
    """How large a photograph enters a network.

    Attributes
    ----------
    name : ``own`` (the backbone's working size), ``native`` (the size it was trained at), ``image`` (the photograph's
        own, capped) or the longest side in pixels as text
    """

    name: str

    def longest_side(self, backbone: Described) -> int | None:
        """Longest side in input pixels, or None for the photograph's own."""
        named = {"own": backbone.working_size, "native": backbone.native_size, "image": None}
        return named[self.name] if self.name in named else int(self.name)


def parse_size(text: str) -> Size:
    """``own``, ``native``, ``image`` or a number of pixels.

    Raises
    ------
    SpecError : anything else
    """
    name = text.strip().lower()
    if name in SIZE_NAMES or (name.isdecimal() and SMALLEST_SIZE <= int(name) <= LARGEST_SIZE):
        return Size(name)
    raise SpecError(
        f"Expected a size: own, native, image or pixels from {SMALLEST_SIZE} to {LARGEST_SIZE}. Received: {text!r}."
    )


def frame_for(height: int, width: int, backbone: Described, size: Size) -> Frame:
    """Where a photograph of `height` x `width` pixels lies on this backbone's input at this size."""
    side, multiple = size.longest_side(backbone), max(32, int(backbone.tap.stride))
    return plan_frame(height, width, side, multiple, smallest=backbone.minimum_size, fixed=backbone.fixed)


def check_pass(backbone: Described, photo: Photo, size: Size) -> None:
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
