"""Centres of cells worked out by hand."""

import pytest

from convfe_core.base.errors import SpecError
from convfe_core.graph.cell_geometry import CellGrid, Finer, Margin, SpatialPath, Step, Window


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
