"""A visitor brings an ONNX file: its maps beside a network's of the catalog, a stage of it chosen, both ranked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from convfe_core.backbones.network import open_network
from convfe_core.catalog.specs import parse_spec
from tests.browser.test_compare import CHART, choose, heatmaps
from tests.browser.test_inside import bring_model
from tests.browser.test_visitors import idle
from tests.support.builders import voc_folder
from tests.support.datasets import zipped
from tests.support.servers import serve

pytestmark = pytest.mark.slow

BESIDE = "MobileNetV2-0.35"


@pytest.fixture
def with_weights(real_weights: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a server that has the real weights of some networks."""
    with serve(tmp_path, {"CONVFE_HOSTED": "1", "KERAS_HOME": str(real_weights)}) as server:
        yield server.address


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    model = open_network(parse_spec("TinyMobileNet")).model
    model(np.zeros((1, 64, 64, 3), np.float32))
    model.export(tmp_path / "tiny.onnx", format="onnx", verbose=False)
    return tmp_path / "tiny.onnx"


def test_an_onnx_file_stands_beside_others_at_the_stage_that_was_chosen_and_is_ranked(
    page: Page, with_weights: str, exported: Path, tmp_path: Path
) -> None:
    page.goto(f"{with_weights}/?backbones={BESIDE}&samples=chelsea")
    expect(page.locator(CHART)).to_have_count(1, timeout=120_000)
    bring_model(page, exported)
    expect(page.locator(CHART).first).to_contain_text("tiny mean")
    names = [f"{label} {reduction}" for label in (BESIDE, "tiny") for reduction in ("max", "mean")]
    assert [one["name"] for one in heatmaps(page)] == names
    before = heatmaps(page)
    choose(page, "Its layer", "C3: ")
    page.wait_for_function(
        f"""before => {{ const chart = document.querySelector('{CHART}');
        const traces = chart?.data?.filter(trace => trace.type === 'heatmap') ?? [];
        return traces.length === 4 && traces[2].zmax !== before; }}""",
        arg=before[2]["high"],
    )
    assert heatmaps(page)[:2] == before[:2]

    voc_folder(tmp_path / "squares", images=24, side=96)
    (tmp_path / "squares.zip").write_bytes(
        zipped({file.name: file.read_bytes() for file in (tmp_path / "squares").iterdir()})
    )
    page.get_by_test_id("stSidebarNav").get_by_role("link", name="Rank").click()
    page.get_by_test_id("stFileUploader").locator("input[type=file]").first.set_input_files(tmp_path / "squares.zip")
    expect(page.get_by_text("24 images, 24 boxes")).to_be_visible(timeout=120_000)
    idle(page)
    page.locator(".st-key-rank_start button").click()
    expect(page.get_by_test_id("stDataFrame").first).to_be_visible(timeout=240_000)
    idle(page)
    expect(page.get_by_test_id("stMain")).to_contain_text("tiny")
