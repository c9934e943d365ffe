"""What dimensions of tensors run along, through reshapes and permutations worked out by hand."""

import pytest

from convfe_core.geometry.layouts import Layout, UnknownPlaceError, lined_up, map_layout

MAP = map_layout(0, 6, 4)


def test_a_map_knows_which_way_it_stands() -> None:
    assert MAP.map_axes == (0, 1)
    assert MAP.permuted((0, 2, 1, 3)).map_axes == (1, 0)
    assert MAP.permuted((0, 3, 1, 2)).map_axes is None
    assert MAP.placeless([1]).map_axes is None


def test_a_row_of_tokens_becomes_the_map_that_it_was() -> None:
    row = MAP.reshaped((None, 6, 4, 8), (None, 24, 8))
    assert row.reshaped((None, 24, 8), (None, 6, 4, 8)) == MAP
    with pytest.raises(UnknownPlaceError):
        row.reshaped((None, 24, 8), (None, 4, 6, 8))


def test_windows_of_a_transformer_are_put_together_again() -> None:
    cut = MAP.reshaped((None, 6, 4, 8), (None, 3, 2, 2, 2, 8)).permuted((0, 1, 3, 2, 4, 5))
    windows = cut.reshaped((None, 3, 2, 2, 2, 8), (None, 4, 8))
    assert windows.map_axes is None
    back = windows.reshaped((None, 4, 8), (None, 3, 2, 2, 2, 8)).permuted((0, 1, 3, 2, 4, 5))
    assert back.reshaped((None, 3, 2, 2, 2, 8), (None, 6, 4, 8)) == MAP
    askew = windows.reshaped((None, 4, 8), (None, 3, 2, 2, 2, 8))
    assert askew.reshaped((None, 3, 2, 2, 2, 8), (None, 6, 4, 8)).map_axes is None


def test_a_map_of_any_size_becomes_a_row_of_tokens() -> None:
    row = map_layout(0, None, None).reshaped((None, None, None, 8), (None, None, 8))
    assert row.placed
    with pytest.raises(UnknownPlaceError):
        row.reshaped((None, None, 8), (None, 6, 4, 8))


def test_what_runs_along_different_axes_cannot_be_added() -> None:
    assert lined_up([MAP, Layout(()), MAP.placeless([1, 2])], 4) == MAP
    with pytest.raises(UnknownPlaceError):
        lined_up([MAP, MAP.permuted((0, 2, 1, 3))], 4)
