"""How much memory a server takes with several visitors at once, and what it says when there is too little."""

from __future__ import annotations

import base64
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convfe_core.backbones.backbone import load_backbone
from convfe_core.catalog.specs import parse_spec
from convfe_core.maps.extraction import extract_maps
from convfe_core.maps.input_size import Size
from convfe_core.photos.photo import read_photo
from tests.browser.visitor_client import Visit, look, visit
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
UPLOADS = "Your images"


def peak_mb(server: Server) -> float:
    """The most resident memory that the server ever had."""
    status = Path(f"/proc/{server.process.pid}/status")
    need(status.is_file(), "Linux, which counts a process' peak memory")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
    assert found is not None
    return int(found.group(1)) / 1024


def test_three_visitors_who_go_through_five_backbones_stay_under_one_and_a_half_gigabytes(
    tmp_path: Path, shared: Path
) -> None:
    """At each round all three come at once, as new sessions beside those that they had before."""
    settings = {"CONVFE_HOSTED": "1", "KERAS_HOME": str(SHARED / "keras")}
    with serve(tmp_path, settings) as server, ThreadPoolExecutor(3) as visitors:
        for backbones in ROUNDS:
            for seen in visitors.map(look, [server.address] * 3, [f"backbones={backbones}"] * 3):
                assert (len(seen.rows), seen.alerts) == (3, [])
        assert peak_mb(server) < 1536


def test_a_server_with_one_gigabyte_refuses_what_does_not_fit_and_shows_the_rest(tmp_path: Path) -> None:
    settings = {"CONVFE_HOSTED": "1", "CONVFE_MEMORY_MB": "1000"}
    with serve(tmp_path, settings) as server:
        seen = look(server.address, "backbones=TinyResNet,MobileNet-0.25:untrained,ResNet152:untrained")
        assert len(seen.rows) == 3
        (alert,) = seen.alerts
        assert "ResNet152:untrained is not shown" in alert
        assert re.search(r"takes [\d,]+ MB, and of the 1,000 MB .* [\d,]+ MB are free", alert)
        assert peak_mb(server) < 1000


def pictures(visitor: int) -> list[tuple[str, bytes]]:
    return [(f"visitor{visitor}-{number}.png", png(noise(96, 128, 100 * visitor + number))) for number in range(IMAGES)]


def highest_values(figure: dict[str, Any]) -> dict[str, float]:
    """The largest value of each map of a row."""
    maps = [trace for trace in figure["data"] if trace["type"] == "heatmap"]
    return {one["name"]: np.frombuffer(base64.b64decode(one["z"]["bdata"]), one["z"]["dtype"]).max() for one in maps}


def bring(address: str, visitor: int) -> Visit:
    """Come with photographs of one's own, and see their maps."""
    query = "samples=&backbones=TinyResNet,TinyMobileNet"
    with visit(address) as one:
        one.open_page("compare", query)
        one.open_page("compare", query, files={UPLOADS: pictures(visitor)})
        return one


@pytest.mark.timeout(1200)
def test_ten_visitors_at_once_each_get_the_maps_of_their_own_images(hosted: Server) -> None:
    with ThreadPoolExecutor(VISITORS) as visitors:
        seen = [*visitors.map(bring, [hosted.address] * VISITORS, range(VISITORS))]
    backbones = [load_backbone(parse_spec(name)) for name in ("TinyResNet", "TinyMobileNet")]
    for visitor, one in enumerate(seen):
        assert one.alerts == []
        assert len(one.rows) == IMAGES
        assert set(re.findall(r"visitor\d+-\d+\.png", one.text)) == {name for name, _ in pictures(visitor)}
        name, data = pictures(visitor)[0]
        expected = {}
        for backbone in backbones:
            maps = next(extract_maps(backbone, [read_photo(data, name)], Size("own")))
            expected |= {f"{backbone.label} max": maps.max.max(), f"{backbone.label} mean": maps.mean.max()}
        assert highest_values(one.rows[0]) == pytest.approx(expected, rel=1e-3)
