"""What is no photograph, or too much of one, is refused in a sentence and never raises anything else."""

from __future__ import annotations

import io
import math
import struct
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from convfe_core.base.errors import ImageError
from convfe_core.base.wording import display_name
from convfe_core.photos.photo import ImageLimits, read_photo
from tests.support.builders import corners, encode

BROKEN = "that is damaged or cut short, or of a rare kind that is not read"


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that its few bytes of data do not fill."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + png_chunk(b"IEND", b"")
    )


def refusal(data: bytes, name: str = "file.jpg", limits: ImageLimits | None = None) -> str:
    with pytest.raises(ImageError) as caught:
        read_photo(data, name, limits or ImageLimits())
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{display_name(name)}: expected ")
    assert message.endswith(".")
    return message


@pytest.mark.parametrize(
    ("data", "came"),
    [
        (b"", "an empty file"),
        (b"hello, world\nthis is text \xc3\xa4", "text"),
        (("ä" * 400).encode()[:513], "text"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
        (b"<?xml version='1.0'?><svg></svg>", "an SVG drawing"),
        (b"%PDF-1.7 ...", "a PDF document"),
        (b"PK\x03\x04....", "a ZIP archive"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", f"the beginning of a HEIC picture {BROKEN}"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", f"the beginning of an AVIF picture {BROKEN}"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "a video"),
        (b"\0\0\0\x18ftypcrx \0\0\0\0", "a raw picture of a camera"),
        (b"RIFF\x10\0\0\0AVI LIST", "a video"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
        (b"\xff\x0a\0\0", "a JPEG XL picture"),
        (b"\x76\x2f\x31\x01\x02\0\0\0", "an OpenEXR picture"),
        (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n", "a Radiance HDR picture"),
        (bytes(128) + b"DICM", "a DICOM picture"),
        (b"SIMPLE  =                    T", "a FITS picture"),
        (b"\x93NUMPY\x01\0", "a NumPy array"),
        (b"\xff\xd8\xff\xc3\0\x0b\x0c\0\x30\0\x40\x01", "a lossless JPEG picture"),
        (b"\xff\xd8\xff\xc1\0\x0b\x0c\0\x30\0\x40\x01", "a JPEG picture of 12 bits a colour"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"\x00\x01\x02\x03\xfe\xff", "a file of another kind"),
        (b"\x89PNG\r\n\x1a\n\0\0", f"the beginning of one {BROKEN}"),
    ],
)
def test_a_file_that_is_no_picture_is_named(data: bytes, came: str) -> None:
    assert refusal(data).endswith(f"JPEG 2000 picture, got {came}.")


@pytest.mark.parametrize("kind", ["EPS", "IM", "DDS", "ICNS"])
def test_formats_outside_the_list_are_refused(kind: str) -> None:
    assert "expected a JPEG, PNG, WebP, TIFF, HEIC, AVIF" in refusal(encode(corners(), kind))


def test_a_raw_picture_of_a_camera_is_not_shown_by_its_preview() -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((16, 24, 3), np.uint8), extratags=[(50706, "B", 4, (1, 4, 0, 0), True)])
    assert "got a raw picture of a camera" in refusal(buffer.getvalue())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "JPEG2000"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_truncated_picture_is_refused(kind: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), kind)
    message = refusal(data[: int(len(data) * share)])
    assert "damaged" in message


def test_a_bomb_is_refused_from_its_header() -> None:
    assert refusal(png_of_size(8000, 10000)) == (
        "file.jpg: expected at most 50 megapixels, got 8000 x 10000 pixels (80 megapixels); save a smaller copy."
    )
    assert "expected at most 50 megapixels, got far more" in refusal(png_of_size(60000, 60000))


def test_the_pixel_limit_is_inclusive() -> None:
    limits = ImageLimits(max_pixels=16 * 24)
    assert read_photo(encode(corners()), "corners.png", limits).width == 24
    refusal(encode(corners()), limits=ImageLimits(max_pixels=16 * 24 - 1))


def test_a_picture_that_does_not_fit_into_memory_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_image: Image.Image, _orientation: int) -> None:
        raise MemoryError

    monkeypatch.setattr("convfe_core.photos.photo.upright_rgb", full)
    assert refusal(encode(corners())) == (
        "file.jpg: expected a picture that fits into memory, got 24 x 16 pixels; save a smaller copy."
    )


def test_a_file_over_the_byte_limit_is_refused() -> None:
    message = refusal(bytes(3_000_000), limits=ImageLimits(max_bytes=2_000_000))
    assert message == "file.jpg: expected at most 2 MB, got 3 MB; save a smaller copy."


@pytest.mark.parametrize(("width", "height"), [(1, 1), (7, 100), (100, 7)])
def test_a_picture_of_a_few_pixels_is_refused(width: int, height: int) -> None:
    message = refusal(encode(Image.new("RGB", (width, height))))
    assert message == f"file.jpg: expected at least 8 pixels a side, got {width} x {height} pixels."


def test_a_strip_is_refused_and_a_panorama_is_not() -> None:
    assert "a ratio of at most 20 to 1, got 20000 x 20 pixels" in refusal(encode(Image.new("L", (20000, 20))))
    assert read_photo(encode(Image.new("L", (400, 20))), "panorama.png").width == 400


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"GIF89a", b"BM", b"II*\0", b"MM\0*"]))
def test_random_bytes_raise_nothing_but_image_errors(body: bytes, beginning: bytes) -> None:
    try:
        photo = read_photo(beginning + body, "random", ImageLimits(max_pixels=1_000_000))
    except ImageError:
        return
    assert photo.pixels.dtype == np.uint8


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "JPEG2000"]),
    places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    kept=st.floats(0, 1),
)
def test_damaged_pictures_raise_nothing_but_image_errors(
    kind: str, places: list[tuple[float, int]], kept: float
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {} if kind in {"BMP", "GIF"} else {"exif": exif}
    damaged = bytearray(encode(corners(), kind, **options))
    for place, value in places:
        damaged[int(place * len(damaged))] = value
    data = bytes(damaged[: math.ceil(kept * len(damaged))])
    try:
        photo = read_photo(data, "damaged", ImageLimits(max_pixels=1_000_000))
    except ImageError:
        return
    assert photo.pixels.shape == (photo.height, photo.width, 3)
