"""Where a photograph goes on a network's input."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from convfe_core.photos.letterbox import OWN_SIZE_CAP, Frame, place_on_canvas, plan_frame, thumbnail_data_uri
from convfe_core.photos.photo import Photo


def photo_of(pixels: np.ndarray) -> Photo:
    return Photo("made.png", pixels, "0" * 64)


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
def test_a_thumbnail_is_small_and_never_enlarged(size: tuple[int, int], expected: tuple[int, int]) -> None:
    photo = photo_of(np.full((size[1], size[0], 3), 90, np.uint8))
    head, _, body = thumbnail_data_uri(photo).partition(",")
    assert head == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(body))) as image:
        assert image.format == "WEBP"
        assert image.size == expected
