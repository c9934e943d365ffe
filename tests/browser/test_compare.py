"""What a visitor sees: a real server, a real browser, no network beyond this machine.

The first two are the main path and run every time: open, look at a cell, choose a backbone, bring a photograph.
"""

from __future__ import annotations

import base64
import io
import itertools
import re
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Route, TimeoutError, expect

from convfe_core.backbones.backbone import load_backbone
from convfe_core.catalog.specs import parse_spec
from convfe_core.drawing.colour_maps import colour_values
from convfe_core.maps.extraction import extract_maps
from convfe_core.maps.feature_maps import value_range
from convfe_core.maps.input_size import Size
from convfe_core.photos.gallery import DEFAULT_SAMPLES, SAMPLES, load_sample
from pages.charts.window_width import COOKIE
from tests.browser.test_visitors import idle
from tests.support.builders import noise, png

CHART = ".js-plotly-plot"
ONE_PHOTO = f"?samples={DEFAULT_SAMPLES[0]}"
"""What most tests open: a row takes a browser a second to draw."""
HEATMAPS = """chart => (chart.traces ?? chart.data).filter(trace => trace.type === 'heatmap')
    .map(trace => ({name: trace.name, low: trace.zmin, high: trace.zmax}))"""

PICTURES = """all => all.map(one => [one.getAttribute('href'), one.getBoundingClientRect()])
    .map(([source, { left, top, width, height }]) => [source, [left, top, width, height]])"""
"""Pictures by their addresses, each with where it lies in the window, in pixels."""


def open_app(page: Page, address: str, rows: int = 3) -> None:
    page.goto(address)
    expect(page.locator(CHART)).to_have_count(rows, timeout=120_000)
    idle(page)
    for row in page.locator(".convfe-figure").all():  # drawn to its end, so that it answers the mouse
        expect(row.locator(".convfe-cell").first).to_be_attached()


def heatmaps(page: Page, row: int = 0) -> list[dict]:
    return page.locator(CHART).nth(row).evaluate(HEATMAPS)


def wait_for_maps(page: Page, names: list[str], row: int = 0) -> list[dict]:
    """The maps of a row once they are these: a row is drawn some time after the page has run."""
    page.wait_for_function(
        """([chart, row, names]) => {
            const drawn = document.querySelectorAll(chart)[row];
            const maps = (drawn?.traces ?? drawn?.data)?.filter(trace => trace.type === 'heatmap');
            return JSON.stringify(maps?.map(trace => trace.name)) === JSON.stringify(names); }""",
        arg=[CHART, row, names],
    )
    return heatmaps(page, row)


def choose(page: Page, label: str, option: str) -> None:
    """Choose from a list by keyboard; a rerun that is still under way may close the list, then it is opened again."""
    box, wanted = page.get_by_role("combobox", name=label), page.get_by_role("option", name=option)
    box.scroll_into_view_if_needed()
    for _ in range(10):
        box.press("ArrowDown")
        try:
            wanted.click(timeout=3000)
        except TimeoutError:
            continue
        return
    raise AssertionError(f"{label} offered no {option}")


def test_the_default_page_paints_its_heatmaps_without_a_network(page: Page, server: str) -> None:
    open_app(page, server)
    for row in range(3):
        wait_for_maps(page, ["TinyResNet max", "TinyResNet mean", "TinyMobileNet max", "TinyMobileNet mean"], row)
        expect(page.locator(CHART).nth(row).locator(".convfe-map")).to_have_count(6)  # PCA colours, too


