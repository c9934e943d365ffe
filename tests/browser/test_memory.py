"""How much memory a server takes with several visitors at once, and what it says when there is too little."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from convfe_core.backbones.backbone import load_backbone
from convfe_core.catalog.specs import parse_spec
from convfe_core.maps.extraction import extract_maps
from convfe_core.maps.input_size import Size
from convfe_core.photos.photo import read_photo
from tests.browser.test_visitors import CHART, idle, visiting
from tests.browser.visitor_client import Visit, visit
from tests.conftest import SHARED, need
from tests.support.builders import noise, png
from tests.support.servers import Server, serve

pytestmark = pytest.mark.slow

ROUNDS = (
    "TinyResNet,TinyMobileNet",
    "MobileNet-0.25",
    "MobileNetV2-0.35",
    "EfficientNetB0:untrained",
)
VISITORS, IMAGES = 10, 2


def peak_mb(server: Server) -> float:
    """The most resident memory that the server ever had."""
    status = Path(f"/proc/{server.process.pid}/status")
    need(status.is_file(), "Linux, which counts a process' peak memory")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
    assert found is not None
    return int(found.group(1)) / 1024


def look(address: str, query: str) -> Visit:
    """Open Compare as a new visitor, who leaves once it is there."""
    with visit(address) as visitor:
        visitor.open_page("compare", query)
        return visitor


def test_three_visitors_who_go_through_five_backbones_stay_under_one_and_a_half_gigabytes(
    tmp_path: Path, shared: Path
) -> None:
    """At each round all three come at once, as new sessions beside those that they had before."""
    settings = {"CONVFE_HOSTED": "1", "KERAS_HOME": str(SHARED / "keras")}
    with serve(tmp_path, settings) as server, ThreadPoolExecutor(3) as visitors:
        for backbones in ROUNDS:
            for seen in visitors.map(look, [server.address] * 3, [f"backbones={backbones}"] * 3):
                assert (seen.rows, seen.alerts) == (3, [])
        assert peak_mb(server) < 1536


def test_a_server_with_one_gigabyte_refuses_what_does_not_fit_and_shows_the_rest(tmp_path: Path) -> None:
    settings = {"CONVFE_HOSTED": "1", "CONVFE_MEMORY_MB": "1000"}
    with serve(tmp_path, settings) as server:
        seen = look(server.address, "backbones=TinyResNet,MobileNet-0.25:untrained,ResNet152:untrained")
        assert seen.rows == 3
        (alert,) = seen.alerts
        assert "ResNet152:untrained is not shown" in alert
        assert re.search(r"takes [\d,]+ MB, and of the 1,000 MB .* [\d,]+ MB are free", alert)
        assert peak_mb(server) < 1000


def pictures(visitor: int) -> list[tuple[str, bytes]]:
    return [(f"visitor{visitor}-{number}.png", png(noise(96, 128, 100 * visitor + number))) for number in range(IMAGES)]


def upload(page: Page, visitor: int) -> None:
    files = [{"name": name, "mimeType": "image/png", "buffer": data} for name, data in pictures(visitor)]
    page.get_by_test_id("stFileUploader").locator("input[type=file]").first.set_input_files(files)


def highest_values(page: Page, row: int) -> dict[str, float]:
    """The largest value of each map in a row."""
    found = (
        page.locator(CHART)
        .nth(row)
        .evaluate(
            """chart => chart._fullData.filter(trace => trace.type === 'heatmap')
        .map(trace => [trace.name, Math.max(...[...trace.z].map(line => Math.max(...line)))])"""
        )
    )
    return dict(found)


@pytest.mark.timeout(1200)
def test_ten_visitors_at_once_each_get_the_maps_of_their_own_images(browser: Browser, hosted: Server) -> None:
    with ExitStack() as stack:
        address = f"{hosted.address}/?samples=&backbones=TinyResNet,TinyMobileNet"
        pages = [stack.enter_context(visiting(browser, address)) for _ in range(VISITORS)]
        for visitor, page in enumerate(pages):
            upload(page, visitor)
        backbones = [load_backbone(parse_spec(name)) for name in ("TinyResNet", "TinyMobileNet")]
        for visitor, page in enumerate(pages):
            expect(page.locator(CHART)).to_have_count(IMAGES, timeout=600_000)
            idle(page)
            expect(page.get_by_test_id("stAlert")).to_have_count(0)
            assert set(re.findall(r"visitor\d+-\d+\.png", page.content())) == {name for name, _ in pictures(visitor)}
            name, data = pictures(visitor)[0]
            expected = {}
            for backbone in backbones:
                maps = next(extract_maps(backbone, [read_photo(data, name)], Size("own")))
                expected |= {f"{backbone.label} max": maps.max.max(), f"{backbone.label} mean": maps.mean.max()}
            shown = highest_values(page, 0)
            assert shown.keys() == expected.keys()
            for key, value in expected.items():
                assert np.isclose(shown[key], value, rtol=1e-3)
