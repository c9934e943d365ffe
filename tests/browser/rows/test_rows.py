"""One row in a real browser: the cursor that all panels share, and boxes by mouse, finger and keyboard."""

from __future__ import annotations

import base64
import io
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from convfe_core.drawing.colour_maps import colour_table, colour_values
from pages.charts.packing import packed_array
from tests.browser.rows import row_page
from tests.browser.rows.row_page import HEIGHT, LONGEST, STRIDES, WIDTH, maps_at
from tests.support.servers import serve

PANELS = ["Coarse max", "Coarse mean", "Fine max", "Fine mean"]


@pytest.fixture(scope="module")
def address(tab: Page, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("row")
    with serve(folder, script=Path(row_page.__file__)) as server:
        yield server.address
        tab.goto("about:blank")
    assert "Traceback" not in (folder / "log").read_text()


def open_row(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator(".js-plotly-plot .convfe-map")).to_have_count(4)
    expect(page.locator(".convfe-best")).to_have_count(1)  # what is drawn last


@pytest.fixture
def row(page: Page, address: str) -> Page:
    open_row(page, address)
    return page


@pytest.fixture
def untouched(tab: Page, address: str) -> Page:
    """The row for tests that change nothing of it: as the one before left it, or else opened."""
    expect.set_options(timeout=60_000)
    if not tab.url.startswith(address):
        open_row(tab, address)
    return tab


def panel(page: Page, number: int) -> dict[str, float]:
    """Where a panel is on the screen: the photograph, then the maps."""
    found = page.locator(".convfe-figure").evaluate(
        """(figure, number) => {
            const chart = figure.querySelector('.js-plotly-plot'), {left, top, width} = figure.getBoundingClientRect();
            const scale = width / figure.offsetWidth, layout = chart._fullLayout;
            const [x, y] = [layout[`xaxis${number + 2}`], layout.yaxis2];
            return {x: left + scale * x._offset, y: top + scale * y._offset,
                    width: scale * x._length, height: scale * y._length};
        }""",
        number,
    )
    return dict(found)


def on_screen(page: Page, number: int, x: float, y: float) -> tuple[float, float]:
    """A place of the photograph on a panel."""
    place = panel(page, number)
    return place["x"] + x / WIDTH * place["width"], place["y"] + y / HEIGHT * place["height"]


def outlined_cells(page: Page) -> list[tuple[float, float, float, float]]:
    """Left, top, right and bottom of the cells that the cursor outlines, in pixels of the photograph."""
    cells = []
    for number, cell in enumerate(page.locator(".convfe-cell").all()[1:], start=1):
        frame, box = panel(page, number), cell.bounding_box()
        assert box is not None
        across, down = WIDTH / frame["width"], HEIGHT / frame["height"]
        left, top = (box["x"] - frame["x"]) * across, (box["y"] - frame["y"]) * down
        cells.append((left, top, left + box["width"] * across, top + box["height"] * down))
    return cells


def test_one_cursor_marks_the_cell_of_the_same_place_in_every_map(untouched: Page) -> None:
    for under, place in itertools.product((0, 1, 4), [(100.0, 100.0), (290.0, 201.0), (430.0, 20.0)]):
        untouched.mouse.move(*on_screen(untouched, under, *place))
        expect(untouched.locator(".convfe-readout")).to_contain_text(f"pixel x {place[0]:.0f}, y {place[1]:.0f}")
        for (left, top, right, bottom), label in zip(
            outlined_cells(untouched), ["Coarse"] * 2 + ["Fine"] * 2, strict=True
        ):
            maps, stride = maps_at(label), STRIDES[label] * WIDTH / LONGEST
            column, line = abs(maps.centres_x - place[0]).argmin(), abs(maps.centres_y - place[1]).argmin()
            assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx(
                (maps.centres_x[column], maps.centres_y[line]), abs=3
            )
            assert abs((left + right) / 2 - place[0]) <= stride / 2 + 3
            assert abs((top + bottom) / 2 - place[1]) <= stride / 2 + 3


@pytest.mark.slow
def test_every_map_tells_its_value_and_percentile_there(untouched: Page) -> None:
    untouched.mouse.move(*on_screen(untouched, 1, 100, 100))
    expect(untouched.locator(".convfe-readout")).to_contain_text("Coarse max: 22, percentile")
    expect(untouched.locator(".convfe-readout")).to_contain_text("cell row 2, column 2")
    values = [words.split(" · ")[0] for words in untouched.locator(".convfe-numbers").all_text_contents() if words]
    expected = []
    for label in STRIDES:
        maps = maps_at(label)
        cell = abs(maps.centres_y - 100).argmin(), abs(maps.centres_x - 100).argmin()
        expected += [maps.max[cell], maps.mean[cell]]
    assert [float(value) for value in values] == pytest.approx(expected)


@pytest.mark.slow
def test_the_cursor_goes_when_the_mouse_does(untouched: Page) -> None:
    untouched.mouse.move(*on_screen(untouched, 0, 100, 90))
    expect(untouched.locator(".convfe-cursor")).to_be_visible()
    untouched.mouse.move(1, 1)
    expect(untouched.locator(".convfe-cursor")).not_to_be_visible()
    expect(untouched.locator(".convfe-readout")).to_be_empty()


@pytest.mark.slow
def test_the_cell_at_a_place_is_the_nearest_one(untouched: Page) -> None:
    asked = """async ([grid, places]) => {
        const {cellAt} = await import('/_stcore/bidi-components/convfe.rows/panels.js');
        return places.map(([x, y]) => cellAt(grid, x, y));
    }"""
    grid = {"x0": 8, "dx": 16, "columns": 4, "y0": 24, "dy": -16, "rows": 2}  # upside down, as some networks are
    places = [[0, 24], [15.9, 24], [16, 24], [63.9, 1], [64, 1], [-0.1, 24], [8, 32.1], [8, -0.1]]
    found = untouched.evaluate(asked, [grid, places])
    assert [cell and (cell["row"], cell["column"]) for cell in found] == [
        *((0, 0), (0, 0), (0, 1), (1, 3)),
        *(None, None, None, None),
    ]


@pytest.mark.slow
def test_a_smoothed_map_has_the_cells_values_at_their_centres_and_straight_lines_between(untouched: Page) -> None:
    asked = """async cells => {
        const {finer} = await import('/_stcore/bidi-components/convfe.rows/maps.js');
        return finer(cells);
    }"""
    values = np.random.default_rng(0).normal(size=(4, 6))
    found = untouched.evaluate(asked, {"z": values.tolist(), "x0": 8, "dx": 16, "y0": 24, "dy": -16})
    x, y = (found[f"{axis}0"] + found[f"d{axis}"] * np.arange(count) for axis, count in (("x", 30), ("y", 20)))
    across = np.array([np.interp(x, 8 + 16 * np.arange(6), line) for line in values])
    expected = np.array([np.interp(-y, -24 + 16 * np.arange(4), line) for line in across.T]).T
    np.testing.assert_allclose(found["z"], expected, atol=1e-9)
    np.testing.assert_allclose(np.array(found["z"])[2::5, 2::5], values)
    edges = [found[f"{axis}0"] - found[f"d{axis}"] / 2 for axis in "xy"]
    assert edges == pytest.approx([0, 32])  # of the first cell


PAINT = """async ([traces, colouring]) => {
    const {paint} = await import('/_stcore/bidi-components/convfe.rows/painting.js');
    const photo = {source: 'data:,', xref: 'x', yref: 'y'};
    return paint({data: traces, layout: {images: [photo, {name: 'scale'}]}}, ['x', 'y'], colouring).images;
}"""


def pixels(picture: dict) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture["source"].partition(",")[2]))))