def test_a_cell_shows_its_value_and_an_uploaded_photograph_gets_its_row_and_another_backbone_its_columns(
    page: Page, server: str, tmp_path: Path
) -> None:
    """One visitor: to open the page once more takes more than what is looked at."""
    open_app(page, f"{server}/{ONE_PHOTO}", rows=1)
    maps = next(extract_maps(load_backbone(parse_spec("TinyResNet")), [load_sample(DEFAULT_SAMPLES[0])], Size("own")))
    row, column = (size // 2 for size in maps.max.shape)
    panel = page.locator(CHART).first.locator(".convfe-map").first.bounding_box()
    assert panel is not None
    page.mouse.move(
        panel["x"] + panel["width"] * (column + 0.5) / maps.max.shape[1],
        panel["y"] + panel["height"] * (row + 0.5) / maps.max.shape[0],
    )
    told = page.locator(".convfe-readout").first
    expect(told).to_contain_text(f"cell row {row}, column {column}")
    value = re.search(r"max: (-?[\d.]+), percentile", told.text_content() or "")
    assert value is not None
    assert float(value.group(1)) == pytest.approx(float(maps.max[row, column]), rel=1e-3, abs=1e-3)

    picture = tmp_path / "<img src=x onerror=alert(1)>.png"
    picture.write_bytes(png(noise(120, 200)))
    alerts: list[str] = []
    page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    page.get_by_test_id("stFileUploader").locator("input[type=file]").first.set_input_files(picture)
    expect(page.locator(CHART)).to_have_count(2)
    expect(page.locator(CHART).first).to_have_attribute(
        "aria-label", re.compile(r"^<img src=x onerror=alert\(1\)>\.png")
    )
    expect(page.locator(CHART).first).to_contain_text("<img src")  # cut in the middle where there is no room
    assert alerts == []
    idle(page)

    page.get_by_test_id("stMultiSelect").locator("input").fill("MobileNet-0.25:untrained")
    page.get_by_role("option").filter(has_text="MobileNet-0.25:untrained").first.click()
    page.wait_for_function(
        f"document.querySelectorAll('{CHART}').length === 2 && [...document.querySelectorAll('{CHART}')]"
        ".every(chart => chart.traces?.filter(trace => trace.type === 'heatmap').length === 6)"
    )
    assert heatmaps(page)[-1]["name"] == "MobileNet-0.25:untrained mean"
    expect(page).to_have_url(re.compile(r"MobileNet-0\.25"))


@pytest.mark.slow
def test_a_map_has_the_colours_that_were_chosen_and_a_shared_scale_changes_them_and_one_panel_zooms_its_row(
    page: Page, server: str
) -> None:
    open_app(page, f"{server}/{ONE_PHOTO}&colours=Viridis&smooth=false", rows=1)
    maps = next(extract_maps(load_backbone(parse_spec("TinyResNet")), [load_sample(DEFAULT_SAMPLES[0])], Size("own")))
    first = page.locator(CHART).first.locator(".convfe-map").first
    shown = ""
    for colours in ("Viridis", "Inferno", "Greys"):
        if shown:
            choose(page, "Colour map", colours)
            expect(first).not_to_have_attribute("href", shown)
        shown = first.get_attribute("href") or ""
        picture = Image.open(io.BytesIO(base64.b64decode(shown.partition(",")[2]))).convert("RGB")
        expected = colour_values(maps.max, value_range([maps.max]), colours)
        np.testing.assert_allclose(np.asarray(picture, np.int16), expected, atol=2)

    own = heatmaps(page)
    choose(page, "Scale shared by", "This image")
    page.wait_for_function(
        f"""() => {{ const chart = document.querySelector('{CHART}');  // between two drawings there is none
        if (!chart?.traces) return false;
        const traces = chart.traces.filter(t => t.type === 'heatmap');
        return traces[0].zmax === traces[2].zmax && traces[1].zmax === traces[3].zmax; }}"""
    )
    expect(page).to_have_url(re.compile(r"scale=This\+image"))
    page.get_by_test_id("stPopover").get_by_role("button", name="Share").click()
    expect(page.get_by_test_id("stCode")).to_contain_text("scale=This+image")
    shared = heatmaps(page)
    assert shared[0]["high"] == pytest.approx(max(own[0]["high"], own[2]["high"]))
    assert shared != own
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("stCode")).not_to_be_visible()

    panel = first.bounding_box()
    assert panel is not None
    page.mouse.move(panel["x"] + panel["width"] / 4, panel["y"] + panel["height"] / 4)
    page.mouse.down()
    page.mouse.move(panel["x"] + panel["width"] * 3 / 4, panel["y"] + panel["height"] * 3 / 4, steps=5)
    page.mouse.up()
    page.wait_for_function(f"document.querySelector('{CHART}')?._fullLayout?.xaxis2.range[0] > 0")
    ranges = page.locator(CHART).first.evaluate(
        "chart => chart._fullLayout._subplots.xaxis.slice(1)"
        ".map(name => chart._fullLayout[name.replace('x', 'xaxis')].range)"
    )
    assert len(ranges) == 7
    assert all(one == ranges[0] for one in ranges)
    width = load_sample(DEFAULT_SAMPLES[0]).width
    assert ranges[0] == pytest.approx([width / 4, width * 3 / 4], rel=0.05)


