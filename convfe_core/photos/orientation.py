"""How a picture is to be turned: the one answer that photographs, and the boxes on them, are turned by."""

from __future__ import annotations

import io
from typing import IO

from PIL import ExifTags, Image

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TELLING_CHUNKS = (b"IHDR", b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"IEND")
_LARGEST_CHUNK = 1_000_000
_LENGTH_AND_KIND, _CHECKSUM = 8, 4


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