@pytest.mark.slow
def test_a_map_becomes_a_picture_of_its_cells_in_the_colours_of_a_file(untouched: Page) -> None:
    values = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    colours = np.random.default_rng(1).integers(0, 256, (2, 3, 3))
    lie = {"x0": 8, "dx": 16, "y0": 10, "dy": 20, "xaxis": "x2", "yaxis": "y2"}
    traces = [
        {"type": "heatmap", "z": values.tolist(), "zmin": -1, "zmax": 1.5, **lie},
        {"type": "heatmap", "z": values.tolist(), "zmin": -1, "zmax": 1.5, **lie, "y0": 70, "dy": -20},
        {"type": "image", "z": colours.tolist(), **lie},
    ]
    colouring = {"table": packed_array(colour_table("Magma")), "smoothed": False, "opacity": 1}
    *maps, photo, scale = untouched.evaluate(PAINT, [traces, colouring])
    expected = colour_values(values, (-1, 1.5), "Magma")
    np.testing.assert_array_equal(pixels(maps[0])[..., :3], expected)
    np.testing.assert_array_equal(pixels(maps[1])[..., :3], expected[::-1])  # cells that run upwards lie there
    np.testing.assert_array_equal(pixels(maps[2])[..., :3], colours)
    np.testing.assert_array_equal(pixels(scale)[0, :, :3], colour_table("Magma"))
    assert [maps[0][name] for name in ("x", "sizex", "y", "sizey")] == [0, 6 * 16, 0, 4 * 20]
    assert [maps[1][name] for name in ("x", "sizex", "y", "sizey")] == [0, 6 * 16, 0, 4 * 20]
    assert photo["source"] == "data:,"


