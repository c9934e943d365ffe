"""What a file must be to become a photograph, and where that photograph goes on a network's input."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from convfe_core.errors import ImageError
from convfe_core.images import (
    OWN_SIZE_CAP,
    ImageLimits,
    Photo,
    display_name,
    open_photo,
    place_on_canvas,
    plan_frame,
    read_photo,
    thumbnail_data_uri,
)
from convfe_core.maps import Frame

RED, WHITE = (255, 0, 0), (255, 255, 255)


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def corners() -> Image.Image:
    """24 x 16, upright: its top left quarter red, the others green, blue and white."""
    image = Image.new("RGB", (24, 16), WHITE)
    image.paste(RED, (0, 0, 12, 8))
    image.paste((0, 255, 0), (12, 0, 24, 8))
    image.paste((0, 0, 255), (0, 8, 12, 16))
    return image


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


def photo_of(pixels: np.ndarray) -> Photo:
    return Photo("made.png", pixels, "0" * 64)


# --- every format and mode ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "GIF"])
def test_lossless_formats_come_out_pixel_for_pixel(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    photo = read_photo(encode(corners(), kind, **options), f"corners.{kind.lower()}")
    np.testing.assert_array_equal(photo.pixels, np.asarray(corners()))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpeg_comes_out_close(options: dict[str, object]) -> None:
    photo = read_photo(encode(corners(), "JPEG", quality=95, **options), "corners.jpg")
    assert photo.pixels.shape == (16, 24, 3)
    np.testing.assert_allclose(photo.pixels[2:6, 2:10], np.broadcast_to(RED, (4, 8, 3)), atol=6)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "packbits", "tiff_adobe_deflate"])
def test_compressed_tiff_is_read(compression: str) -> None:
    photo = read_photo(encode(corners(), "TIFF", compression=compression), "corners.tif")
    np.testing.assert_array_equal(photo.pixels, np.asarray(corners()))


def test_the_first_frame_of_an_animation_is_taken() -> None:
    frames = [Image.new("RGB", (10, 10), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "WEBP", "TIFF", "PNG"):
        data = encode(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
        assert tuple(read_photo(data, "animation").pixels[5, 5]) == RED, kind


def test_a_phone_picture_of_several_images_is_read() -> None:
    data = encode(corners(), "MPO", save_all=True, append_images=[corners().rotate(180)], quality=95)
    photo = read_photo(data, "phone.jpg")
    np.testing.assert_allclose(photo.pixels[2:6, 2:10], np.broadcast_to(RED, (4, 8, 3)), atol=6)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("L", (8, 8), 77), (77, 77, 77)),
        (Image.new("1", (8, 8), 1), WHITE),
        (Image.new("RGBA", (8, 8), (255, 0, 0, 255)), RED),
        (Image.new("RGBA", (8, 8), (255, 0, 0, 0)), WHITE),
        (Image.new("RGBA", (8, 8), (0, 0, 0, 128)), (127, 127, 127)),
        (Image.new("LA", (8, 8), (0, 128)), (127, 127, 127)),
        (Image.new("LA", (8, 8), (40, 255)), (40, 40, 40)),
        (Image.new("RGB", (8, 8), RED).quantize(), RED),
    ],
    ids=["grey", "bilevel", "opaque", "transparent", "half", "grey half", "grey opaque", "palette"],
)
def test_every_mode_becomes_rgb_over_white(image: Image.Image, expected: tuple[int, int, int]) -> None:
    pixels = read_photo(encode(image), "mode.png").pixels
    np.testing.assert_array_equal(pixels, np.broadcast_to(expected, (8, 8, 3)))


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_palette_colour_is_white(kind: str) -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(1, (4, 0, 8, 8))
    pixels = read_photo(encode(image, kind, transparency=0), "palette").pixels
    assert tuple(pixels[0, 0]) == WHITE
    assert tuple(pixels[0, 7]) == (0, 0, 255)


def test_a_transparent_rgb_colour_is_white() -> None:
    pixels = read_photo(encode(corners(), transparency=RED), "keyed.png").pixels
    assert tuple(pixels[0, 0]) == WHITE
    assert tuple(pixels[0, 23]) == (0, 255, 0)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(kind: str) -> None:
    data = encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), kind)
    np.testing.assert_allclose(read_photo(data, "cmyk").pixels, np.broadcast_to(RED, (8, 8, 3)), atol=4)


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        (np.uint16, [0, 32768, 65535], [0, 128, 255]),
        (np.uint16, [0, 2048, 4095], [0, 128, 255]),
        (np.uint16, [0, 128, 255], [0, 128, 255]),
        (np.uint16, [0, 1000, 1100], [0, 62, 68]),
        (np.int32, [-50, 0, 50], [0, 128, 255]),
        (np.int32, [0, 32768, 65535], [0, 128, 255]),
        (np.float32, [0, 0.5, 1], [0, 128, 255]),
        (np.float32, [0, 0.25, 0.5], [0, 64, 128]),
        (np.float32, [0, 128, 255], [0, 128, 255]),
        (np.float32, [-1, 0, 1], [0, 128, 255]),
        (np.float32, [-3e38, 0, 3e38], [0, 128, 255]),
        (np.float32, [np.nan, np.inf, 1], [255, 255, 255]),
        (np.float32, [np.nan, np.nan, np.nan], [0, 0, 0]),
        (np.float32, [1e6, 1e6, 1e6], [0, 0, 0]),
    ],
)
def test_deep_greyscale_is_scaled_to_eight_bits(dtype: type, values: list[float], expected: list[int]) -> None:
    deep = np.repeat(np.repeat(np.array([values], dtype), 8, axis=0), 4, axis=1)
    photo = read_photo(encode(Image.fromarray(deep), "TIFF"), "deep.tif")
    np.testing.assert_array_equal(photo.pixels[3, ::4, 1], expected)
    np.testing.assert_array_equal(photo.pixels[..., 0], photo.pixels[..., 2])


def test_sixteen_bit_png_is_scaled_to_eight_bits() -> None:
    deep = np.arange(300 * 10, dtype=np.uint16).reshape(60, 50) * 21
    photo = read_photo(encode(Image.fromarray(deep)), "deep.png")
    np.testing.assert_array_equal(photo.pixels[..., 0], np.rint(deep / 65535 * 255))


def test_lab_becomes_rgb() -> None:
    pixels = read_photo(encode(Image.new("LAB", (8, 8), (200, 128, 128)), "TIFF"), "lab.tif").pixels
    np.testing.assert_allclose(pixels, np.full((8, 8, 3), 194), atol=4)


# --- EXIF ---------------------------------------------------------------------------------------------------

# How a camera would have stored the upright picture so that this orientation tag makes it upright again.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(orientation: int, kind: str) -> None:
    upright = np.asarray(corners())
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    if kind == "JPEG":
        options = {"quality": 100, "subsampling": 0}
    photo = read_photo(encode(stored, kind, exif=exif, **options), "turned")
    assert (photo.height, photo.width) == (16, 24)
    np.testing.assert_allclose(photo.pixels.astype(int), upright, atol=4)


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0garbage that is no TIFF header",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0six\0\0\0\0\0",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x63\0\0\0\0\0\0",
        b"Exif\0\0",
    ],
    ids=["no header", "offset", "text for a number", "orientation 99", "empty"],
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_corrupt_exif_leaves_the_picture_as_it_is(exif: bytes) -> None:
    photo = read_photo(encode(corners(), "JPEG", exif=exif), "exif.jpg")
    assert (photo.height, photo.width) == (16, 24)


# --- what is refused ----------------------------------------------------------------------------------------


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
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC picture"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "an AVIF picture"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "a video"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"\x00\x01\x02\x03\xfe\xff", "a file of another kind"),
        (b"\x89PNG\r\n\x1a\n\0\0", "the beginning of one whose rest is damaged or missing"),
    ],
)
def test_a_file_that_is_no_picture_is_named(data: bytes, came: str) -> None:
    assert refusal(data).endswith(f"picture, got {came}.")


@pytest.mark.parametrize("kind", ["PPM", "ICO", "TGA", "PCX", "EPS", "JPEG2000"])
def test_formats_outside_the_list_are_refused(kind: str) -> None:
    assert "expected a JPEG, PNG, WebP, BMP, TIFF or GIF picture" in refusal(encode(corners(), kind))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"])
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
    def full(_image: Image.Image) -> None:
        raise MemoryError

    monkeypatch.setattr("convfe_core.images.upright_rgb", full)
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
    kind=st.sampled_from(["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"]),
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


# --- identity, names, files ---------------------------------------------------------------------------------


def test_photographs_of_one_name_differ_in_their_digest() -> None:
    first, second = encode(Image.new("L", (8, 8), 1)), encode(Image.new("L", (8, 8), 2))
    one, other = read_photo(first, "same.png"), read_photo(second, "same.png")
    assert one.digest == hashlib.sha256(first).hexdigest()
    assert one.digest != other.digest


def test_pixels_cannot_be_written() -> None:
    for image in (corners(), corners().convert("RGBA"), corners().rotate(90)):
        pixels = read_photo(encode(image), "corners.png").pixels
        with pytest.raises(ValueError, match="read-only"):
            pixels[0, 0] = 0
        with pytest.raises(ValueError, match="WRITEABLE"):
            pixels.flags.writeable = True


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cat.png", "cat.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\pictures\\cat.png", "cat.png"),
        ("folder/", "folder"),
        ("", "unnamed"),
        ("\n\t", "unnamed"),
        ("a\nb\r\nc\x00d\x1b.png", "a b c d .png"),
        ("evil\u202egnp.exe", "evil gnp.exe"),
        ("line\u2028break.png", "line break.png"),
        ("👩\u200d🚀 Ünïcode 猫.png", "👩\u200d🚀 Ünïcode 猫.png"),
        ("bytes\udcff.png", "bytes\ufffd.png"),
        ("<img src=x onerror=alert(1)>.png", "<img src=x onerror=alert(1)>.png"),
    ],
)
def test_a_name_is_made_fit_to_be_shown(name: str, expected: str) -> None:
    assert display_name(name) == expected


def test_a_long_name_keeps_its_beginning_and_end() -> None:
    shown = display_name("start" + "x" * 300 + "end.jpeg")
    assert len(shown) == 80
    assert shown.startswith("start")
    assert shown.endswith("end.jpeg")


@given(st.text(max_size=400))
def test_any_name_becomes_one_short_line(name: str) -> None:
    shown = display_name(name)
    assert 1 <= len(shown) <= 80
    assert len(shown.splitlines()) == 1
    assert not set("/\\") & set(shown)
    assert display_name(shown) == shown


def test_a_picture_is_read_from_disk(tmp_path: Path) -> None:
    path = tmp_path / "😀 corners.png"
    corners().save(path)
    photo = open_photo(path)
    assert photo.name == "😀 corners.png"
    np.testing.assert_array_equal(photo.pixels, np.asarray(corners()))
    np.testing.assert_array_equal(open_photo(str(path)).pixels, photo.pixels)


def test_what_cannot_be_read_from_disk_is_named(tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(bytes(2000))
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ImageError, match=r"^missing\.png: expected a picture, got a path where there is no file\.$"):
        open_photo(tmp_path / "missing.png")
    with pytest.raises(ImageError, match=r"^folder\.png: expected a picture, got a folder\.$"):
        open_photo(tmp_path / "folder.png")
    with pytest.raises(ImageError, match=r"^large\.png: expected at most 0.001 MB, got 0.002 MB"):
        open_photo(tmp_path / "large.png", ImageLimits(max_bytes=1000))
    with pytest.raises(ImageError, match="expected a readable file, got “File name too long”"):
        open_photo(tmp_path / ("x" * 300 + ".png"))
    with pytest.raises(ImageError, match="expected a readable file, got “not a valid path”"):
        open_photo("nul\0byte.png")


# --- frames and canvases ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "longest", "options", "content", "canvas"),
    [
        ((300, 451), 320, {}, (213, 320), (224, 320)),
        ((451, 300), 320, {}, (320, 213), (320, 224)),
        ((512, 512), 320, {}, (320, 320), (320, 320)),
        ((10, 20), 320, {}, (160, 320), (160, 320)),
        ((20, 400), 64, {}, (3, 64), (32, 64)),
        ((1, 1000), 224, {}, (1, 224), (32, 224)),
        ((300, 451), None, {}, (300, 451), (320, 480)),
        ((3000, 4000), None, {}, (768, 1024), (768, 1024)),
        ((300, 451), 320, {"multiple": 1}, (213, 320), (213, 320)),
        ((300, 451), 320, {"multiple": 8}, (213, 320), (216, 320)),
        ((20, 400), 320, {"smallest": 75}, (16, 320), (96, 320)),
        ((300, 451), 320, {"fixed": (32, 32)}, (21, 32), (32, 32)),
        ((451, 300), None, {"fixed": (224, 224)}, (224, 149), (224, 224)),
        ((100, 100), 320, {"fixed": (96, 128)}, (96, 96), (96, 128)),
        ((1, 1000), 320, {"fixed": (32, 32)}, (1, 32), (32, 32)),
    ],
)
def test_a_frame_is_exactly_this(
    size: tuple[int, int],
    longest: int | None,
    options: dict[str, object],
    content: tuple[int, int],
    canvas: tuple[int, int],
) -> None:
    assert plan_frame(*size, longest, **options) == Frame(*size, *content, *canvas)


@given(
    height=st.integers(1, 30000),
    width=st.integers(1, 30000),
    longest=st.one_of(st.none(), st.integers(1, 2000)),
    multiple=st.integers(1, 64),
)
def test_a_frame_keeps_its_promises(height: int, width: int, longest: int | None, multiple: int) -> None:
    frame = plan_frame(height, width, longest, multiple)
    sides = (frame.content_height, frame.content_width)
    expected = longest or min(max(height, width), OWN_SIZE_CAP)
    assert max(sides) == expected
    assert min(sides) >= 1
    assert abs(min(sides) - max(1, min(height, width) * expected / max(height, width))) <= 0.5
    for content, padded in zip(sides, (frame.input_height, frame.input_width), strict=True):
        assert padded % multiple == 0
        assert content <= padded < content + multiple


@pytest.mark.parametrize(
    "arguments",
    [(0, 10, 320), (10, 10, 0), (10, 10, 320, 0)],
)
def test_a_frame_without_pixels_is_a_programming_error(arguments: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"Expected .* Received: "):
        plan_frame(*arguments)


def test_the_photograph_lies_top_left_and_its_last_pixels_are_repeated() -> None:
    pixels = np.arange(8 * 10 * 3, dtype=np.uint8).reshape(8, 10, 3)
    canvas = place_on_canvas(photo_of(pixels), plan_frame(8, 10, 10, multiple=4))
    assert canvas.shape == (8, 12, 3)
    assert canvas.dtype == np.uint8
    np.testing.assert_array_equal(canvas[:, :10], pixels)
    np.testing.assert_array_equal(canvas[:, 10], pixels[:, 9])
    np.testing.assert_array_equal(canvas[:, 11], pixels[:, 9])


def test_reducing_averages_instead_of_picking_pixels() -> None:
    checkers = np.indices((256, 256)).sum(axis=0) % 2 * 255
    photo = photo_of(np.repeat(checkers[..., None], 3, axis=2).astype(np.uint8))
    canvas = place_on_canvas(photo, plan_frame(256, 256, 32))
    assert canvas.min() >= 126
    assert canvas.max() <= 129


def test_enlarging_neither_overshoots_nor_shifts() -> None:
    pixels = np.zeros((10, 10, 3), np.uint8)
    pixels[:, 5:] = 200
    canvas = place_on_canvas(photo_of(pixels), plan_frame(10, 10, 40, multiple=8))
    assert canvas.shape == (40, 40, 3)
    assert canvas.max() == 200
    assert (np.diff(canvas[0, :, 0].astype(int)) >= 0).all()
    np.testing.assert_array_equal(canvas[0, :, 0], 200 - canvas[0, ::-1, 0])


def test_a_frame_of_another_photograph_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="Expected a frame for 8 x 8 pixels"):
        place_on_canvas(photo_of(np.zeros((8, 8, 3), np.uint8)), plan_frame(8, 9, 32))


@pytest.mark.parametrize(("size", "expected"), [((900, 600), (480, 320)), ((30, 20), (30, 20))])
def test_a_thumbnail_is_a_jpeg_and_never_enlarged(size: tuple[int, int], expected: tuple[int, int]) -> None:
    photo = photo_of(np.full((size[1], size[0], 3), 90, np.uint8))
    head, _, body = thumbnail_data_uri(photo).partition(",")
    assert head == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(body))) as image:
        assert image.format == "JPEG"
        assert image.size == expected
