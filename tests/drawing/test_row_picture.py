"""A row's picture shows every cell where it lies, in its own colour."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageColor

from convfe_core.drawing.colour_maps import BOX_COLOUR, NO_VALUE, colour_table
from convfe_core.drawing.row_picture import cell_borders, row_png
from convfe_core.geometry.cell_geometry import CellGrid
from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.photos.letterbox import Frame
from convfe_core.photos.photo import Photo

MakeMaps = Callable[..., FeatureMaps]
NO_CELL = (236, 239, 242)


def drawn(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def pixels_of(picture: np.ndarray, colour: object) -> int:
    return int((picture == np.asarray(colour)).all(axis=2).sum())


def block(picture: np.ndarray, colour: object) -> tuple[int, int, int, int]:
    """(top, left, height, width) of the only block of a colour, which must be full."""
    rows, columns = np.nonzero((picture == np.asarray(colour)).all(axis=2))
    top, left = rows.min(), columns.min()
    height, width = rows.max() - top + 1, columns.max() - left + 1
    assert len(rows) == height * width
    return int(top), int(left), int(height), int(width)


def test_borders_are_halfway_between_centres_and_cut_to_the_photograph(make_maps: MakeMaps) -> None:
    maps = make_maps(np.ones((2, 3)), np.ones((2, 3)))
    vertical, horizontal = cell_borders(maps)
    assert vertical.tolist() == [0, 32, 64]
    assert horizontal.tolist() == [0, 32, 64, 96]
    odd = make_maps(
        np.ones((2, 3)),
        np.ones((2, 3)),
        frame=Frame(500, 900, 50, 90, 64, 96),
        grid=CellGrid(2, 3, 32.0, 32.0, 12.0, 0.0),
    )
    vertical, horizontal = cell_borders(odd)
    assert vertical.tolist() == [0, 280, 500]
    assert horizontal.tolist() == [0, 160, 480, 800]


def test_every_cell_is_drawn_where_it_lies(plain_photo: Photo, make_maps: MakeMaps) -> None:
    # Values whose colours are no end of the scale, which the scale below the panel shows as well.
    values = [[50, 80, 100], [130, 160, np.nan]]
    maps = make_maps(values, np.zeros((2, 3)))
    picture = drawn(
        row_png(plain_photo, [maps], reductions=("max",), limits={("a", "VGG16", "max"): (0, 255)}, panel=192)
    )
    top, left, height, width = block(picture, plain_photo.pixels[0, 0])
    assert (height, width) == (128, 192)
    missing = block(picture, NO_VALUE)
    assert missing[0] == top + 64
    assert missing[2:] == (64, 64)
    panel_left = missing[1] - 128
    assert panel_left > left + width
    panel = picture[top : top + 128, panel_left : panel_left + 192]
    for row in range(2):
        for column in range(3):
            cell = panel[row * 64 : (row + 1) * 64, column * 64 : (column + 1) * 64]
            value = values[row][column]
            expected = NO_VALUE if np.isnan(value) else colour_table("Viridis")[int(value)]
            np.testing.assert_array_equal(cell, np.broadcast_to(expected, cell.shape))


def test_what_no_cell_covers_stays_light(plain_photo: Photo, make_maps: MakeMaps) -> None:
    maps = make_maps([[np.nan, np.nan]], [[0, 0]], grid=CellGrid(1, 2, 32.0, 32.0, 16.0, 16.0))
    picture = drawn(row_png(plain_photo, [maps], reductions=("max",), panel=192))
    assert block(picture, NO_VALUE)[2:] == (64, 128)
    assert pixels_of(picture, NO_CELL) == 192 * 128 - 128 * 64


def test_both_reductions_of_every_backbone_are_there(plain_photo: Photo, make_maps: MakeMaps) -> None:
    nothing = np.full((2, 3), np.nan)  # so that every panel is of one colour
    two = [make_maps(nothing, nothing, label=label) for label in ("VGG16", "ResNet50")]
    four, one = drawn(row_png(plain_photo, two)), drawn(row_png(plain_photo, two[:1], reductions=("mean",)))
    assert four.shape[0] == one.shape[0]
    letters = 200  # whose smoothed edges may happen to be of that colour
    assert 0 <= pixels_of(four, NO_VALUE) - 4 * 320 * 213 < letters
    assert 0 <= pixels_of(one, NO_VALUE) - 320 * 213 < letters


def test_given_limits_decide_the_colours(plain_photo: Photo, make_maps: MakeMaps) -> None:
    maps = make_maps(np.full((2, 3), 5), np.full((2, 3), 5))
    low = {("a", "VGG16", "max"): (5.0, 10.0), ("a", "VGG16", "mean"): (0.0, 5.0)}
    picture = drawn(row_png(plain_photo, [maps], limits=low, colour_map="Plasma"))
    panel = 320 * 213
    assert pixels_of(picture, colour_table("Plasma")[0]) >= panel
    assert pixels_of(picture, colour_table("Plasma")[255]) >= panel


@pytest.mark.parametrize("shape", [(8, 160), (160, 8), (8, 8)])
def test_odd_shapes_names_and_labels_are_drawn(make_maps: MakeMaps, shape: tuple[int, int]) -> None:
    photo = Photo("猫 😀 Ünï " + "x" * 70, np.zeros((*shape, 3), np.uint8), "a")
    maps = make_maps(
        np.ones((1, 1)),
        np.ones((1, 1)),
        label="ResNet152V2:untrained, a label longer than its columns " * 3,
        frame=Frame(*shape, *shape, 160, 160),
        grid=CellGrid(1, 1, 160.0, 160.0, 4.0, 4.0),
    )
    picture = drawn(row_png(photo, [maps]))
    assert max(picture.shape) < 1200
    margin = 8
    assert (picture[:, -margin:] == 255).all()


def test_a_photograph_without_maps_is_drawn_alone(plain_photo: Photo) -> None:
    assert pixels_of(drawn(row_png(plain_photo, [])), plain_photo.pixels[0, 0]) == 320 * 213


def test_boxes_are_drawn_on_the_photograph_and_on_every_map(plain_photo: Photo, make_maps: MakeMaps) -> None:
    maps = make_maps(np.zeros((2, 3)), np.zeros((2, 3)))
    outline = drawn(row_png(plain_photo, [maps], boxes=[(24, 16, 72, 48)]))
    bare = pixels_of(drawn(row_png(plain_photo, [maps])), ImageColor.getrgb(BOX_COLOUR))
    one = pixels_of(drawn(row_png(plain_photo, [], boxes=[(24, 16, 72, 48)])), ImageColor.getrgb(BOX_COLOUR))
    across, down = 320 // 2, round(213 / 2)
    assert bare == 0
    assert one == pytest.approx(2 * 2 * (across + down), rel=0.05)  # lines of 2 pixels
    assert pixels_of(outline, ImageColor.getrgb(BOX_COLOUR)) == 3 * one


def test_maps_of_another_photograph_are_a_programming_error(plain_photo: Photo, make_maps: MakeMaps) -> None:
    with pytest.raises(ValueError, match=r"Expected maps of a\.png. Received: maps of b\.png"):
        row_png(plain_photo, [make_maps([[1]], [[1]], digest="b")])
    with pytest.raises(ValueError, match="Expected reductions among max, mean"):
        row_png(plain_photo, [], reductions=("median",))


def test_colours_are_drawn_as_they_are_on_the_cells_of_the_map(plain_photo: Photo, make_maps: MakeMaps) -> None:
    colours = np.array([[[250, 0, 0], [0, 250, 0], [0, 0, 250]]] * 2, np.uint8)
    maps = replace(make_maps(np.zeros((2, 3)), np.zeros((2, 3))), pca=colours)
    picture = drawn(row_png(plain_photo, [maps], reductions=("pca",)))
    counts = [pixels_of(picture, tuple(colour)) for colour in colours[0]]
    assert sum(counts) == 320 * 213
    assert counts == pytest.approx([320 * 213 / 3] * 3, rel=0.02)
