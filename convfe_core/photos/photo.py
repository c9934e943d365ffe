"""From a file's bytes to a photograph, and from a photograph to the canvas a network receives.

Everything a user hands in passes :func:`read_photo`, which refuses what is no photograph with one sentence.
"""

from __future__ import annotations

import base64
import hashlib
import io
import math
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from convfe_core.base.errors import ImageError
from convfe_core.base.folders import is_address, known_folder, split_address
from convfe_core.maps.feature_maps import Frame
from convfe_core.photos.decoding import PixelArray, upright_rgb

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
FORMATS_IN_WORDS = "a JPEG, PNG, WebP, BMP, TIFF or GIF picture"

OWN_SIZE_CAP = 1024
"""The longest side, in pixels, of a photograph that is looked at in its own size."""

_LONGEST_NAME = 80
_ZERO_WIDTH_JOINER = "\u200d"  # holds emoji such as an astronaut together
_OTHER_FILES = (
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"\x00\x00\x00\x0cjP", "a JPEG 2000 picture"),
    (4, b"ftypavif", "an AVIF picture"),
    (4, b"ftyphei", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIF picture"),
    (4, b"ftyp", "a video"),
)
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"BM", b"II*\x00", b"MM\x00*", b"GIF8")


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
    """

    name: str
    pixels: PixelArray
    digest: str

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[1])


def display_name(name: str) -> str:
    r"""Make a file name fit for one line of text.

    The folder goes, control and direction-changing characters become spaces, bytes that are no text become
    ``\ufffd``, and a long name keeps its beginning and its end. Emoji stay. Markup is not escaped: that is
    for whoever writes HTML.

    Examples
    --------
    >>> display_name("../../etc/pass\nwd.jpg")
    'pass wd.jpg'
    """
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    shown = "".join(_shown_character(character) for character in last)
    shown = " ".join(shown.split()) or "unnamed"
    if len(shown) > _LONGEST_NAME:
        tail = 20
        shown = shown[: _LONGEST_NAME - tail - 1] + "…" + shown[-tail:]
    return shown


def read_photo(data: bytes, name: str, limits: ImageLimits = DEFAULT_LIMITS) -> Photo:
    """Decode a picture.

    The first frame of several is taken, EXIF orientation is applied, transparency is laid over white, and
    more than eight bits are scaled to eight (see :func:`convfe_core.photos.decoding.to_eight_bits`).

    Parameters
    ----------
    data : the file's bytes
    name : the file's name, for messages and titles
    limits : what the picture may be

    Raises
    ------
    ImageError
        When `data` is no picture, is damaged, or breaks a limit.
    """
    shown = display_name(name)
    if not data:
        raise ImageError(f"{shown}: expected {FORMATS_IN_WORDS}, got an empty file.")
    if len(data) > limits.max_bytes:
        raise ImageError(
            f"{shown}: expected at most {_megabytes(limits.max_bytes)}, got {_megabytes(len(data))}; "
            "save a smaller copy."
        )
    with _open(data, shown, limits) as image:
        _check_size(image.width, image.height, shown, limits)
        try:
            image.load()
            pixels = upright_rgb(image)
        except MemoryError as error:
            raise ImageError(
                f"{shown}: expected a picture that fits into memory, "
                f"got {image.width} x {image.height} pixels; save a smaller copy."
            ) from error
        except Exception as error:  # Pillow's decoders raise nearly everything on damaged data
            raise ImageError(
                f"{shown}: expected a whole picture, got a {image.format} file that is damaged or cut short; "
                "copy or download it again."
            ) from error
    return Photo(shown, pixels, hashlib.sha256(data).hexdigest())


def open_photo(where: str | Path, limits: ImageLimits = DEFAULT_LIMITS) -> Photo:
    """Read a picture from disk or from an address such as ``s3://bucket/photo.jpg``; errors as in `photo_bytes`."""
    return read_photo(photo_bytes(where, limits), file_name(where), limits)


