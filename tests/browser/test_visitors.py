"""Several visitors of one server: they leave in mid-run, stop, upload, and disturb nobody else.

Whoever is there for the server alone comes without a browser.
"""

from __future__ import annotations

import re
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, Page, expect

from tests.browser.visitor_client import look, visit
from tests.support.builders import noise, png, voc_folder
from tests.support.datasets import zipped
from tests.support.servers import Server, let_run, serve

pytestmark = pytest.mark.slow

CHART = ".js-plotly-plot"
WORK = "samples=chelsea&samples=astronaut&samples=coffee&samples=rocket&samples=coins&samples=retina"
LONG_WORK = f"{WORK}&size=640&backbones=DenseNet121:untrained"
LIMIT_S = 120


PROGRESS = "word => document.querySelector('[data-testid=stProgress]')?.textContent.includes(word)"


def running(page: Page, word: str = "image") -> None:
    """Wait until a pass is under way. Asked at every frame, since a pass of six photographs takes about a second."""
    page.wait_for_function(PROGRESS, arg=word, polling="raf", timeout=120_000)


QUIET = """frames => {
    const state = document.querySelector('[data-testid=stApp]')?.dataset.testScriptState;
    window.quiet = state === 'notRunning' ? (window.quiet ?? 0) + 1 : 0;
    return window.quiet > frames; }"""


def idle(page: Page) -> None:
    """Wait until no run is under way, and none follows at once, as when a browser has told its width."""
    page.evaluate("() => { window.quiet = 0; }")
    page.wait_for_function(QUIET, arg=20, polling="raf", timeout=120_000)


def busy_threads(server: Server) -> int:
    """How many threads of the server run a visitor's script just now, or work for one."""
    start = server.log.stat().st_size
    server.process.send_signal(signal.SIGUSR1)
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        found = re.search(r"(\d+) busy threads\n", server.log.read_bytes()[start:].decode(errors="replace"))
        if found is not None:
            return int(found.group(1))
        let_run(server.process)
    pytest.fail("the server did not answer the signal")


def no_busy_thread_survives(server: Server) -> bool:
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        if busy_threads(server) == 0:
            return True
    return False


def test_a_visitor_who_leaves_in_mid_run_takes_no_thread_and_no_lock_along(hosted: Server) -> None:
    with visit(hosted.address) as leaving:
        leaving.begin_page("compare", LONG_WORK)
        leaving.wait_for_progress("loading")
        assert busy_threads(hosted) >= 1
        leaving.wait_for_progress("image")
    assert len(look(hosted.address, "backbones=TinyResNet").rows) == 3
    assert no_busy_thread_survives(hosted)


def test_a_visitor_who_leaves_while_waiting_for_another_leaves_the_queue(hosted: Server) -> None:
    with visit(hosted.address) as first:
        first.begin_page("compare", LONG_WORK)
        first.wait_for_progress("image")
        with visit(hosted.address) as second:
            second.begin_page("compare", LONG_WORK + "&backbones=VGG16:untrained")
            second.wait_for_progress()
    assert no_busy_thread_survives(hosted)


def test_a_ranking_is_stopped_and_left_without_a_trace_and_no_name_is_obeyed(
    page: Page, hosted: Server, tmp_path: Path
) -> None:
    markup = "<img src=x onerror=alert(1)>"
    archive = tmp_path / f"{markup}.zip"
    files = {path.name: path.read_bytes() for path in voc_folder(tmp_path / "squares", images=40, side=320).iterdir()}
    label = b"&lt;img src=x onerror=alert(1)&gt;"
    named = {f"{markup}{name}": data.replace(b"square", label) for name, data in files.items()}
    archive.write_bytes(zipped({**named, f"{markup}.xml": b"no XML"}))
    alerts: list[str] = []

    def obey(dialog: Dialog) -> None:
        alerts.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", obey)
    page.goto(f"{hosted.address}/rank?backbones=MobileNetV2-0.35:untrained&size=448")
    page.get_by_test_id("stFileUploader").locator("input[type=file]").first.set_input_files(archive)
    expect(page.get_by_text("40 images, 40 boxes, 1 class (VOC)")).to_be_visible(timeout=120_000)
    page.get_by_text("Not used: 1 file or box").click()
    page.locator(".st-key-rank_start button").click()
    running(page, "measuring its cost")
    page.locator(".st-key-rank_stop button").click()
    expect(page.get_by_text("The run was stopped after 0 of 1 backbones")).to_be_visible(timeout=120_000)
    idle(page)
    page.locator(".st-key-rank_start button").click()
    running(page, "measuring its cost")
    page.goto("about:blank")
    page.remove_listener("dialog", obey)
    assert no_busy_thread_survives(hosted)
    assert alerts == []
    assert len(look(hosted.address, "backbones=TinyResNet&samples=gravel").rows) == 1


