"""From a file's bytes to a photograph, and from a photograph to the canvas a network receives.

Everything a user hands in passes :func:`read_photo`, which refuses what is no photograph with one sentence.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from convfe_core.base.arrays import PixelArray
from convfe_core.base.errors import ImageError
from convfe_core.base.folders import is_address, known_folder, split_address
from convfe_core.base.wording import display_name, file_name
from convfe_core.machine.memory import RoomToKeep
from convfe_core.photos.decoding import upright_rgb
from convfe_core.photos.image_header import Header, look
from convfe_core.photos.picture_formats import FORMATS_IN_WORDS, formats_for
from convfe_core.photos.tiff import read_page

_DEEP_BYTES = 12
"""Bytes that each of the most pixels may take once decoded: three 32-bit floats."""


@dataclass(frozen=True)
class ImageLimits:
    """What a picture may be.

    Attributes
    ----------
    max_bytes : largest file
    max_pixels : most pixels, judged from the header, before anything is decoded
    min_side : shortest side in pixels; anything thinner shows no object
    max_aspect : how many times longer than wide (or wider than long); a 20,000 x 20 strip scaled to a
        network's working size would be less than a pixel thin
    """

    max_bytes: int = 50_000_000
    max_pixels: int = 50_000_000
    min_side: int = 8
    max_aspect: float = 20.0


DEFAULT_LIMITS = ImageLimits()


@dataclass(frozen=True, eq=False)
class Photo:
    """An upright RGB photograph.

    Attributes
    ----------
    name : its file name, fit to be shown (see :func:`display_name`)
    pixels : (H, W, 3) uint8, read-only
    digest : SHA-256 of the file's bytes, hex; two photographs of one name differ in it
    note : what of the file is not shown, such as further pages; nothing for most
    reduced_from : (height, width) in the file, if the photograph was reduced since
    room : for the smaller sizes that it is resized to, where it will be resized again and again
    """

    name: str
    pixels: PixelArray
    digest: str
    note: str = ""
    reduced_from: tuple[int, int] | None = None
    room: RoomToKeep | None = None
    _resized: dict[tuple[int, int, Image.Resampling], PixelArray] = field(default_factory=dict, init=False, repr=False)

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[1])

    @property
    def file_size(self) -> tuple[int, int]:
        """(height, width) of the upright photograph in its file."""
        return self.reduced_from or (self.height, self.width)

    def resized(self, width: int, height: int, how: Image.Resampling) -> PixelArray:
        """The photograph in another size, (height, width, 3) uint8, read-only; its own pixels where that is its size.

        Parameters
        ----------
        how : Pillow's filter
        """
        if (height, width) == (self.height, self.width):
            return self.pixels
        found = self._resized.get((width, height, how))
        if found is None:
            found = np.asarray(Image.fromarray(self.pixels).resize((width, height), how))
            smaller = found.nbytes < self.pixels.nbytes
            if smaller and self.room is not None and self.room.take(found.nbytes):
                self._resized[width, height, how] = found
        return found


def read_photo(data: bytes, name: str, limits: ImageLimits = DEFAULT_LIMITS) -> Photo:
    """Decode a picture.

    The first frame or page of several is taken, and `Photo.note` says so; EXIF orientation is applied, transparency is
    laid over white, and more than eight bits are scaled to eight (see `convfe_core.photos.decoding.to_eight_bits`).

    Parameters
    ----------
    data : the file's bytes
    name : the file's name, for messages and titles
    limits : what the picture may be

    Raises
    ------
    ImageError : `data` is no picture, is damaged, or breaks a limit
    """
    shown = display_name(name)
    if not data:
        raise ImageError(f"{shown}: expected {FORMATS_IN_WORDS}, got an empty file.")
    if len(data) > limits.max_bytes:
        raise ImageError(
            f"{shown}: expected at most {_megabytes(limits.max_bytes)}, got {_megabytes(len(data))}; "
            "save a smaller copy."
        )
    header = _look(data, shown, limits)
    height, width = header.upright
    _check_size(width, height, shown, limits)
    try:
        pixels = _decode(data, shown, header, limits)
    except ImageError as error:
        raise ImageError(f"{shown}: {error}") from error
    except MemoryError as error:
        raise ImageError(
            f"{shown}: expected a picture that fits into memory, got {width} x {height} pixels; save a smaller copy."
        ) from error
    except Exception as error:  # the decoders raise nearly everything on damaged data
        raise ImageError(
            f"{shown}: expected a whole picture, got a {header.format} file that is damaged or cut short, or of a "
            "rare kind that is not read; copy or download it again, or save it as PNG."
        ) from error
    return Photo(shown, pixels, hashlib.sha256(data).hexdigest(), header.note)


def open_photo(where: str | Path, limits: ImageLimits = DEFAULT_LIMITS) -> Photo:
    """Read a picture from disk or from an address such as ``s3://bucket/photo.jpg``; errors as in `photo_bytes`."""
    return read_photo(photo_bytes(where, limits), file_name(where), limits)