def photo_bytes(where: str | Path, limits: ImageLimits = DEFAULT_LIMITS) -> bytes:
    """Read a picture's file.

    Raises
    ------
    ImageError
        When the file cannot be read or is too large; of a file over ``max_bytes`` no more than that is read.
    StoreError
        When the store behind an address does not answer.
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


def file_name(where: str | Path) -> str:
    """The last part of a path or an address."""
    return split_address(str(where))[1] if is_address(where) else Path(where).name


def plan_frame(
    height: int,
    width: int,
    longest_side: int | None,
    multiple: int = 32,
    *,
    smallest: int = 1,
    fixed: tuple[int, int] | None = None,
) -> Frame:
    """Work out where a photograph goes on a network's input.

    Parameters
    ----------
    height, width : of the photograph, in pixels
    longest_side : what its longest side becomes, smaller or larger, the aspect ratio kept; None for its own
        size, at most `OWN_SIZE_CAP`
    multiple : the input's sides are padded up to a multiple of this, usually the stride
    smallest : the input's sides are at least this long; some networks accept no less
    fixed : (height, width) of the input of a network that takes no other; then `longest_side`, `multiple` and
        `smallest` count for nothing

    Examples
    --------
    >>> frame = plan_frame(300, 451, 320)
    >>> frame.content_height, frame.content_width, frame.input_height, frame.input_width
    (213, 320, 224, 320)
    """
    if min(height, width) < 1:
        raise ValueError(f"Expected a photograph of at least 1 x 1 pixels. Received: {height} x {width}")
    if multiple < 1 or (longest_side is not None and longest_side < 1) or (fixed and min(fixed) < 1):
        raise ValueError(
            "Expected longest_side, multiple and fixed of at least 1. "
            f"Received: longest_side={longest_side}, multiple={multiple}, fixed={fixed}"
        )
    if fixed is not None:
        scale = min(fixed[0] / height, fixed[1] / width)
        input_height, input_width = fixed
    else:
        scale = (longest_side or min(max(height, width), OWN_SIZE_CAP)) / max(height, width)
        input_height, input_width = (
            math.ceil(max(_scaled(side, scale), smallest) / multiple) * multiple for side in (height, width)
        )
    return Frame(
        image_height=height,
        image_width=width,
        content_height=min(_scaled(height, scale), input_height),
        content_width=min(_scaled(width, scale), input_width),
        input_height=input_height,
        input_width=input_width,
    )


def place_on_canvas(photo: Photo, frame: Frame) -> PixelArray:
    """Draw a photograph as a network receives it.

    It is resized with Pillow's bilinear filter, whose support grows with the reduction, so that nothing
    aliases, and which neither rings nor overshoots as bicubic and Lanczos do: no edges that the photograph
    does not have. The padding right of it and below it repeats its last pixels, so that it makes no edge of
    its own.

    Returns
    -------
    (input_height, input_width, 3) uint8
    """
    if (photo.height, photo.width) != (frame.image_height, frame.image_width):
        raise ValueError(
            f"Expected a frame for {photo.height} x {photo.width} pixels. "
            f"Received: frame for {frame.image_height} x {frame.image_width}"
        )
    content = photo.pixels
    if (frame.content_height, frame.content_width) != (photo.height, photo.width):
        size = (frame.content_width, frame.content_height)
        content = np.asarray(Image.fromarray(photo.pixels).resize(size, Image.Resampling.BILINEAR))
    below, right = frame.input_height - frame.content_height, frame.input_width - frame.content_width
    return np.pad(content, ((0, below), (0, right), (0, 0)), mode="edge")


def reduce_photo(photo: Photo, longest_side: float) -> Photo:
    """Make a photograph small enough to keep many; one that is small enough comes back as it is.

    The digest stays that of the file.
    """
    scale = longest_side / max(photo.height, photo.width)
    if scale >= 1:
        return photo
    size = (_scaled(photo.width, scale), _scaled(photo.height, scale))
    pixels = np.array(Image.fromarray(photo.pixels).resize(size, Image.Resampling.BOX, reducing_gap=2.0))
    pixels.flags.writeable = False
    return Photo(photo.name, pixels, photo.digest)


def thumbnail_data_uri(photo: Photo, longest: int = 480) -> str:
    """Encode a photograph for a figure: a WebP data URI, half of a JPEG, its longest side at most `longest` pixels."""
    image = Image.fromarray(photo.pixels)
    image.thumbnail((longest, longest), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=80, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _shown_character(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cs":
        return "\ufffd"
    if character == _ZERO_WIDTH_JOINER or category not in {"Cc", "Cf", "Zl", "Zp"}:
        return character
    return " "


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.3g} MB" if size < 999.5e6 else f"{size / 1e6:.0f} MB"


def _open(data: bytes, shown: str, limits: ImageLimits) -> Image.Image:
    """Read a picture's header, and no more."""
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"{shown}: expected at most {limits.max_pixels / 1e6:g} megapixels, got far more; save a smaller copy."
        ) from error
    except Exception as error:  # Pillow's readers raise nearly everything on damaged headers
        raise ImageError(f"{shown}: expected {FORMATS_IN_WORDS}, got {_what_came(data)}.") from error


def _what_came(data: bytes) -> str:
    """Name a file that is no picture, as far as its beginning tells."""
    for position, magic, what in _OTHER_FILES:
        if data.startswith(magic, position):
            return what
    if data.startswith(_BEGINNINGS):
        return "the beginning of one whose rest is damaged or missing"
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


def _scaled(side: int, scale: float) -> int:
    return max(1, math.floor(side * scale + 0.5))