COUNT_WHAT_COMES = """() => {
    window.came = [];
    const Socket = window.WebSocket;
    window.WebSocket = class extends Socket {
        constructor(...given) {
            super(...given);
            this.addEventListener("message", ({data}) => window.came.push(data.byteLength ?? data.size));
        }
    };
}"""
COUNT_DRAWINGS = """() => {
    let library;
    window.drawings = 0;
    Object.defineProperty(window, "Plotly", {
        configurable: true,
        get: () => library,
        set: made => {
            const {react} = made;
            made.react = (...given) => { window.drawings += 1; return react(...given); };
            library = made;
        },
    });
}"""


@pytest.mark.slow
def test_rows_are_drawn_once_whatever_the_window_and_other_colours_send_no_map_again_and_draw_no_figure_again(
    page: Page, server: str
) -> None:
    """At the second visit the first rows fit at once: the browser has told its width."""
    page.set_viewport_size({"width": 1700, "height": 1000})
    page.add_init_script(f"({COUNT_DRAWINGS})(); ({COUNT_WHAT_COMES})();")
    for _ in range(2):
        open_app(page, server)
        idle(page)
        assert page.evaluate("window.drawings") == 3
        widths = page.locator(CHART).evaluate_all("charts => charts.map(chart => chart._fullLayout.width)")
        assert all(width > 952 for width in widths)  # wider than in the window that is usual
    (cookie,) = [one for one in page.context.cookies() if one["name"] == COOKIE]
    assert 1200 < int(cookie["value"]) < 1700 - 320

    figures = [size for size in page.evaluate("window.came") if size > 20_000]
    assert len(figures) >= 3  # a row's values and its photograph
    pictures = "maps => maps.map(map => map.outerHTML)"
    before = page.locator(f"{CHART} .convfe-map").evaluate_all(pictures)
    changes = (
        lambda: choose(page, "Colour map", "Inferno"),
        lambda: page.get_by_test_id("stSidebar").get_by_text("Smooth between cells").click(),
        lambda: page.get_by_role("slider", name="Opacity over the photograph").press("ArrowLeft"),
    )
    for change in changes:
        page.evaluate("window.came.length = window.drawings = 0")
        change()
        page.wait_for_function(
            """before => [...document.querySelectorAll('.convfe-row')].every((row, k) => {
                const maps = [...row.querySelectorAll('.convfe-map')];
                return maps.length === 6  // of which each third has PCA colours, which no colour map changes
                    && maps.every((map, m) => m % 3 === 2 || map.outerHTML !== before[6 * k + m]); })""",
            arg=before,
        )
        idle(page)
        assert max(page.evaluate("window.came")) < 5_000
        assert page.evaluate("window.drawings") == 0
        before = page.locator(f"{CHART} .convfe-map").evaluate_all(pictures)


