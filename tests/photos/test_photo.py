"""Every format and mode becomes an upright RGB photograph with a name and an identity."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from convfe_core.base.errors import ImageError
from convfe_core.base.wording import display_name
from convfe_core.machine import memory
from convfe_core.machine.memory import RoomToKeep
from convfe_core.photos.photo import ImageLimits, Photo, open_photo, read_photo
from tests.support.builders import RED, WHITE, corners, encode, noise

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


def test_a_size_that_a_photograph_was_resized_to_is_kept_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "KEPT_MB", 60 * 40 * 3 / 2**20)
    plain = Photo("noise", noise(120, 80), "")
    kept = replace(plain, room=RoomToKeep())
    first = kept.resized(40, 60, Image.Resampling.BILINEAR)
    assert kept.resized(40, 60, Image.Resampling.BILINEAR) is first
    assert kept.resized(40, 59, Image.Resampling.BILINEAR) is not kept.resized(40, 59, Image.Resampling.BILINEAR)
    assert plain.resized(40, 60, Image.Resampling.BILINEAR) is not plain.resized(40, 60, Image.Resampling.BILINEAR)
    assert kept.resized(80, 120, Image.Resampling.BICUBIC) is kept.pixels
    expected = Image.fromarray(plain.pixels).resize((40, 60), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(first, expected)
    assert not first.flags.writeable


def test_a_size_that_takes_more_than_the_photograph_is_not_kept() -> None:
    kept = Photo("noise", noise(120, 80), "", room=RoomToKeep())
    larger = [kept.resized(160, 240, Image.Resampling.BICUBIC) for _ in range(2)]
    assert larger[0] is not larger[1]


def test_filters_are_told_apart() -> None:
    kept = Photo("noise", noise(120, 80), "", room=RoomToKeep())
    smooth, sharp = (kept.resized(40, 60, how) for how in (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC))
    assert not np.array_equal(smooth, sharp)
