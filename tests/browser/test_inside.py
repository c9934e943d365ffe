"""A file of the visitor's own in a real browser: Inspect and Depth look inside; an ONNX file is compared and ranked."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_compare import CHART, choose, heatmaps, wait_for_maps
from tests.browser.test_visitors import idle
from tests.conftest import need
from tests.onnx_models.made_graphs import plain_network, written
from tests.support.builders import voc_folder
from tests.support.datasets import zipped

pytestmark = pytest.mark.slow

ONE_SAMPLE = "samples=chelsea"
BESIDE = "TinyMobileNet"


@pytest.fixture
def resnet8(shared: Path) -> Path:
    path = shared / "models" / "resnet8_cifar10.h5"
    need(path.is_file(), "the ResNet-8 beside the checkout")
    return path


def bring_model(page: Page, path: Path) -> None:
    """Open the sidebar's place for models and upload one."""
    page.get_by_test_id("stExpander").get_by_text("Your own model").click()
    page.get_by_test_id("stFileUploader").locator("input[type=file]").last.set_input_files(path)
    expect(page.get_by_test_id("stSidebar").get_by_text(f"Remove {path.name}")).to_be_visible()
    idle(page)


def test_an_uploaded_model_stands_beside_its_control_with_a_verdict(page: Page, server: str, resnet8: Path) -> None:
    page.goto(f"{server}/inspect?{ONE_SAMPLE}")
    expect(page.locator(CHART)).to_have_count(2, timeout=120_000)
    bring_model(page, resnet8)
    expect(page.locator(CHART).first).to_contain_text("resnet8_cifar10:untrained")
    both = "resnet8_cifar10", "resnet8_cifar10:untrained"
    wait_for_maps(page, [f"{label} {reduction}" for label in both for reduction in ("max", "mean")])
    wait_for_maps(page, [f"{both[0]} − {both[1]} {reduction}" for reduction in ("max", "mean")], row=1)
    expect(page.get_by_test_id("stAlert")).to_contain_text("Healthy over 1 image")
    expect(page.get_by_test_id("stMain").get_by_text("7 fit the images")).to_be_visible()


def test_depth_shows_the_stages_the_channels_at_a_clicked_cell_the_layers_searched_for_and_the_blocks(
    page: Page, server: str, resnet8: Path
) -> None:
    page.goto(f"{server}/depth?{ONE_SAMPLE}")
    expect(page.locator(CHART)).to_have_count(4, timeout=120_000)
    bring_model(page, resnet8)
    for stage in ("C0 · stride 1", "C1 · stride 2", "C2 · stride 4"):
        expect(page.locator(CHART).first).to_contain_text(stage)
    place = page.locator(CHART).nth(2)
    expect(page.get_by_text("The strongest cell.")).to_be_visible()
    names = """() => [...document.querySelectorAll('.js-plotly-plot')[3]?.data ?? []]
        .filter(trace => trace.type === 'heatmap').map(trace => trace.name).join()"""
    before = page.wait_for_function(names).json_value()
    place.scroll_into_view_if_needed()
    panel = place.locator(".heatmaplayer image").bounding_box()
    assert panel is not None
    page.mouse.click(panel["x"] + panel["width"] / 16, panel["y"] + panel["height"] / 16)
    expect(page.get_by_text("1 cell from pixel x 28, y 29 on.")).to_be_visible()
    expect(page.get_by_text("The strongest cell.")).to_have_count(0)
    page.wait_for_function(f"before => !['', before].includes(({names})())", arg=before)
    layer = page.get_by_role("combobox", name="Layer", exact=True)
    layer.fill("activation_2")
    page.get_by_role("option", name="activation_2", exact=True).click()
    expect(place).to_contain_text("max of activation_2")
    page.get_by_role("textbox", name="Search").fill("activation")
    page.keyboard.press("Enter")
    expect(page.get_by_text("7 of 27 layers")).to_be_visible()

    page.get_by_text("Show the blocks").click()
    drawing = page.get_by_test_id("stGraphVizChart").locator("svg")
    expect(drawing).to_contain_text("conv2d_5  ·  stride 2, 32 channels")  # a shortcut beside its block
    expect(drawing).to_contain_text("add_1 … activation_4  ·  stride 2, 32 channels")


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A network with all stages up to C5."""
    return written(plain_network(5), tmp_path / "own.onnx")


def test_an_onnx_file_stands_beside_others_at_the_stage_that_was_chosen_and_is_ranked(
    page: Page, server: str, exported: Path, tmp_path: Path
) -> None:
    page.goto(f"{server}/?backbones={BESIDE}&samples=chelsea")
    expect(page.locator(CHART)).to_have_count(1, timeout=120_000)
    bring_model(page, exported)
    expect(page.locator(CHART).first).to_contain_text("own")
    names = [f"{label} {reduction}" for label in (BESIDE, "own") for reduction in ("max", "mean")]
    before = wait_for_maps(page, names)
    choose(page, "Its layer", "C4: ")
    page.wait_for_function(
        f"""before => {{ const chart = document.querySelector('{CHART}');
        const traces = chart?.traces?.filter(trace => trace.type === 'heatmap') ?? [];
        return traces.length === 4 && traces[2].zmax !== before; }}""",
        arg=before[2]["high"],
    )
    assert heatmaps(page)[:2] == before[:2]

    voc_folder(tmp_path / "squares", images=24, side=96)
    (tmp_path / "squares.zip").write_bytes(
        zipped({file.name: file.read_bytes() for file in (tmp_path / "squares").iterdir()})
    )
    page.get_by_role("navigation", name="App pages").get_by_role("link", name="Rank").click()
    expect(page.get_by_role("heading", name="Images with boxes")).to_be_visible()
    idle(page)  # until then the uploader is that of the page before
    page.get_by_test_id("stFileUploader").locator("input[type=file]").first.set_input_files(tmp_path / "squares.zip")
    expect(page.get_by_text("24 images, 24 boxes")).to_be_visible(timeout=120_000)
    idle(page)
    page.locator(".st-key-rank_control label").click()  # those of ONNX files are proved in tests/onnx_models
    idle(page)
    page.locator(".st-key-rank_start button").click()
    expect(page.get_by_test_id("stDataFrame").first).to_be_visible(timeout=240_000)
    idle(page)
    expect(page.get_by_test_id("stMain")).to_contain_text("own")