@pytest.mark.slow
def test_a_cell_without_a_number_is_clear_and_below_a_map_that_is_not_opaque_lies_the_photograph(
    untouched: Page,
) -> None:
    trace = {"type": "heatmap", "z": [[0, None]], "zmin": 0, "zmax": 1, "x0": 1, "dx": 2, "y0": 1, "dy": 2}
    colouring = {"table": packed_array(colour_table("Viridis")), "smoothed": False, "opacity": 0.5}
    below, shown, *_ = untouched.evaluate(PAINT, [[{**trace, "xaxis": "x2", "yaxis": "y2"}], colouring])
    assert pixels(shown)[0, :, 3].tolist() == [255, 0]
    assert shown["opacity"] == 0.5
    assert [below[name] for name in ("source", "xref", "yref")] == ["data:,", "x2", "y2"]


@pytest.mark.slow
def test_remarks_of_python_stand_at_their_panels(untouched: Page) -> None:
    expect(untouched.locator(".convfe-best")).to_have_count(1)
    assert untouched.locator(".convfe-note").all_text_contents() == ["0.71", "0.93"]
    best, frame = untouched.locator(".convfe-best").bounding_box(), panel(untouched, PANELS.index("Fine max") + 1)
    assert best is not None
    assert best["x"] == pytest.approx(frame["x"], abs=3)
    assert best["width"] == pytest.approx(frame["width"], abs=6)


@pytest.mark.slow
def test_a_double_click_shows_the_whole_photograph_also_where_it_was_shown(row: Page) -> None:
    expect(row.locator(".convfe-cell").first).to_be_attached()
    before = row.evaluate(RANGES)
    row.mouse.dblclick(*on_screen(row, 1, 200, 150))
    row.mouse.move(1, 1)
    expect(row.locator(".convfe-readout")).to_be_empty()
    assert row.evaluate(RANGES) == before
    drag_over = on_screen(row, 1, 100, 100), on_screen(row, 1, 200, 200)
    row.mouse.move(*drag_over[0])
    row.mouse.down()
    row.mouse.move(*drag_over[1], steps=3)
    row.mouse.up()
    row.wait_for_function(f"before => JSON.stringify(({RANGES})()) !== JSON.stringify(before)", arg=before)
    row.mouse.dblclick(*on_screen(row, 1, 150, 150))
    row.wait_for_function(f"before => JSON.stringify(({RANGES})()) === JSON.stringify(before)", arg=before)


RANGES = """() => { const layout = document.querySelector('.js-plotly-plot')._fullLayout;
    return layout._subplots.xaxis.map(name => layout[name.replace('x', 'xaxis')].range); }"""


def boxes(page: Page) -> list[dict]:
    """The boxes that Python was told last, from below the row."""
    return json.loads(page.get_by_test_id("stCode").inner_text())


def wait_for_boxes(page: Page, number: int) -> list[dict]:
    expect(page.get_by_test_id("stCode")).to_have_text(re.compile(rf"^\[({{[^}}]*}}(, )?){{{number}}}\]$"))
    return boxes(page)


