"""Colours are those that Plotly shows in the browser."""

from __future__ import annotations

import numpy as np
import pytest

from convfe_core.drawing.colour_maps import COLOUR_MAPS, NO_VALUE, colour_table, colour_values


@pytest.mark.parametrize("name", COLOUR_MAPS)
def test_every_colour_map_has_256_colours_and_ends_apart(name: str) -> None:
    table = colour_table(name)
    assert table.shape == (256, 3)
    assert table.dtype == np.uint8
    assert not table.flags.writeable
    assert np.abs(table[0].astype(int) - table[-1]).sum() > 100


@pytest.mark.parametrize("name", [name for name in COLOUR_MAPS if name != "Turbo"])
def test_all_but_turbo_grow_brighter_with_the_value(name: str) -> None:
    brightness = colour_table(name) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(brightness) > -1).all()
    assert brightness[-1] - brightness[0] > 100


def test_uniform_maps_come_first() -> None:
    assert next(iter(COLOUR_MAPS)) == "Viridis"
    assert list(COLOUR_MAPS)[-1] == "Turbo"


def test_the_ends_of_viridis_are_its_own() -> None:
    assert colour_table("Viridis")[0].tolist() == [68, 1, 84]
    assert colour_table("Viridis")[255].tolist() == [253, 231, 37]


def test_values_take_the_colour_of_their_place() -> None:
    values = np.float32([[0, 1, 2, -5, 9], [np.nan, np.inf, -np.inf, 0.5, 1.5]])
    table = colour_table("Magma")
    expected = [
        [table[0], table[128], table[255], table[0], table[255]],
        [NO_VALUE, NO_VALUE, NO_VALUE, table[64], table[191]],
    ]
    np.testing.assert_array_equal(colour_values(values, (0, 2), "Magma"), expected)


def test_an_unknown_map_and_empty_limits_are_programming_errors() -> None:
    with pytest.raises(ValueError, match="Received: 'Jet'"):
        colour_table("Jet")
    with pytest.raises(ValueError, match="Expected limits that rise"):
        colour_values(np.zeros((1, 1), np.float32), (1, 1), "Viridis")
