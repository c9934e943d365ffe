"""TIFF pictures that Pillow does not read, or not right: more than eight bits, floats, planes, several bands.

Pillow knows a list of layouts, all but a few of eight bits. Of the others it refuses some, and of some it takes the
wrong bytes without a word. tifffile knows what a TIFF holds; imagecodecs, which it needs for LZW and for JPEG, is
loaded only by a file that needs it.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convfe_core.base.arrays import PixelArray
from convfe_core.base.errors import ImageError
from convfe_core.photos.decoding import to_eight_bits

if TYPE_CHECKING:
    from tifffile import TiffPage

# Numbers of the TIFF 6.0 specification and its supplements.
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _LAB = 0, 1, 2, 3, 5, 6, 8
_RAW_SENSORS = (32803, 34892)
_ASSOCIATED, _UNASSOCIATED = 1, 2
_UNSIGNED, _UNDEFINED = 1, 4
_ORIENTATION, _SUB_PAGES, _DNG_VERSION = 274, 330, 50706

_NONE, _JPEG = 1, 7
_STREAMS = {_NONE, 5, 8, 32773, 32946, 34925, 50000}  # LZW, deflate twice, PackBits, LZMA, Zstandard
_WITH_A_HEADER = {_JPEG, 33003, 33004, 33005, 34712, 50001}  # JPEG, JPEG 2000 four times, WebP
_READ_BY_PILLOW = {_NONE, 2, 3, 4, 5, 6, _JPEG, 8, 32773, 32946}  # with all fax compressions
_PREDICTED_BY_PILLOW = {5, 8, 32946}


@dataclass(frozen=True)
class TiffLayout:
    """What the first page of a TIFF says of itself.

    Attributes
    ----------
    height, width : as stored
    orientation : 1 to 8, as in EXIF
    plain : whether it holds eight bits or fewer in a form that Pillow may read
    note : what of the file is not shown, or nothing
    raw : whether it is a camera's raw picture; its first page is only a preview then
    """

    height: int
    width: int
    orientation: int
    plain: bool
    note: str
    raw: bool


def read_layout(file: IO[bytes]) -> TiffLayout | None:
    """Read the tags of the first page; None where they make no sense."""
    try:
        with _first_page(file) as page:
            orientation = page.tags.valueof(_ORIENTATION, 1)
            return TiffLayout(
                height=page.imagelength,
                width=page.imagewidth,
                orientation=orientation if orientation in range(1, 9) else 1,
                plain=_is_plain(page),
                note="; ".join(_notes(page)),
                raw=_is_raw(page),
            )
    except Exception:  # tifffile's parser raises nearly everything on damaged tags
        return None


def read_page(data: bytes, most_bytes: int) -> Image.Image:
    """Decode the first page into a picture of eight bits, as stored: not yet upright.

    Parameters
    ----------
    data : the file
    most_bytes : how much its samples may take once decoded

    Raises
    ------
    ImageError : it is of a kind that is not read or takes too much; the message leaves the file's name to the caller
    Exception : of nearly any type, when it is damaged
    """
    with _first_page(io.BytesIO(data)) as page:
        _require_known(page)
        _require_room(page, most_bytes)
        _require_whole(page, data)
        samples = page.asarray(squeeze=False, maxworkers=1)[:, 0]  # (planes, H, W, samples of a plane)
        samples = samples[0] if len(samples) == 1 else np.moveaxis(samples[..., 0], 0, -1)
        if isinstance(page.bitspersample, int) and page.bitspersample < 8:
            samples = (samples.astype(np.uint8) * (255 // (2**page.bitspersample - 1))).astype(np.uint8)
        return _picture(page, samples)


@contextmanager
def _first_page(file: IO[bytes]) -> Iterator[TiffPage]:
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it tells of every damaged tag
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages[0]
        assert isinstance(page, tifffile.TiffPage)
        yield page


def _notes(page: TiffPage) -> Iterator[str]:
    pages = page.parent.pages
    try:
        following = pages[1]
    except IndexError:
        following = None
    if page.imagedepth > 1:
        yield f"the first of its {page.imagedepth} slices is shown"
    if following is not None and not getattr(following, "is_reduced", False) and following.shape == page.shape:
        yield "the first of its pages is shown"
    bands = _bands(page)
    if page.photometric in (_BLACK_IS_ZERO, _WHITE_IS_ZERO, _RGB):
        if len(bands) > 3:
            yield f"the first three of its {len(bands)} bands are shown as red, green and blue"
        elif len(bands) == 2:
            yield "the first of its 2 bands is shown"


def _is_plain(page: TiffPage) -> bool:
    """Whether Pillow reads a page right, or says that it cannot."""
    return (
        page.bitspersample in (1, 2, 4, 8)
        and page.sampleformat in (_UNSIGNED, _UNDEFINED)
        and page.compression in _READ_BY_PILLOW
        and (page.predictor == 1 or page.compression in _PREDICTED_BY_PILLOW)
        and not page.parent.is_bigtiff
    )


def _is_raw(page: TiffPage) -> bool:
    return (
        page.photometric in _RAW_SENSORS
        or _DNG_VERSION in page.tags
        or (page.is_reduced and _SUB_PAGES in page.tags)  # Nikon, Sony, Pentax
        or (page.parent.filehandle.size > 10 and _read_at(page, 8, 2) == b"CR")  # Canon
    )


def _read_at(page: TiffPage, place: int, size: int) -> bytes:
    file = page.parent.filehandle
    file.seek(place)
    return bytes(file.read(size))


def _bands(page: TiffPage) -> list[int]:
    """The samples of a pixel that are no alpha."""
    return [number for number in range(page.samplesperpixel) if number != _alpha(page)]


def _alpha(page: TiffPage) -> int | None:
    """Which sample of a pixel is its alpha."""
    first_extra = page.samplesperpixel - len(page.extrasamples)
    for number, kind in enumerate(page.extrasamples, first_extra):
        if kind in (_ASSOCIATED, _UNASSOCIATED):
            return number
    return None


def _require_known(page: TiffPage) -> None:
    """Refuse what would be decoded wrong or not at all."""
    bands, kind = len(_bands(page)), page.dtype.kind if page.dtype is not None else ""
    needed = {_BLACK_IS_ZERO: 1, _WHITE_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _LAB: 3, _YCBCR: 3}
    if page.photometric not in needed or bands < needed[page.photometric]:
        raise _unread(f"one whose colours are stored as {_name(page.photometric)}")
    if kind not in ("b", "u", "i", "f"):
        raise _unread(f"one with samples of {page.bitspersample} bits in a form that is no number")
    if page.photometric in (_CMYK, _PALETTE) and kind != "u":
        raise _unread(f"one whose {_name(page.photometric)} values are no whole numbers")
    if page.photometric == _LAB and page.bitspersample not in (8, 16):
        raise _unread(f"one whose Lab values have {page.bitspersample} bits")
    if page.photometric == _YCBCR and page.compression not in (_JPEG, 33003):
        raise _unread("one whose colours are stored as YCbCr without JPEG compression")
    if page.compression not in _STREAMS | _WITH_A_HEADER:
        raise _unread(f"one with {_name(page.compression)} compression")


def _unread(what: str) -> ImageError:
    return ImageError(
        f"expected a TIFF of a kind that is read, got {what}; save it as PNG, or as TIFF in RGB with LZW or deflate."
    )


def _name(value: Any) -> str:
    """What the specification calls a number, or the number."""
    return str(getattr(value, "name", value))


def _require_room(page: TiffPage, most_bytes: int) -> None:
    """Refuse a page that is small in pixels and huge in bytes."""
    assert page.dtype is not None
    segment = [*page.chunks, 1] if page.is_tiled else [1]
    needed = max(
        page.imagedepth * page.imagelength * page.imagewidth * page.samplesperpixel,
        int(np.prod([int(side) for side in segment], dtype=object)) * page.samplesperpixel,
    )
    needed *= page.dtype.itemsize
    if needed > most_bytes:
        raise ImageError(
            f"expected a picture that takes at most {most_bytes / 1e6:,.0f} MB once decoded, got one of "
            f"{needed / 1e6:,.0f} MB; save a smaller copy, or one with eight bits a colour."
        )


def _require_whole(page: TiffPage, data: bytes) -> None:
    """Refuse a page whose pieces are not all there, or of which a piece is a picture larger than the page says.

    tifffile leaves out pieces without a place, as some programs write them where nothing is to be seen.
    """
    chunk = page.chunks[-3:] if page.samplesperpixel > 1 and page.planarconfig == 1 else page.chunks[-2:]
    for place, size in zip(page.dataoffsets, page.databytecounts, strict=False):
        if place + size > len(data):
            raise EOFError("a piece of the picture lies beyond the end of the file")
        if page.compression in _WITH_A_HEADER and size:
            with Image.open(io.BytesIO(data[place : place + size]), formats=("JPEG", "JPEG2000", "WEBP")) as piece:
                if piece.height > max(chunk[0], 16) or piece.width > max(chunk[1], 16):
                    raise ValueError("a piece of the picture is larger than the page says")


def _picture(page: TiffPage, samples: NDArray[Any]) -> Image.Image:
    """Samples (H, W, C) as a Pillow picture of the mode that they stand for."""
    if page.photometric == _PALETTE:
        colours = to_eight_bits(np.moveaxis(page.colormap, 0, -1))  # type: ignore[arg-type]
        return Image.fromarray(colours[samples[..., 0]])
    if page.photometric == _CMYK:
        return Image.frombytes("CMYK", _size(samples), _full_range(samples[..., :4]).tobytes())
    if page.photometric == _LAB:
        return Image.frombytes("LAB", _size(samples), _lab(samples[..., :3]).tobytes())
    if page.photometric == _YCBCR and page.compression != _JPEG:  # tifffile turns that of JPEG into RGB
        return Image.frombytes("YCbCr", _size(samples), samples[..., :3].astype(np.uint8).tobytes())
    bands = _bands(page)
    shown = bands[:3] if len(bands) >= 3 else bands[:1]
    consecutive = shown[-1] - shown[0] + 1 == len(shown)  # then a view will do, which is no second copy
    chosen = samples[..., shown[0] : shown[-1] + 1] if consecutive else samples[..., shown]
    colours = to_eight_bits(chosen, missing=_missing(page))
    if page.photometric == _WHITE_IS_ZERO:
        colours = 255 - colours
    if len(shown) == 1:
        colours = np.repeat(colours, 3, axis=-1)
    alpha = _alpha(page)
    if alpha is None:
        return Image.fromarray(np.ascontiguousarray(colours))
    opacity = to_eight_bits(samples[..., alpha])[..., None]
    associated = page.extrasamples[alpha - page.samplesperpixel] == _ASSOCIATED
    four = np.concatenate([colours, opacity], axis=-1)
    return Image.frombytes("RGBa" if associated else "RGBA", _size(samples), four.tobytes())


def _size(samples: NDArray[Any]) -> tuple[int, int]:
    return samples.shape[1], samples.shape[0]


def _missing(page: TiffPage) -> float | None:
    """The value that stands for no value, as GDAL notes it."""
    return float(page.nodata) if 42113 in page.tags else None


def _full_range(samples: NDArray[Any]) -> PixelArray:
    """Unsigned numbers of any depth as eight bits; inks have no sensor whose depth could be less."""
    return (samples >> (8 * samples.dtype.itemsize - 8)).astype(np.uint8)


def _lab(samples: NDArray[Any]) -> PixelArray:
    """CIE L*a*b* of 8 or 16 bits, of which a and b are signed, in eight bits, as TIFF and Pillow's raw form have it."""
    return _full_range(samples.view(f"u{samples.dtype.itemsize}"))
