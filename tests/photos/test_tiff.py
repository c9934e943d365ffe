"""Every sound TIFF comes out as what it shows, or is refused in a true sentence."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from convfe_core.base.errors import ImageError
from convfe_core.photos.photo import ImageLimits, Photo, read_photo

RED, GREEN, BLUE, DARK = (220, 30, 30), (30, 200, 60), (20, 20, 240), (10, 20, 30)
HEIGHT, WIDTH = 40, 60


def colours() -> np.ndarray:
    """(40, 60, 3) uint8: four quarters of four colours, and a white pixel that holds the scale."""
    picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    picture[:20, :30], picture[:20, 30:], picture[20:, :30], picture[20:, 30:] = RED, GREEN, BLUE, DARK
    picture[19, 29] = 255
    picture[0, 59] = 0
    return picture


def grey() -> np.ndarray:
    return colours()[..., 0]


def tiff(values: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, metadata=None, **options)
    return buffer.getvalue()


def read(values: np.ndarray, **options: object) -> Photo:
    return read_photo(tiff(values, **options), "a.tif")


def deep(values: np.ndarray, kind: str) -> np.ndarray:
    """Eight bits as the same picture in another type."""
    if kind.startswith("f"):
        return (values / 255).astype(kind)
    top = np.iinfo(kind).max
    return values.astype(kind) * np.array(top // 255, kind) + (values == 255) * np.array(top % 255, kind)


KINDS = ["u1", "u2", "u4", "u8", "i2", "i4", "f2", "f4", "f8"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colours_of_any_depth_are_read(kind: str, planar: str) -> None:
    values = deep(colours(), kind)
    if planar == "separate":
        values = np.moveaxis(values, -1, 0)
    photo = read(values, photometric="rgb", planarconfig=planar)
    np.testing.assert_allclose(photo.pixels.astype(int), colours(), atol=1)
    assert photo.note == ""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_grey_of_any_depth_is_read_and_no_negative(kind: str, photometric: str) -> None:
    values = deep(grey() if photometric == "minisblack" else 255 - grey(), kind)
    photo = read(values, photometric=photometric)
    np.testing.assert_allclose(photo.pixels[..., 1].astype(int), grey(), atol=1)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_fewer_than_eight_bits_are_read(bits: int, photometric: str) -> None:
    top = 2**bits - 1
    values = np.tile(np.arange(64) % (top + 1), (16, 1)).astype(np.uint8)
    stored = values if photometric == "minisblack" else top - values
    photo = read_photo(packed(stored, bits, int(photometric == "minisblack")), "a.tif")
    np.testing.assert_array_equal(photo.pixels[..., 0], values * (255 // top))


def packed(values: np.ndarray, bits: int, photometric: int) -> bytes:
    """An uncompressed TIFF of less than eight bits a pixel, which no library here writes."""
    each = np.unpackbits(values[..., None], axis=-1)[..., -bits:]
    data = np.packbits(each.reshape(len(values), -1), axis=-1).tobytes()
    tags = [(256, values.shape[1]), (257, values.shape[0]), (258, bits), (259, 1), (262, photometric)]
    tags += [(273, 8 + 2 + 9 * 12 + 4), (277, 1), (278, values.shape[0]), (279, len(data))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "f2", "f4"])
@pytest.mark.parametrize("compression", ["lzw", "deflate", "zstd", "lzma", "packbits"])
@pytest.mark.parametrize("predictor", [False, True])
def test_every_stream_compression_is_read(kind: str, compression: str, predictor: bool) -> None:
    photo = read(deep(colours(), kind), photometric="rgb", compression=compression, predictor=predictor)
    np.testing.assert_allclose(photo.pixels.astype(int), colours(), atol=1)


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000", "webp"])
@pytest.mark.parametrize("tile", [None, (32, 32)])
def test_pieces_that_are_pictures_are_read(compression: str, tile: tuple[int, int] | None) -> None:
    photo = read(colours(), photometric="rgb", compression=compression, tile=tile)
    np.testing.assert_allclose(photo.pixels[5, 5].astype(int), RED, atol=8)
    np.testing.assert_allclose(photo.pixels[35, 20].astype(int), BLUE, atol=8)


def test_deep_jpeg_2000_pieces_are_read() -> None:
    photo = read(deep(colours(), "u2"), photometric="rgb", compression="jpeg2000")
    np.testing.assert_allclose(photo.pixels.astype(int), colours(), atol=1)


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
@pytest.mark.parametrize(
    "options",
    [
        {"byteorder": ">"},
        {"bigtiff": True},
        {"bigtiff": True, "byteorder": ">"},
        {"tile": (16, 32)},
        {"tile": (16, 16), "compression": "lzw", "predictor": True, "byteorder": ">"},
        {"rowsperstrip": 7},
        {"rowsperstrip": 7, "compression": "deflate", "predictor": True},
    ],
    ids=str,
)
def test_every_arrangement_is_read(kind: str, options: dict[str, object]) -> None:
    for planar in ("contig", "separate"):
        values = deep(colours(), kind)
        values = np.moveaxis(values, -1, 0) if planar == "separate" else values
        photo = read(values, photometric="rgb", planarconfig=planar, **options)
        np.testing.assert_allclose(photo.pixels.astype(int), colours(), atol=1)


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
@pytest.mark.parametrize("extra", ["unassalpha", "assocalpha"])
@pytest.mark.parametrize("photometric", ["minisblack", "rgb"])
def test_transparency_of_any_depth_is_laid_over_white(kind: str, extra: str, photometric: str) -> None:
    base = colours() if photometric == "rgb" else grey()[..., None]
    alpha = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
    alpha[:, :10], alpha[:, 10:20] = 0, 128
    stored = base if extra == "unassalpha" else np.rint(base * (alpha / 255)).astype(np.uint8)
    values = deep(np.concatenate([stored, alpha], axis=-1), kind)
    photo = read(values, photometric=photometric, extrasamples=[extra])
    expected = np.rint(base * (alpha / 255) + 255 - alpha)
    np.testing.assert_allclose(photo.pixels, np.broadcast_to(expected, (HEIGHT, WIDTH, 3)), atol=2)


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
@pytest.mark.parametrize("photometric", ["minisblack", "rgb"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("bands", [4, 5, 8])
def test_the_first_three_of_many_bands_are_shown_and_that_is_said(
    kind: str, photometric: str, planar: str, bands: int
) -> None:
    others = np.full((HEIGHT, WIDTH, bands - 3), 77, np.uint8)
    values = deep(np.concatenate([colours(), others], axis=-1), kind)
    values = np.moveaxis(values, -1, 0) if planar == "separate" else values
    count = bands - (3 if photometric == "rgb" else 1)
    photo = read(values, photometric=photometric, planarconfig=planar, extrasamples=["unspecified"] * count)
    np.testing.assert_allclose(photo.pixels.astype(int), colours(), atol=1)
    assert photo.note == f"the first three of its {bands} bands are shown as red, green and blue"


def test_the_first_of_two_bands_is_shown_and_that_is_said() -> None:
    values = np.stack([grey(), grey() // 2], axis=-1)
    photo = read(values, photometric="minisblack", extrasamples=["unspecified"])
    np.testing.assert_array_equal(photo.pixels[..., 2], grey())
    assert photo.note == "the first of its 2 bands is shown"


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_the_first_of_several_pages_is_shown_and_that_is_said(kind: str) -> None:
    pages = np.stack([deep(colours(), kind), deep(255 - colours(), kind)])
    photo = read(pages, photometric="rgb")
    np.testing.assert_allclose(photo.pixels.astype(int), colours(), atol=1)
    assert photo.note == "the first of its pages is shown"


def test_smaller_copies_of_a_page_are_no_further_pages() -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(colours(), photometric="rgb", metadata=None)
        writer.write(colours()[::2, ::2], photometric="rgb", metadata=None, subfiletype=1)
    assert read_photo(buffer.getvalue(), "pyramid.tif").note == ""


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_palettes_are_read(kind: str) -> None:
    table = np.zeros((3, 2 ** (8 * np.dtype(kind).itemsize)), np.uint16)
    table[:, 1], table[:, 2] = np.array(RED) * 257, np.array(GREEN) * 257
    table[:, 3] = 65535
    values = np.ones((HEIGHT, WIDTH), kind)
    values[20:] = 2
    photo = read(values, photometric="palette", colormap=table)
    assert tuple(photo.pixels[5, 5]) == RED
    assert tuple(photo.pixels[35, 5]) == GREEN


@pytest.mark.parametrize("kind", ["u1", "u2", "u4"])
def test_inks_are_read(kind: str) -> None:
    values = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    values[..., 1:3] = 255
    photo = read(deep(values, kind), photometric="separated")
    np.testing.assert_allclose(photo.pixels[5, 5].astype(int), (255, 0, 0), atol=4)


def test_lab_of_sixteen_bits_is_read_like_that_of_eight() -> None:
    lab = np.array([[[60, 40, -30]]]).repeat(16, 0).repeat(16, 1)
    eight = np.stack([lab[..., 0] * 255 // 100, lab[..., 1], lab[..., 2]], axis=-1)
    few = read(eight.astype(np.int16).astype(np.uint8), photometric="cielab")
    sixteen = np.stack([lab[..., 0] * 65535 // 100, lab[..., 1] * 256, lab[..., 2] * 256], axis=-1)
    many = read(sixteen.astype(np.int32).astype(np.uint16), photometric="cielab")
    np.testing.assert_allclose(many.pixels.astype(int), few.pixels, atol=2)
    assert many.pixels[0, 0, 0] > many.pixels[0, 0, 1]


def test_subsampled_ycbcr_is_read() -> None:
    buffer = io.BytesIO()
    Image.fromarray(colours()).convert("YCbCr").save(buffer, "TIFF", compression="jpeg", quality=95)
    photo = read_photo(buffer.getvalue(), "a.tif")
    np.testing.assert_allclose(photo.pixels[5, 5].astype(int), RED, atol=10)


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
"""How a camera stores an upright picture under each orientation."""


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_tag_is_applied_once(kind: str, orientation: int) -> None:
    stored = np.ascontiguousarray(STORED[orientation](deep(colours(), kind)))
    photo = read(stored, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    np.testing.assert_allclose(photo.pixels.astype(int), colours(), atol=1)


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("i2", [-50, 0, 50], [0, 128, 255]),
        ("i1", [-50, 0, 50], [0, 128, 255]),
        ("f4", [-2.5, 0, 2.5], [0, 128, 255]),
        ("f4", [0, 0.75, 1.5], [0, 128, 255]),
        ("f8", [0, 128, 255], [0, 128, 255]),
        ("u4", [1e5, 15e4, 2e5], [0, 128, 255]),
        ("i2", [0, 2048, 4095], [0, 128, 255]),
        ("u2", [0, 2048, 4095], [0, 128, 255]),
    ],
)
@pytest.mark.parametrize("photometric", ["minisblack", "rgb"])
def test_values_of_any_range_are_scaled(kind: str, values: list[float], expected: list[int], photometric: str) -> None:
    row = np.repeat(np.array(values).astype(kind), 4)
    picture = np.tile(row, (8, 1))
    if photometric == "rgb":
        picture = np.repeat(picture[..., None], 3, axis=-1)
    photo = read(picture, photometric=photometric)
    np.testing.assert_array_equal(photo.pixels[3, ::4, 1], expected)


def test_the_value_for_no_value_does_not_stretch_the_others() -> None:
    heights = np.tile(np.array([-9999, 300, 350, 400], np.float32).repeat(4), (8, 1))
    photo = read(heights, photometric="minisblack", extratags=[(42113, "s", 0, "-9999", True)])
    np.testing.assert_array_equal(photo.pixels[0, ::4, 0], [75, 75, 87, 100])


# --- what is refused --------------------------------------------------------------------------------------------------


def refusal(data: bytes, limits: ImageLimits | None = None) -> str:
    with pytest.raises(ImageError) as caught:
        read_photo(data, "a.tif", limits or ImageLimits())
    message = str(caught.value)
    assert message.startswith("a.tif: expected ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"photometric": "rgb", "compression": "png"}, "one with PNG compression"),
        ({"photometric": "rgb", "compression": "jpegxl"}, "one with JPEGXL compression"),
        ({"photometric": "icclab"}, "one whose colours are stored as ICCLAB"),
    ],
)
def test_a_kind_that_is_not_read_is_named_and_not_called_damaged(options: dict[str, object], what: str) -> None:
    message = refusal(tiff(colours(), **options))
    assert what in message
    assert "damaged" not in message


def test_complex_numbers_are_named() -> None:
    assert "in a form that is no number" in refusal(tiff(grey().astype(np.complex64), photometric="minisblack"))


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
@pytest.mark.parametrize("compression", [None, "lzw", "deflate"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_tiff_is_refused(kind: str, compression: str | None, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    data = tiff(deep(noise, kind), photometric="rgb", compression=compression, rowsperstrip=8)
    assert "damaged" in refusal(data[: int(len(data) * share)])


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_a_tiff_over_the_pixel_limit_is_refused_from_its_header(kind: str) -> None:
    message = refusal(tiff(deep(colours(), kind), photometric="rgb"), ImageLimits(max_pixels=HEIGHT * WIDTH - 1))
    assert "got 60 x 40 pixels" in message


def test_a_tiff_of_few_pixels_and_many_bytes_is_refused_before_it_is_decoded() -> None:
    bands = np.zeros((HEIGHT, WIDTH, 40), np.float32)
    data = tiff(bands, photometric="minisblack", compression="deflate", planarconfig="contig")
    message = refusal(data, ImageLimits(max_pixels=HEIGHT * WIDTH))
    assert "expected a picture that takes at most 0 MB once decoded" in message


def test_a_tile_far_larger_than_its_page_is_refused() -> None:
    data = bytearray(tiff(deep(colours(), "u2"), photometric="rgb", tile=(16, 16), compression="lzw"))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        places = [file.pages[0].tags[tag].valueoffset for tag in (322, 323)]
        size = file.pages[0].tags[322].dtype
    for place in places:
        data[place : place + 4] = struct.pack("<I", 60000) if size == 4 else struct.pack("<HH", 60000, 0)
    assert "once decoded" in refusal(bytes(data))


def test_a_piece_larger_than_its_page_is_refused() -> None:
    large = io.BytesIO()
    Image.new("RGB", (900, 900)).save(large, "JPEG2000")
    small = tiff(colours(), photometric="rgb", compression="jpeg2000")
    with tifffile.TiffFile(io.BytesIO(small)) as file:
        page = file.pages[0]
        place, count = page.tags[273].valueoffset, page.tags[279].valueoffset
    data = bytearray(small)
    data[place : place + 4] = struct.pack("<I", len(small))
    data[count : count + 4] = struct.pack("<I", len(large.getvalue()))
    assert "damaged" in refusal(bytes(data) + large.getvalue())