def luminance(colour: str) -> float:
    """Relative luminance of a CSS colour, WCAG 2.1."""
    channels = np.array([int(part) for part in re.findall(r"\d+", colour)[:3]]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


UNTRAINED = [f"{name}:untrained" for name in ("TinyResNet", "TinyMobileNet", "MobileNet-0.25", "MobileNetV2-0.35")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "scheme", "backbones", "lines", "maps"),
    [
        (420, "light", 2, 2, ""),
        (1366, "dark", 3, 1, ""),
        (1500, "dark", 4, 2, ""),
        (1500, "light", 4, 1, "&maps=max&maps=mean"),
        (1920, "light", 6, 1, "&maps=max&maps=mean"),
    ],
)
def test_all_maps_of_a_photograph_fit_the_window_and_their_words_are_legible_in_light_and_dark(
    page: Page, server: str, width: int, scheme: Literal["light", "dark"], backbones: int, lines: int, maps: str
) -> None:
    page.set_viewport_size({"width": width, "height": 1000})
    page.emulate_media(color_scheme=scheme)
    chosen = ["TinyResNet", "TinyMobileNet", *UNTRAINED][:backbones]
    open_app(page, f"{server}/{ONE_PHOTO}&backbones={','.join(chosen)}{maps}", rows=1)
    sideways = """[...document.querySelectorAll('html, [data-testid=stMain], .convfe-row')]
        .every(part => part.scrollWidth <= part.clientWidth + 1)"""
    page.wait_for_function(sideways)
    panels = page.locator(f"{CHART} .convfe-map")
    expect(panels).to_have_count((2 if maps else 3) * backbones)
    frames = [box for box in (one.bounding_box() for one in panels.all()) if box is not None]
    tops = sorted(box["y"] for box in frames)  # cells of some networks do not reach the upper edge
    assert 1 + sum(lower - upper > 40 for upper, lower in itertools.pairwise(tops)) == lines
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in frames)
    assert page.locator(".convfe-figure").evaluate("figure => figure.style.transform") == "scale(1)"
    words = page.locator(f"{CHART} .textpoint text")
    assert all(name in "".join(words.all_text_contents()) for name in chosen)
    text = words.first.evaluate("node => getComputedStyle(node).fill")
    ground = page.get_by_test_id("stApp").evaluate("node => getComputedStyle(node).backgroundColor")
    light, dark = sorted((luminance(text), luminance(ground)), reverse=True)
    assert (luminance(ground) < 0.2) == (scheme == "dark")
    assert (light + 0.05) / (dark + 0.05) >= 4.5


@pytest.mark.slow
def test_the_sidebar_asks_within_one_window_height_and_cuts_no_name(page: Page, server: str) -> None:
    page.set_viewport_size({"width": 1366, "height": 1000})
    open_app(page, f"{server}/?backbones=TinyResNet,MobileNetV2-0.35:untrained,TinyMobileNet:untrained")
    assert page.get_by_test_id("stSidebarContent").evaluate("side => side.scrollHeight <= side.clientHeight")
    names = page.get_by_test_id("stMultiSelectTagsContainer").locator("[data-tag] > span")
    assert names.all_text_contents()[1:] == ["MobileNetV2-0.35:untrained", "TinyMobileNet:untrained"]
    for name in names.all():
        assert name.evaluate("words => words.scrollWidth <= words.clientWidth && words.offsetHeight < 30")


@pytest.mark.slow
def test_presenting_hides_the_controls_and_goes_through_the_images(page: Page, server: str) -> None:
    open_app(page, f"{server}/{ONE_PHOTO}&samples={DEFAULT_SAMPLES[1]}", rows=2)
    page.get_by_test_id("stMain").get_by_text("Present", exact=True).click()
    expect(page.locator(CHART)).to_have_count(1)
    expect(page.get_by_test_id("stSidebar")).not_to_be_visible()
    first = heatmaps(page)
    page.get_by_role("button", name=re.compile("next", re.I)).click()
    page.wait_for_function(
        f"""low => {{ const found = document.querySelector('{CHART}')?.traces?.find(t => t.type === 'heatmap');
        return found !== undefined && found.zmax !== low; }}""",
        arg=first[0]["high"],
    )
    expect(page.locator(CHART)).to_have_count(1)


