"""A real server on a free port of this machine, and a real browser looking at it: one of each for a process of tests.

A test that measures a server, changes its settings or ends it has one of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from tests.conftest import CHROMIUM, need
from tests.support.servers import Server, serve

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WINDOW: ViewportSize = {"width": 1440, "height": 900}


COUNT_ON_SIGNAL = """
import os, signal, sys, threading, traceback

NAMES = "script_runner.py", "/convfe_core/", "/pages/"

def count(*_):
    waiting = {one.ident for one in threading.enumerate() if one.name == "convfe-end"}  # for the end of the server
    frames = [frame for thread, frame in sys._current_frames().items() if thread not in waiting]
    stacks = [traceback.walk_stack(frame) for frame in frames]
    busy = sum(any(name in f.f_code.co_filename for f, _ in stack for name in NAMES) for stack in map(list, stacks))
    os.write(2, f"{busy} busy threads\\n".encode())

signal.signal(signal.SIGUSR1, count)
"""


@pytest.fixture(scope="session")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A hosted server, with an empty weights cache and no way to a network, whose log must tell of no fault.

    At SIGUSR1 it writes to its log how many of its threads run its visitors' scripts or our code.
    """
    folder = tmp_path_factory.mktemp("hosted")
    (folder / "sitecustomize.py").write_text(COUNT_ON_SIGNAL)
    settings = {"CONVFE_HOSTED": "1", "CONVFE_LOG_LEVEL": "DEBUG", "PYTHONPATH": str(folder)}
    with serve(folder, settings) as server:
        yield server
    log = server.log.read_text()
    assert "Traceback" not in log
    assert re.search(r"\bfault ", log) is None


@pytest.fixture
def server(hosted: Server) -> str:
    """The address of its first page."""
    return hosted.address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, headless."""
    need(CHROMIUM.exists(), f"{CHROMIUM}")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def tab(browser: Browser) -> Iterator[Page]:
    """One for all tests: it has compiled what the pages need, which took a new one three fifths of the processor."""
    context = browser.new_context(viewport=WINDOW)
    context.set_default_timeout(60_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def page(tab: Page) -> Iterator[Page]:
    """A visitor who has never been here, with a laptop's window. A script for every page stays: it may only count."""
    expect.set_options(timeout=60_000)
    yield tab
    tab.evaluate("() => { try { localStorage.clear(); sessionStorage.clear(); } catch { /* it opened no page */ } }")
    tab.goto("about:blank")
    tab.context.clear_cookies()
    tab.set_viewport_size(WINDOW)
    tab.emulate_media(color_scheme="null")
    tab.mouse.move(0, 0)