def mark(page: Page) -> Locator:
    """Turn marking on; where boxes are drawn."""
    page.get_by_text("Mark objects").click()
    sheet = page.locator(".convfe-sheet")
    expect(sheet).to_be_visible()
    return sheet


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From one place of the photograph to another."""
    page.mouse.move(*on_screen(page, 0, *start))
    page.mouse.down()
    page.mouse.move(*on_screen(page, 0, *end), steps=3)
    page.mouse.up()


def edges(box: dict) -> list[float]:
    return [box[name] for name in ("x0", "y0", "x1", "y1")]


def test_boxes_are_drawn_moved_and_resized_by_mouse_and_a_click_makes_none(row: Page) -> None:
    mark(row)
    drag(row, (50, 40), (150, 140))
    assert edges(wait_for_boxes(row, 1)[0]) == pytest.approx([50, 40, 150, 140], abs=4)
    drag(row, (300, 200), (700, 150))  # beyond the photograph, and upwards
    _, other = wait_for_boxes(row, 2)
    assert edges(other) == pytest.approx([300, 150, WIDTH, 200], abs=4)
    drag(row, (100, 90), (130, 100))
    expect(row.get_by_test_id("stCode")).to_contain_text(re.compile(r'"x0": (7[89]|8[0-2])'))
    assert edges(boxes(row)[0]) == pytest.approx([80, 50, 180, 150], abs=6)
    drag(row, (180, 150), (220, 170))  # the corner of the box that was moved last
    expect(row.get_by_test_id("stCode")).to_contain_text(re.compile(r'"x1": 2[12]\d'))
    assert edges(boxes(row)[0]) == pytest.approx([80, 50, 220, 170], abs=8)
    assert edges(boxes(row)[1]) == edges(other)
    row.mouse.click(*on_screen(row, 0, 300, 250))  # on no box
    expect(row.get_by_role("button", name="Delete it")).to_be_disabled()
    expect(row.locator(".convfe-box")).to_have_count(2)


@pytest.mark.slow
def test_boxes_are_made_moved_named_and_deleted_without_a_mouse_stay_with_other_colours_and_follow_python(
    row: Page,
) -> None:
    mark(row)
    row.get_by_role("button", name="Add a box").press("Enter")
    before = edges(wait_for_boxes(row, 1)[0])
    expect(row.locator(".convfe-box")).to_be_focused()
    row.keyboard.press("ArrowRight")
    row.keyboard.press("Shift+ArrowDown")
    row.keyboard.press("Alt+Shift+ArrowRight")
    expect(row.get_by_test_id("stCode")).to_contain_text(f'"x1": {before[2] + 11:.2f}')  # what the last key changed
    assert edges(boxes(row)[0]) == pytest.approx([before[0] + 1, before[1] + 10, before[2] + 11, before[3] + 10])
    name = row.get_by_role("combobox", name="Name of the chosen box")
    name.fill("dog")
    name.press("Enter")
    expect(row.get_by_test_id("stCode")).to_contain_text('"label": "dog"')
    row.locator(".convfe-box").focus()
    row.keyboard.press("Delete")
    assert wait_for_boxes(row, 0) == []
    expect(row.locator(".convfe-box")).to_have_count(0)

    drag(row, (50, 40), (150, 140))
    kept = wait_for_boxes(row, 1)
    shown = row.locator(".convfe-map").first.get_attribute("href") or ""
    row.get_by_role("combobox", name="Colours").press("ArrowDown")
    row.get_by_role("option", name="Inferno").click()
    expect(row.locator(".convfe-map").first).not_to_have_attribute("href", shown)
    expect(row.locator(".convfe-box")).to_have_count(1)
    assert boxes(row) == kept
    row.get_by_role("button", name="Two boxes").click()
    expect(row.locator(".convfe-box")).to_have_count(2)
    expect(row.locator(".convfe-name").first).to_have_text("cat")
    expect(row.locator(".convfe-outline")).to_have_count(4)


@pytest.mark.slow
def test_a_finger_draws_a_box_and_reads_a_cell(browser: Browser, address: str) -> None:
    context = browser.new_context(viewport={"width": 800, "height": 600}, has_touch=True, is_mobile=True)
    page = context.new_page()
    open_row(page, address)
    page.touchscreen.tap(*on_screen(page, 1, 100, 100))
    expect(page.locator(".convfe-readout")).to_contain_text("cell row 2, column 2")
    mark(page).scroll_into_view_if_needed()
    touch = context.new_cdp_session(page)
    (x0, y0), (x1, y1) = on_screen(page, 0, 50, 40), on_screen(page, 0, 150, 140)
    for kind, points in (
        ("touchStart", [{"x": x0, "y": y0}]),
        ("touchMove", [{"x": (x0 + x1) / 2, "y": (y0 + y1) / 2}]),
        ("touchMove", [{"x": x1, "y": y1}]),
        ("touchEnd", []),
    ):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert edges(wait_for_boxes(page, 1)[0]) == pytest.approx([50, 40, 150, 140], abs=9)  # whole pixels of the screen
    context.close()
