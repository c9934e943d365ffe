"""What a visitor waits for: the app on a real server, looked at with headless Chromium.

    python -m benchmarks.browser [--rounds 3]

Each figure is the time from the visitor's action, or the server's start, until the page shows the result; medians over
the rounds, every round with a server of its own. Needs Debian's ``chromium``.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, TimeoutError, sync_playwright

from benchmarks.end_to_end import write_photographs
from benchmarks.machine import describe_machine
from convfe_core.gallery import SAMPLES
from tests.browser.conftest import FLAGS
from tests.conftest import CHROMIUM
from tests.servers import serve

CHART = ".js-plotly-plot"
HEADING = "Compare"
LIMIT_MS = 180_000
OPEN_MS = 3_000
TRIES = 10
EIGHT = "&".join(f"samples={sample.name}" for sample in SAMPLES[:8])
TWENTY_FOUR = 24

TARGETS = {
    "first paint, server just started": 12.0,
    "all maps of the first page, server just started": None,
    "first paint, server up": 2.0,
    "all maps of the first page, server up": None,
    "another colour map": 0.6,
    "another scale": 0.6,
    "another page of the app": 0.6,
    "a built-in backbone added to 8 images": 3.0,
    "24 images x 4 backbones: the first 8 rows": None,
    "24 images x 4 backbones: another colour map": 0.5,
    "24 images x 4 backbones: the next 8 rows": None,
    "24 images x 4 backbones: back to the first 8 rows": 0.5,
}
"""Seconds that each figure should stay under, None where nothing is promised."""


class Stopwatch:
    """Collects seconds by name, and how often backbones were loaded or run meanwhile where that is counted."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}
        self.passes: dict[str, int] = {}

    def time(self, name: str, wait: Callable[[], object], start: float | None = None) -> None:
        """Measure until `wait` returns, from now or from `start`."""
        start = time.perf_counter() if start is None else start
        wait()
        self.times.setdefault(name, []).append(time.perf_counter() - start)

    @contextmanager
    def counting(self, name: str, count: Callable[[], int]) -> Iterator[None]:
        """Note by how much `count` grows meanwhile."""
        before = count()
        yield
        self.passes[name] = self.passes.get(name, 0) + count() - before


def rows_shown(page: Page, rows: int, maps: int, condition: str = "true") -> Callable[[], object]:
    """Wait until so many figures with so many maps are drawn, and `condition` (of `chart`, `charts`) holds for each."""
    script = f"""() => {{
        const charts = [...document.querySelectorAll('{CHART}')];
        return charts.length === {rows} && charts.every(chart =>
            chart.querySelectorAll('.heatmaplayer image').length === {maps} && ({condition}));
    }}"""
    return lambda: page.wait_for_function(script, polling="raf", timeout=LIMIT_MS)


def other_maps(page: Page) -> str:
    """The condition that a row's first map looks like none that is on the page now."""
    shown = page.locator(f"{CHART} .heatmaplayer image").evaluate_all(
        "maps => maps.map(map => map.getAttribute('href'))"
    )
    return f"!{json.dumps(shown)}.includes(chart.querySelector('.heatmaplayer image').getAttribute('href'))"


def click_option(page: Page, ask: Callable[[], object], name: str) -> float:
    """Open a list with `ask`, click an option and return when; a run still under way may close the list again."""
    target = page.get_by_role("option").filter(has_text=name).first
    for _ in range(TRIES):
        ask()
        try:
            target.wait_for(timeout=OPEN_MS)
            start = time.perf_counter()
            target.click(timeout=OPEN_MS)
        except TimeoutError:
            continue
        return start
    raise RuntimeError(f"no list offered {name}")


def choose(page: Page, box: str, option: str) -> float:
    """Choose an option of a select box and return when it was clicked."""
    field = page.get_by_role("combobox", name=box)
    field.scroll_into_view_if_needed()
    return click_option(page, lambda: field.press("ArrowDown"), option)


def add_backbone(page: Page, name: str) -> float:
    """Choose another backbone and return when it was clicked."""
    field = page.get_by_test_id("stMultiSelect").locator("input")
    field.scroll_into_view_if_needed()

    def ask() -> None:
        field.click()
        field.fill("")
        field.press_sequentially(name)

    return click_option(page, ask, name)


def passes(browser: Browser, address: str) -> int:
    """How many times the server loaded or ran a backbone, as its System page tells."""
    page = browser.new_page()
    page.goto(f"{address}/system")
    told = page.get_by_text("Backbones were loaded or run").text_content(timeout=LIMIT_MS) or ""
    page.close()
    return int(re.sub(r"\D", "", told))