def photo_bytes(where: str | Path, limits: ImageLimits = DEFAULT_LIMITS) -> bytes:
    """Read a picture's file.

    Raises
    ------
    ImageError : the file cannot be read or is too large; of a file over ``max_bytes`` no more than that is read
    StoreError : the store behind an address does not answer
    """
    with _named(where):
        if is_address(where):
            folder, name = split_address(str(where))
            data = known_folder(folder).read(name, limits.max_bytes + 1)
            size = len(data)
        else:
            with Path(where).open("rb") as file:
                data = file.read(limits.max_bytes + 1)
                size = max(Path(where).stat().st_size, len(data))
    if len(data) > limits.max_bytes:
        raise ImageError(
            f"{display_name(file_name(where))}: expected at most {_megabytes(limits.max_bytes)}, got "
            f"{_megabytes(size)}; save a smaller copy."
        )
    return data


def require_file(path: Path) -> None:
    """Make sure that there is a file, without opening it: a pipe can be read but once.

    Raises
    ------
    ImageError : there is none, in the words of `photo_bytes`
    """
    with _named(path):
        path.stat()


@contextmanager
def _named(where: str | Path) -> Iterator[None]:
    """Turn what the system says of a picture's file into a sentence with its name."""
    shown = display_name(file_name(where))
    try:
        yield
    except FileNotFoundError as error:
        raise ImageError(f"{shown}: expected a picture, got a path where there is no file.") from error
    except IsADirectoryError as error:
        raise ImageError(f"{shown}: expected a picture, got a folder.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a valid path"
        raise ImageError(f"{shown}: expected a readable file, got “{reason}”.") from error


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.3g} MB" if size < 999.5e6 else f"{size / 1e6:.0f} MB"


def _look(data: bytes, shown: str, limits: ImageLimits) -> Header:
    """Read a picture's header, and no more."""
    try:
        return look(io.BytesIO(data), shown)
    except ImageError as error:
        raise ImageError(f"{shown}: {error}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"{shown}: expected at most {limits.max_pixels / 1e6:g} megapixels, got far more; save a smaller copy."
        ) from error


def _decode(data: bytes, shown: str, header: Header, limits: ImageLimits) -> PixelArray:
    if header.deep:
        return upright_rgb(read_page(data, limits.max_pixels * _DEEP_BYTES), header.orientation)
    with Image.open(io.BytesIO(data), formats=formats_for(shown)) as image:
        image.load()
        # Pillow turns TIFF itself while it decodes.
        return upright_rgb(image, 1 if header.format == "TIFF" else header.orientation)


def _check_size(width: int, height: int, shown: str, limits: ImageLimits) -> None:
    size = f"{width} x {height} pixels"
    if width * height > limits.max_pixels:
        raise ImageError(
            f"{shown}: expected at most {limits.max_pixels / 1e6:g} megapixels, got {size} "
            f"({width * height / 1e6:.3g} megapixels); save a smaller copy."
        )
    if min(width, height) < limits.min_side:
        raise ImageError(f"{shown}: expected at least {limits.min_side} pixels a side, got {size}.")
    if max(width, height) > limits.max_aspect * min(width, height):
        raise ImageError(
            f"{shown}: expected sides in a ratio of at most {limits.max_aspect:g} to 1, got {size}; cut it into pieces."
        )