def test_the_stop_button_ends_a_visitors_first_run_and_the_next_change_works(page: Page, hosted: Server) -> None:
    page.goto(f"{hosted.address}/?samples=chelsea&backbones=DenseNet201:untrained")
    running(page, "loading")  # several seconds of building are ahead, enough to press a button
    smooth = page.get_by_test_id("stSidebar").get_by_text("Smooth between cells")
    expect(smooth).to_be_visible(timeout=120_000)
    page.get_by_role("button", name="Stop").click()
    idle(page)
    told = page.evaluate("document.cookie")
    page.set_viewport_size({"width": 1300, "height": 900})
    page.wait_for_function("told => document.cookie !== told", arg=told)
    idle(page)
    assert no_busy_thread_survives(hosted)
    expect(page.locator(CHART)).to_have_count(0)  # another width of the window is no reason to begin again
    stopped = page.get_by_test_id("stProgress")
    expect(stopped.get_by_text("loading")).to_be_hidden()
    assert "press R" in stopped.evaluate("bar => getComputedStyle(bar, '::after').content")
    smooth.click()
    expect(page.locator(CHART)).to_have_count(1, timeout=120_000)
    expect(stopped).to_have_count(0)


def test_changes_in_the_middle_of_a_pass_end_with_what_was_asked_for_last(page: Page, hosted: Server) -> None:
    page.goto(f"{hosted.address}/?{LONG_WORK}")
    for name in ("chelsea", "astronaut", "coffee", "rocket"):
        page.get_by_test_id("stSidebar").get_by_role("button", name=name, exact=True).click()
    expect(page.locator(CHART)).to_have_count(2, timeout=120_000)
    idle(page)
    expect(page.locator(CHART)).to_have_count(2)


def test_nobody_sees_what_another_visitor_uploaded_and_no_log_names_it(
    page: Page, hosted: Server, tmp_path: Path
) -> None:
    good, bad = tmp_path / "aunt-mary.png", tmp_path / "uncle-bob.png"
    good.write_bytes(png(noise(120, 200)))
    bad.write_bytes(b"no picture")
    query = "backbones=TinyResNet&samples=gravel"
    page.goto(f"{hosted.address}/?{query}")
    with visit(hosted.address) as second:
        second.open_page("compare", query)
        assert len(second.rows) == 1
        expect(page.locator(CHART)).to_have_count(1, timeout=120_000)
        page.get_by_test_id("stFileUploader").locator("input[type=file]").first.set_input_files([good, bad])
        expect(page.locator(CHART)).to_have_count(2, timeout=120_000)
        expect(page.locator(CHART).first).to_contain_text("aunt-mary.png")
        expect(page.get_by_test_id("stAlert")).to_contain_text("uncle-bob.png")
        answer = second.open_page("compare", query)
        assert len(second.rows) == 1
        assert "aunt-mary" not in answer
        assert "uncle-bob" not in answer
    log = hosted.log.read_text()
    assert "aunt-mary" not in log
    assert "uncle-bob" not in log


def test_an_upload_of_300_megabytes_is_refused_and_the_page_goes_on(page: Page, hosted: Server, tmp_path: Path) -> None:
    huge, good = tmp_path / "huge.png", tmp_path / "good.png"
    with huge.open("wb") as file:
        file.truncate(300_000_000)
    good.write_bytes(png(noise(64, 96)))
    page.goto(f"{hosted.address}/?backbones=TinyResNet&samples=gravel")
    expect(page.locator(CHART)).to_have_count(1, timeout=120_000)
    page.get_by_test_id("stFileUploader").locator("input[type=file]").first.set_input_files([huge, good])
    expect(page.get_by_test_id("stFileUploader").first).to_contain_text("20.0MB or smaller")
    expect(page.locator(CHART)).to_have_count(2, timeout=120_000)


def test_an_upload_that_another_site_forged_is_refused(hosted: Server) -> None:
    address = f"{hosted.address}/_stcore/upload_file/session/file"
    forged = urllib.request.Request(address, data=b"x", method="PUT", headers={"Origin": "https://a.example"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(forged, timeout=30)
    assert refused.value.code == 403


def test_a_terminated_server_ends_in_the_middle_of_a_pass(tmp_path: Path) -> None:
    with serve(tmp_path, {"CONVFE_HOSTED": "1"}) as server, visit(server.address) as visitor:
        visitor.begin_page("compare", LONG_WORK)
        visitor.wait_for_progress("image")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) in (0, -signal.SIGTERM)
    assert "Traceback" not in server.log.read_text()