@pytest.mark.slow
def test_a_page_turned_below_the_rows_begins_at_its_first_row(page: Page, server: str) -> None:
    nine = "&".join(f"samples={sample.name}" for sample in SAMPLES[:9])
    page.goto(f"{server}/?backbones=TinyMobileNet&maps=max&{nine}")
    expect(page.locator(CHART)).to_have_count(8, timeout=120_000)
    pager = page.locator(".st-key-page_below")
    pager.scroll_into_view_if_needed()
    expect(page.locator(CHART).first).not_to_be_in_viewport()
    pager.get_by_role("button", name=re.compile("next", re.I)).click()
    expect(page.locator(CHART)).to_have_count(1)
    pager.get_by_role("button", name=re.compile("previous", re.I)).click()
    expect(page.locator(CHART)).to_have_count(8)
    expect(page.locator(CHART).first).to_be_in_viewport()
    expect(pager).not_to_be_in_viewport()


FILLS = f"""() => {{ const figure = document.querySelector('{CHART}').getBoundingClientRect();
    return figure.right <= innerWidth && figure.bottom <= innerHeight
        && (figure.width > 0.85 * innerWidth || figure.height > 0.7 * innerHeight); }}"""


@pytest.mark.slow
@pytest.mark.parametrize("backbones", ["TinyResNet", "TinyResNet,TinyMobileNet"])
def test_a_presented_row_fills_windows_of_all_sizes_and_still_answers_the_mouse(
    page: Page, server: str, backbones: str
) -> None:
    name = DEFAULT_SAMPLES[0]
    maps = next(extract_maps(load_backbone(parse_spec("TinyResNet")), [load_sample(name)], Size("own")))
    row, column = (cells // 2 for cells in maps.max.shape)
    page.set_viewport_size({"width": 1366, "height": 768})
    open_app(page, f"{server}/{ONE_PHOTO}&present=true&backbones={backbones}", rows=1)
    for width, height in [(1366, 768), (1920, 1080), (2560, 1440)]:
        page.mouse.move(0, 0)
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_function(FILLS)
        expect(page.get_by_role("button", name="PNG")).to_be_in_viewport(ratio=1)
        expect(page.locator(".convfe-readout")).to_be_empty()
        panel = page.locator(f"{CHART} .convfe-map").first.bounding_box()
        assert panel is not None
        page.mouse.move(
            panel["x"] + panel["width"] * (column + 0.5) / maps.max.shape[1],
            panel["y"] + panel["height"] * (row + 0.5) / maps.max.shape[0],
        )
        expect(page.locator(".convfe-readout")).to_contain_text(f"cell row {row}, column {column}")


@pytest.mark.slow
def test_maps_are_seen_where_they_will_be_while_plotlys_library_is_on_its_way(page: Page, server: str) -> None:
    held: list[Route] = []
    page.route("**/plotly.min.js", lambda route: held.append(route))
    page.goto(f"{server}/?samples=chelsea&maps=max&maps=mean")
    pictures = page.locator(".convfe-sketch image")
    expect(pictures).to_have_count(5, timeout=120_000)  # the photograph, and two maps of two backbones
    early = dict(pictures.evaluate_all(PICTURES))
    for route in held:
        route.continue_()
    page.unroute("**/plotly.min.js")
    expect(page.locator(f"{CHART} .convfe-map")).to_have_count(4, timeout=120_000)
    expect(page.locator(".convfe-sketch")).to_have_count(0)
    drawn = dict(page.locator(f"{CHART} image").evaluate_all(PICTURES))
    assert len(early) == 5
    for source, place in early.items():
        assert drawn[source] == pytest.approx(place, abs=1)
