"""How a photograph's maps fill a window."""

import pytest

from convfe_core.drawing.map_figure import FOOT_HEIGHT, HEAD_HEIGHT
from convfe_core.drawing.sheet import PANEL_GAP
from convfe_core.drawing.window_fit import NARROWEST, arrange

ROOMS = [(1200, 560), (1760, 840), (2400, 1200), (700, 900)]


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("shape", [0.5, 2 / 3, 1.0, 1.5])
@pytest.mark.parametrize("maps", [1, 2])
@pytest.mark.parametrize("backbones", [1, 2, 3, 4, 6])
def test_all_maps_fit_and_touch_an_edge_of_the_room(
    backbones: int, maps: int, shape: float, room: tuple[int, int]
) -> None:
    across, width = arrange(backbones, maps, shape, room)
    lines = -(-backbones // across)
    wide = (1 + across * maps) * (width + PANEL_GAP) - PANEL_GAP
    tall = lines * (width * shape + HEAD_HEIGHT + FOOT_HEIGHT)
    assert wide <= room[0]
    assert tall <= room[1]
    one_more = (1 + across * maps) * (width + 1 + PANEL_GAP) - PANEL_GAP
    assert one_more > room[0] or lines * ((width + 1) * shape + HEAD_HEIGHT + FOOT_HEIGHT) > room[1]


@pytest.mark.parametrize(
    ("backbones", "shape", "across"), [(1, 0.75, 1), (2, 2 / 3, 1), (2, 1.5, 2), (4, 0.75, 2), (4, 0.2, 1)]
)
def test_tall_photographs_stand_in_fewer_lines_than_wide_ones(backbones: int, shape: float, across: int) -> None:
    assert arrange(backbones, 2, shape, (1200, 560))[0] == across


def test_a_room_too_small_for_anything_still_has_panels() -> None:
    assert arrange(6, 2, 1.0, (200, 100))[1] == NARROWEST
