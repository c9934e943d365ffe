"""Centres of cells worked out by hand."""

import pytest

from convfe_core.base.errors import SpecError
from convfe_core.geometry.axis_changes import Cut, Finer, Margin, Resized, Window
from convfe_core.geometry.cell_geometry import CellGrid, SpatialPath, Step


def path(*changes) -> SpatialPath:
    """A chain of steps that do the same down and across."""
    return SpatialPath(tuple(Step((i - 1,), (change, change)) for i, change in enumerate(changes)))


@pytest.mark.parametrize(
    ("change", "pixels", "cells", "stride", "offset"),
    [
        (Window(1, 1, "valid"), 7, 7, 1, 0.5),
        (Window(3, 1, "same"), 7, 7, 1, 0.5),
        (Window(2, 2, "valid"), 8, 4, 2, 1.0),
        (Window(2, 2, "valid"), 9, 4, 2, 1.0),
        (Window(3, 2, "valid"), 7, 3, 2, 1.5),
        (Window(3, 2, "same"), 8, 4, 2, 1.5),  # pads nothing before, one after
        (Window(3, 2, "same"), 7, 4, 2, 0.5),  # pads one on either side
        (Window(1, 2, "same"), 8, 4, 2, 0.5),
        (Window(5, 1, "valid"), 9, 5, 1, 2.5),  # kernel 3, dilation 2
        (Margin(1, 2), 4, 7, 1, -0.5),
        (Margin(-1, 0), 4, 3, 1, 1.5),
        (Finer(2, 2, "same"), 4, 8, 0.5, 0.25),
        (Finer(2, 3, "same"), 4, 8, 0.5, 0.0),
        (Finer(2, 3, "valid"), 4, 9, 0.5, 0.0),
    ],
)
def test_one_step_puts_cells_where_arithmetic_does(change, pixels, cells, stride, offset) -> None:
    assert path(change).grid(pixels, pixels) == CellGrid(cells, cells, stride, stride, offset, offset)


def test_steps_add_up() -> None:
    convolution, pooling = Window(3, 1, "valid"), Window(2, 2, "valid")
    chain = path(convolution, pooling, convolution, pooling)
    assert chain.grid(32, 18) == CellGrid(6, 3, 4, 4, 5.0, 5.0)
    assert chain.receptive_field == (10, 10)
    assert chain.strides == (4, 4)


def test_branches_meet_in_the_middle() -> None:
    shortcut, convolution = Window(1, 2, "same"), Window(3, 2, "same")
    block = SpatialPath((Step((-1,), (shortcut, shortcut)), Step((-1,), (convolution, convolution)), Step((0, 1))))
    assert block.grid(8, 7) == CellGrid(4, 4, 2, 2, 1.0, 0.5)


def test_a_global_branch_moves_nothing() -> None:
    window = Window(3, 2, "same")
    squeeze = SpatialPath((Step((-1,), (window, window)), Step((0,), everywhere=True), Step((1,)), Step((0, 2))))
    assert squeeze.grid(8, 8) == CellGrid(4, 4, 2, 2, 1.5, 1.5)
    assert not SpatialPath(squeeze.steps[:3]).placed


def test_no_steps_leave_pixels() -> None:
    assert SpatialPath(()).grid(5, 4) == CellGrid(5, 4, 1, 1, 0.5, 0.5)


def test_an_image_too_small_for_one_cell_is_named() -> None:
    with pytest.raises(SpecError, match="a side of 2 pixels"):
        path(Window(3, 2, "valid")).grid(2, 8)


def test_branches_that_do_not_meet_are_named() -> None:
    short, long = Window(2, 2, "valid"), Window(2, 2, "same")
    with pytest.raises(SpecError, match="multiples of 32"):
        SpatialPath((Step((-1,), (short, short)), Step((-1,), (long, long)), Step((0, 1)))).grid(7, 8)


def test_a_map_without_a_place_has_no_grid() -> None:
    with pytest.raises(SpecError, match="a place in the picture"):
        SpatialPath((Step((-1,), everywhere=True),)).grid(8, 8)


@pytest.mark.parametrize(
    ("change", "size", "grid"),
    [
        (Resized(4, 8), (8, 8), CellGrid(4, 8, 2, 1, 1.0, 0.5)),
        (Resized(4, 4, "crop"), (8, 12), CellGrid(4, 4, 2, 2, 1.0, 3.0)),
        (Resized(4, 4, "pad"), (8, 12), CellGrid(4, 4, 3, 3, -0.5, 1.5)),
        (Resized(4, 4, "middle"), (8, 9), CellGrid(4, 4, 1, 1, 2.5, 2.5)),  # of an odd rest one less in front
        (Resized(8, 8, "middle"), (4, 8), CellGrid(8, 8, 0.5, 0.5, 0.25, 2.25)),
    ],
)
def test_rows_and_columns_that_change_together(change, size, grid) -> None:
    assert SpatialPath((Step((-1,), change),)).grid(*size) == grid


@pytest.mark.parametrize(
    ("cut", "cells", "stride", "offset"),
    [
        (Cut(2, None), 6, 1, 2.5),
        (Cut(None, -3), 5, 1, 0.5),
        (Cut(1, None, 2), 4, 2, 1.5),
        (Cut(None, None, -1), 8, -1, 7.5),
        (Cut(1, 5), 4, 1, 1.5),
    ],
)
def test_slices_take_the_cells_that_python_takes(cut, cells, stride, offset) -> None:
    assert path(cut).grid(8, 8) == CellGrid(cells, cells, stride, stride, offset, offset)


def test_outputs_beyond_whole_kernels_are_counted() -> None:
    assert path(Finer(2, 3, "same", 0)).grid(4, 4).rows == 7
    assert path(Finer(2, 3, "valid", 1)).grid(4, 4).rows == 10


def test_evening_out_moves_a_grid_to_the_middle_unless_one_side_was_cut_off() -> None:
    halved = Window(3, 2, "same")
    assert path(halved, halved).centred(32, 32).grid(32, 32).offset_y == 2.0
    padded = path(Margin(0, 1), Window(3, 2, "valid")).centred(32, 32)  # the window's own padding
    assert padded.grid(32, 32).offset_y == 1.0
    assert path(Margin(-9, 0), halved).centred(32, 32).shift == (0.0, 0.0)
    assert path(Margin(-9, -9), halved).centred(32, 32).grid(32, 32).offset_y == 16 - 3 * 2


def test_branches_that_are_mirrored_or_moved_apart_do_not_meet() -> None:
    mirror, left, right = Cut(None, None, -1), Cut(None, -8), Cut(8, None)
    for one, other in ((Window(1, 1, "valid"), mirror), (left, right)):
        steps = (Step((-1,), (one, one)), Step((-1,), (other, other)), Step((0, 1)))
        with pytest.raises(SpecError, match="mirrored or moved"):
            SpatialPath(steps).grid(32, 32)