def settled(page: Page) -> None:
    """Wait until no run is under way, so that the next action does not queue behind the last one."""
    page.get_by_test_id("stStatusWidget").wait_for(state="detached", timeout=LIMIT_MS)


def first_pages(browser: Browser, address: str, started: float, watch: Stopwatch) -> None:
    """The default page, once on a server that was just started and once on one that is warm."""
    for when, start in (("server just started", started), ("server up", None)):
        page = browser.new_page()
        start = time.perf_counter() if start is None else start
        page.goto(address)
        heading = page.get_by_role("heading", name=HEADING)
        watch.time(f"first paint, {when}", lambda heading=heading: heading.wait_for(timeout=LIMIT_MS), start)
        watch.time(f"all maps of the first page, {when}", rows_shown(page, 3, 4), start)
        page.close()


def controls(browser: Browser, address: str, watch: Stopwatch) -> None:
    """Changes that run no backbone, then one that runs one."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(LIMIT_MS)
    page.goto(f"{address}/?{EIGHT}&backbones=TinyMobileNet")
    rows_shown(page, 8, 2)()
    settled(page)
    differs = other_maps(page)
    with watch.counting("another colour map", lambda: passes(browser, address)):
        start = choose(page, "Colour map", "Inferno")
        watch.time("another colour map", rows_shown(page, 8, 2, differs), start)
    settled(page)
    highest = "(chart => chart.data.find(t => t.type === 'heatmap').zmax)"
    scaled = f"{highest}(chart) === {highest}(charts[0])"
    with watch.counting("another scale", lambda: passes(browser, address)):
        start = choose(page, "Scale shared by", "Everything")
        watch.time("another scale", rows_shown(page, 8, 2, scaled), start)
    settled(page)
    start = add_backbone(page, "TinyResNet")
    watch.time("a built-in backbone added to 8 images", rows_shown(page, 8, 4), start)
    page.keyboard.press("Escape")  # the list of backbones stays open and hides the rest of the page from roles
    settled(page)
    start = time.perf_counter()
    page.get_by_role("link", name="Rank").click()
    heading = page.get_by_role("heading", level=1).filter(has_not_text=HEADING)
    watch.time("another page of the app", heading.wait_for, start)
    page.close()


def many_maps(browser: Browser, address: str, watch: Stopwatch) -> None:
    """Twenty-four photographs under four backbones, eight rows at a time."""
    backbones = "TinyResNet,TinyMobileNet,TinyResNet:untrained,TinyMobileNet:untrained"
    large = f"{TWENTY_FOUR} images x 4 backbones"
    with tempfile.TemporaryDirectory() as folder:
        write_photographs(Path(folder), TWENTY_FOUR)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(LIMIT_MS)
        page.goto(f"{address}/?samples=&backbones={backbones}")
        uploader = page.get_by_test_id("stFileUploader").locator("input[type=file]").first
        uploader.wait_for(state="attached")
        uploader.set_input_files(sorted(Path(folder).iterdir()))
        watch.time(f"{large}: the first 8 rows", rows_shown(page, 8, 8))
    settled(page)
    differs = other_maps(page)
    with watch.counting(f"{large}: another colour map", lambda: passes(browser, address)):
        start = choose(page, "Colour map", "Inferno")
        watch.time(f"{large}: another colour map", rows_shown(page, 8, 8, differs), start)
    for name, number in (("the next 8 rows", "2"), ("back to the first 8 rows", "1")):
        settled(page)
        differs = other_maps(page)
        button = page.get_by_test_id("stPagination").get_by_role("button", name=f"Page {number}", exact=True)
        with watch.counting(f"{large}: {name}", lambda: passes(browser, address)):
            start = time.perf_counter()
            button.click()
            watch.time(f"{large}: {name}", rows_shown(page, 8, 8, differs), start)
    page.close()


def main() -> None:
    """Print every figure beside its target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(describe_machine(), end="\n\n")
    watch = Stopwatch()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as folder:
                started = time.perf_counter()
                with serve(Path(folder)) as server:
                    for part in (first_pages, controls, many_maps):
                        arguments = (server.address, started) if part is first_pages else (server.address,)
                        part(browser, *arguments, watch)  # type: ignore[operator]
        browser.close()
    print("| | seconds | should be under | backbones loaded or run, all rounds |")
    print("|---|---|---|---|")
    for name, limit in TARGETS.items():
        if name in watch.times:
            seconds = statistics.median(watch.times[name])
            print(f"| {name} | {seconds:.2f} | {limit or ''} | {watch.passes.get(name, '')} |")


if __name__ == "__main__":
    main()
