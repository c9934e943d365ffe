"""Which files are pictures: the formats that are read, the names that they go by, and what other files begin with.

What a file holds decides, never its name; the name only saves looking into files that are surely something else.
"""

from __future__ import annotations

import functools
import mimetypes
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath

from convfe_core.base.wording import counted

SEVERAL_FORMATS = "JPEG, PNG, WebP, TIFF, HEIC, AVIF, GIF, BMP or JPEG 2000"
FORMATS_IN_WORDS = f"a {SEVERAL_FORMATS} picture"
"""The formats that people have; `pillow_formats` has them all."""

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".mpo"),
    *(".png", ".apng", ".webp", ".tif", ".tiff", ".btf", ".tf8", ".gif", ".bmp", ".dib"),
    *(".heic", ".heif", ".hif", ".avif", ".jp2", ".j2k", ".jpx", ".jpf", ".jpc", ".j2c"),
    *(".pgm", ".ppm", ".pbm", ".pnm", ".pfm", ".ico", ".psd", ".qoi", ".tga", ".pcx", ".sgi", ".rgb"),
)
"""How the names of pictures end."""

BEGINNING = 64
"""Bytes of a file's beginning that tell a picture."""

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_AVIF = (b"ftypavif", b"ftypavis")
_HEIC = (b"ftyphei", b"ftyphev", b"ftypmif1", b"ftypmsf1")
_SIGNATURES = (
    (0, b"\xff\xd8\xff"),
    (0, b"\x89PNG\r\n\x1a\n"),
    (8, b"WEBP"),
    *((0, mark) for mark in _TIFF),
    (0, b"GIF8"),
    *((4, mark) for mark in (*_AVIF, *_HEIC)),
    (0, b"\0\0\0\x0cjP  "),
    (0, b"\xff\x4f\xff\x51"),
    (0, b"8BPS"),
    (0, b"qoif"),
)
_BITMAP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_OTHER_FILES = (
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"SIMPLE  =", "a FITS picture"),
    (128, b"DICM", "a DICOM picture"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (0, b"#?R", "a Radiance HDR picture"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (0, b"FUJIFILM", "a raw picture of a camera"),
    (4, b"ftypcrx", "a raw picture of a camera"),
    (4, b"ftyp", "a video"),
    (8, b"AVI ", "a video"),
    (8, b"WAVE", "a sound"),
)
_BROKEN = "the beginning of one that is damaged or cut short, or of a rare kind that is not read"
_BROKEN_AVIF, _BROKEN_HEIC = _BROKEN.replace("one", "an AVIF picture", 1), _BROKEN.replace("one", "a HEIC picture", 1)
_MARKER = 0xFF
_LOSSLESS_FRAMES, _FRAMES = (0xC3, 0xC7, 0xCB, 0xCF, 0xF7), (0xC0, 0xC1, 0xC2, 0xC5, 0xC6, 0xC9, 0xCA, 0xCD, 0xCE)
_NAMED_OTHERS = 5


@functools.cache
def pillow_formats() -> tuple[str, ...]:
    """The formats that Pillow is asked for, by its own names; those without a signature come last.

    HEIC comes from pi-heif. What runs other programs (EPS, WMF) and what nobody keeps photographs in stays out.
    """
    import pi_heif

    pi_heif.register_heif_opener()
    common = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "HEIF", "AVIF", "JPEG2000")
    return *common, "PPM", "PSD", "QOI", "ICO", "DIB", "SGI", "PCX", "TGA"


def formats_for(name: str) -> tuple[str, ...]:
    """The formats that a file of this name may have: TGA has no signature, so any file might be one."""
    found = pillow_formats()
    return found if name.lower().endswith(".tga") else found[:-1]


def is_picture_name(name: str) -> bool:
    """Whether a file's name ends like a picture's."""
    return name.lower().endswith(SUFFIXES)


Beginnings = Callable[[Sequence[str]], Iterable[bytes]]
"""Reads the first `BEGINNING` bytes of each of some files."""


