"""What a picture's file says of it, read without decoding its pixels."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import IO

from PIL import ExifTags, Image

from convfe_core.base.errors import ImageError, StoreError
from convfe_core.photos.picture_formats import FORMATS_IN_WORDS, formats_for, is_tiff, what_came
from convfe_core.photos.tiff import TiffLayout, read_layout

_BEGINNING = 1 << 16  # where the EXIF block of a JPEG ends at the latest
_SEVERAL_FRAMES = ("GIF", "PNG", "WEBP", "AVIF")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TELLING_CHUNKS = (b"IHDR", b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"IEND")
_LARGEST_CHUNK = 1_000_000
_LENGTH_AND_KIND, _CHECKSUM = 8, 4


@dataclass(frozen=True)
class Header:
    """A picture before it is decoded.

    Attributes
    ----------
    stored, upright : (height, width) before and after it is turned
    orientation : how it is to be turned, as EXIF counts, 1 to 8
    format : as Pillow calls it
    deep : whether it is a TIFF that only `convfe_core.photos.tiff` can decode
    note : what of the file is not shown, or nothing
    """

    stored: tuple[int, int]
    upright: tuple[int, int]
    orientation: int
    format: str
    deep: bool = False
    note: str = ""


def look(file: IO[bytes], name: str) -> Header:
    """Read a picture's header.

    Parameters
    ----------
    file : at its beginning; it can be read from any place
    name : its name; only what has no signature is known by it

    Raises
    ------
    ImageError : it is no picture that is read; the message leaves the file's name to the caller
    Image.DecompressionBombError : its size is far beyond any limit
    """
    beginning = file.read(_BEGINNING)
    layout = read_layout(file) if is_tiff(beginning) else None
    if layout is not None and layout.raw:
        raise ImageError(f"expected {FORMATS_IN_WORDS}, got a raw picture of a camera; save it as one of these.")
    file.seek(0)
    if layout is None or layout.plain:
        try:
            return _pillow_header(file, name, layout)
        except (StoreError, MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise
        except Exception as error:  # Pillow's readers raise nearly everything on damaged headers
            if layout is None:
                raise ImageError(f"expected {FORMATS_IN_WORDS}, got {what_came(beginning)}.") from error
    return _header((layout.height, layout.width), layout.orientation, "TIFF", layout.note, deep=True)


def _pillow_header(file: IO[bytes], name: str, layout: TiffLayout | None) -> Header:
    with Image.open(file, formats=formats_for(name)) as image:
        assert image.format is not None
        orientation = stored_orientation(image, file)
        size = image.height, image.width
        if image.format == "TIFF" and orientation >= 5:  # whose size Pillow states upright
            size = size[::-1]
        note = layout.note if layout is not None else ""
        if image.format in _SEVERAL_FRAMES and getattr(image, "is_animated", False):
            note = "the first of its frames is shown"
        return _header(size, orientation, image.format, note)


def _header(stored: tuple[int, int], orientation: int, kind: str, note: str, *, deep: bool = False) -> Header:
    return Header(stored, stored[::-1] if orientation >= 5 else stored, orientation, kind, deep, note)


def stored_orientation(image: Image.Image, file: IO[bytes]) -> int:
    """EXIF orientation, 1 to 8, of a picture that was opened and not decoded; 1 where its EXIF block makes no sense.

    Parameters
    ----------
    image : as Pillow opened it
    file : that it was opened from; its place does not change
    """
    try:
        exif = _png_exif(file) if image.format == "PNG" else image.getexif()
        value = exif.get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF raises nearly everything, and is no reason to refuse a sound picture
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _png_exif(file: IO[bytes]) -> Image.Exif:
    """EXIF of a PNG, which may stand after its pixels; Pillow would decode those to get there.

    Pillow is given the file without its pixels instead, and understands whatever form the block has.
    """
    place = file.tell()
    try:
        file.seek(len(_PNG_SIGNATURE))
        without_pixels = bytearray(_PNG_SIGNATURE)
        while len(head := file.read(_LENGTH_AND_KIND)) == _LENGTH_AND_KIND:
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            if kind in _TELLING_CHUNKS and length <= _LARGEST_CHUNK:
                without_pixels += head + file.read(length + _CHECKSUM)
            else:
                file.seek(length + _CHECKSUM, io.SEEK_CUR)
            if kind == b"IEND":
                break
    finally:
        file.seek(place)
    with Image.open(io.BytesIO(without_pixels), formats=("PNG",)) as image:
        return Image.Image.getexif(image)
