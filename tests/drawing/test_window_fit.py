"""How a photograph's maps fill a window."""

import pytest

from convfe_core.drawing.map_figure import FOOT_HEIGHT, HEAD_HEIGHT
from convfe_core.drawing.sheet import PANEL_GAP
from convfe_core.drawing.window_fit import LEAST_SHARE, NARROWEST, arrange, share_width

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


@pytest.mark.parametrize("room", [390, 952, 1086, 1506])
@pytest.mark.parametrize("wished", [130, 180, 340])
@pytest.mark.parametrize("maps", [1, 2, 3])
@pytest.mark.parametrize("backbones", range(1, 10))
def test_backbones_share_a_line_as_long_as_their_panels_stay_large_enough(
    backbones: int, maps: int, wished: int, room: int
) -> None:
    across, width = share_width(backbones, maps, wished, room)
    lines = -(-backbones // across)
    assert NARROWEST <= width <= wished
    assert (1 + across * maps) * (width + PANEL_GAP) - PANEL_GAP <= room
    fuller = -(-backbones // (lines - 1)) if lines > 1 else backbones  # what a line less would need
    narrower = (room + PANEL_GAP) / (1 + fuller * maps) - PANEL_GAP
    assert lines == 1 or narrower < max(NARROWEST + 1, LEAST_SHARE * wished)
    assert across * lines - backbones < lines  # the lines are as even as can be


@pytest.mark.parametrize(("room", "backbones"), [(952, 3), (1086, 4), (1506, 6)])
def test_windows_of_1366_1500_and_1920_pixels_show_three_four_and_six_backbones_in_a_line(
    room: int, backbones: int
) -> None:
    assert share_width(backbones, 2, 180, room)[0] == backbones