def sort_out(names: Sequence[str], beginnings: Beginnings) -> tuple[list[str], list[str]]:
    """Tell the pictures among files from the others, each in the order of `names`.

    Parameters
    ----------
    beginnings : asked for those files alone whose names tell nothing
    """
    unclear = [name for name in names if not is_picture_name(name) and not _surely_another(name)]
    looked = zip(unclear, beginnings(unclear), strict=True)
    found = {name for name, beginning in looked if begins_like_picture(beginning)}
    pictures = [name for name in names if name in found or is_picture_name(name)]
    shown = set(pictures)
    return pictures, [name for name in names if name not in shown]


def others_in_words(others: Sequence[str]) -> str:
    """``3 files are not read as pictures: a.svg, b.txt and 1 more`` names a few and counts the rest."""
    shown = ", ".join(others[:_NAMED_OTHERS])
    more = len(others) - _NAMED_OTHERS
    are = "is" if len(others) == 1 else "are"
    return f"{counted(len(others), 'file')} {are} not read as pictures: {shown}" + (
        f" and {more:,} more" if more > 0 else ""
    )


def begins_like_picture(beginning: bytes) -> bool:
    """Whether a file's first `BEGINNING` bytes are those of a format that is read."""
    if any(beginning.startswith(mark, place) for place, mark in _SIGNATURES):
        return True
    if beginning.startswith(b"BM"):  # two letters that a text may begin with
        return int.from_bytes(beginning[14:18], "little") in _BITMAP_HEADERS
    return beginning[:2] in (b"P4", b"P5", b"P6") and beginning[2:3].isspace()


def is_tiff(beginning: bytes) -> bool:
    """Whether a file begins like a TIFF, small or big."""
    return beginning.startswith(_TIFF)


def what_came(data: bytes) -> str:
    """Name a file that could not be opened as a picture, as far as its beginning tells."""
    if data.startswith(_AVIF, 4):
        return _BROKEN_AVIF
    if data.startswith(_HEIC, 4):
        return _BROKEN_HEIC
    if (rare := _rare_jpeg(data)) is not None:
        return rare
    if begins_like_picture(data):
        return _BROKEN
    for place, mark, what in _OTHER_FILES:
        if data.startswith(mark, place):
            return what
    beginning = data[:512]
    if b"<svg" in beginning:
        return "an SVG drawing"
    if b"<html" in beginning.lower() or beginning.lower().lstrip().startswith(b"<!doctype html"):
        return "a web page"
    try:
        text = beginning.decode("utf-8")
    except UnicodeDecodeError as error:
        text = beginning[: error.start].decode("utf-8") if error.start > len(beginning) - 4 else "\0"
    if all(character.isprintable() or character.isspace() for character in text):
        return "text"
    return "a file of another kind"


def _rare_jpeg(data: bytes) -> str | None:
    """Name a JPEG that is sound and that decoders for photographs do not read: lossless, or deeper than eight bits."""
    place = 2 if data.startswith(b"\xff\xd8\xff") else len(data)
    while place + 5 <= len(data) and data[place] == _MARKER:
        kind = data[place + 1]
        if kind in _LOSSLESS_FRAMES:
            return "a lossless JPEG picture"
        if kind in _FRAMES:
            bits = data[place + 4]
            return None if bits == 8 else f"a JPEG picture of {bits} bits a colour"
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None


@functools.cache
def _known_kinds() -> mimetypes.MimeTypes:
    return mimetypes.MimeTypes(filenames=())  # Python's own table, the same on every machine


def _surely_another(name: str) -> bool:
    """Whether a name tells that a file is no picture: a text, a sound, a program ..."""
    suffix = PurePosixPath(name).suffix.lower()
    kind, packed = _known_kinds().guess_type(f"a{suffix}")
    if packed or suffix in (".yaml", ".yml"):
        return True
    return kind is not None and kind != "application/octet-stream" and not kind.startswith("image/")
