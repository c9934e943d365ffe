"""A fresh server: its first visitor may come by any page's address, and it imports TensorFlow by itself."""

import re
import signal
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visitor_client import visit
from tests.conftest import need
from tests.support.servers import Server, let_run, serve

pytestmark = pytest.mark.slow

LIMIT_S = 120


def maps_of(server: Server) -> str:
    return Path(f"/proc/{server.process.pid}/maps").read_text()


def holds_tensorflow(server: Server) -> bool:
    return "tensorflow" in maps_of(server)


def test_a_first_visitor_by_a_pages_address_gets_the_whole_app_and_the_server_comes_to_hold_tensorflow(
    page: Page, tmp_path: Path
) -> None:
    with serve(tmp_path, {"CONVFE_LOG_LEVEL": "INFO"}) as server:
        need(Path(f"/proc/{server.process.pid}/maps").is_file(), "Linux, which lists what a process has loaded")
        assert not holds_tensorflow(server)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{server.address}/rank")
        expect(page.get_by_role("heading", name="Rank")).to_be_visible(timeout=120_000)
        expect(page.get_by_text("Bring images whose objects are marked")).to_be_visible()
        expect(page).to_have_title("CONV-FE")
        for name in ("Compare", "System"):
            expect(page.get_by_role("link", name=name)).to_be_visible()
        expect(page.locator("link[rel*=icon]")).to_have_attribute("href", re.compile("svg"))
        assert [url for url in asked if not url.startswith((server.address, "data:", "blob:"))] == []
        end = time.monotonic() + LIMIT_S
        for done in (False, True):  # while it is imported, and then
            while done and "TensorFlow was imported ahead of time" not in server.log.read_text():
                assert time.monotonic() < end
                let_run(server.process)
            page.goto(f"{server.address}/system")
            expect(page.get_by_role("heading", name="System")).to_be_visible()
            expect(page.get_by_test_id("stAlert")).to_contain_text("No backbone is loaded yet")
        assert holds_tensorflow(server)
        assert "sklearn" not in maps_of(server)
        assert server.log.read_text().count("TensorFlow was imported ahead of time") == 1
        assert "Traceback" not in server.log.read_text()


def test_a_server_that_is_stopped_while_it_imports_tensorflow_ends_in_order(tmp_path: Path) -> None:
    with serve(tmp_path) as server, visit(server.address) as visitor:
        need(Path(f"/proc/{server.process.pid}/maps").is_file(), "Linux, which lists what a process has loaded")
        visitor.begin_page("compare")
        while not holds_tensorflow(server):
            let_run(server.process)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
    assert "Fatal Python error" not in server.log.read_text()
