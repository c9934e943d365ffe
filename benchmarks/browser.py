"""What a visitor waits for: the app on a real server, looked at with headless Chromium.

    python -m benchmarks.browser [--rounds 3] [--only first,controls,many,cursor]

Each figure is the time from the visitor's action, or the server's start, until the page shows the result; medians over
the rounds. Each round has servers of its own: one that never ran here, then one that finds what that one kept. Those of
the cursor are seconds from one frame of the browser to the next while the mouse moves over the maps. Needs Debian's
``chromium``.
"""

from __future__ import annotations

import argparse
import itertools
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
from benchmarks.records import Run, TableRow, keep, markdown
from convfe_core.photos.gallery import SAMPLES
from tests.browser.conftest import FLAGS
from tests.conftest import CHROMIUM
from tests.support.servers import serve

CHART = ".js-plotly-plot"
HEADING = "Compare"
LIMIT_MS = 180_000
OPEN_MS = 3_000
TRIES = 10
EIGHT = "&".join(f"samples={sample.name}" for sample in SAMPLES[:8])
TWENTY_FOUR = 24
LARGE = f"{TWENTY_FOUR} images x 4 backbones"
WITHOUT_PCA = f"{LARGE}, max and mean, 64 maps a page"
WITH_PCA = f"{LARGE}, with PCA, 96 maps a page"
FOUR = "TinyResNet,TinyMobileNet,TinyResNet:untrained,TinyMobileNet:untrained"
MOVES = 240
CURSOR = "cursor over 4 backbones, from frame to frame"

_TURNS = {
    "the first 8 rows": None,
    "another colour map, those on screen": 0.5,
    "another colour map": 0.5,
    "the next 8 rows, those on screen": None,
    "the next 8 rows": None,
    "back to the first 8 rows, those on screen": 0.5,
    "back to the first 8 rows": 0.5,
}
TARGETS = {
    "first paint, first start ever": 12.0,
    "the first page's maps as pictures, first start ever": None,
    "all maps of the first page, first start ever": None,
    "first paint, server just started": 12.0,
    "the first page's maps as pictures, server just started": None,
    "all maps of the first page, server just started": 5.0,
    "first paint, server up": 2.0,
    "the first page's maps as pictures, server up": None,
    "all maps of the first page, server up": None,
    "another colour map": 0.6,
    "another scale": 0.6,
    "another page of the app": 0.6,
    "a built-in backbone added to 8 images": 3.0,
    **{f"{case}: {what}": limit for case in (WITHOUT_PCA, WITH_PCA) for what, limit in _TURNS.items()},
    f"{CURSOR}, median": 1 / 59,
    f"{CURSOR}, 95 of 100 frames": 1 / 30,
}
"""Seconds that each figure should stay under, None where nothing is promised."""


class Stopwatch:
    """Collects seconds by name, and how often backbones were loaded or run meanwhile where that is counted."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}
        self.passes: dict[str, int] = {}

    def add(self, name: str, seconds: float) -> None:
        """Note one time."""
        self.times.setdefault(name, []).append(seconds)

    @contextmanager
    def counting(self, name: str, count: Callable[[], int]) -> Iterator[None]:
        """Note by how much `count` grows meanwhile."""
        before = count()
        yield
        self.passes[name] = self.passes.get(name, 0) + count() - before


def rows_shown(rows: int, maps: int, condition: str = "true", which: str = "true") -> str:
    """Say in JavaScript that so many figures with so many maps are drawn, and that a condition holds for each.

    Parameters
    ----------
    condition : of `chart` and `charts`
    which : of `chart`; the others need not hold it, nor be drawn
    """
    return f"""(charts => charts.length === {rows} && charts.every(chart => !({which}) || (
        chart.querySelectorAll('.convfe-map').length === {maps} && ({condition}))))(
        [...document.querySelectorAll('{CHART}')])"""


ON_SCREEN = "chart.getBoundingClientRect().top < innerHeight && chart.getBoundingClientRect().bottom > 0"


def wait_for(page: Page, condition: str) -> None:
    """Wait until a condition in JavaScript holds."""
    page.wait_for_function(f"() => {condition}", polling="raf", timeout=LIMIT_MS)


def note_clicks(page: Page) -> None:
    """Have a page remember when it was last clicked."""
    page.add_init_script("addEventListener('click', event => { window.clicked = event.timeStamp }, true)")


def waited(page: Page, condition: str) -> float:
    """Wait until a condition holds and return the seconds since the last click.

    By the page's own clock: Playwright takes its time to look at what it is about to click.
    """
    script = f"() => ({condition}) && performance.now() - window.clicked"
    return float(page.wait_for_function(script, polling="raf", timeout=LIMIT_MS).json_value()) / 1e3


def other_maps(page: Page) -> str:
    """The condition that a row's first map looks like none that is on the page now."""
    shown = page.locator(f"{CHART} .convfe-map").evaluate_all("maps => maps.map(map => map.getAttribute('href'))")
    return f"!{json.dumps(shown)}.includes(chart.querySelector('.convfe-map').getAttribute('href'))"


def click_option(page: Page, ask: Callable[[], object], name: str) -> None:
    """Open a list with `ask` and click an option; a run still under way may close the list again."""
    target = page.get_by_role("option").filter(has_text=name).first
    for _ in range(TRIES):
        ask()
        try:
            target.wait_for(timeout=OPEN_MS)
            target.click(timeout=OPEN_MS)
        except TimeoutError:
            continue
        return
    raise RuntimeError(f"no list offered {name}")


def choose(page: Page, box: str, option: str) -> None:
    """Choose an option of a select box."""
    field = page.get_by_role("combobox", name=box)
    field.scroll_into_view_if_needed()
    click_option(page, lambda: field.press("ArrowDown"), option)


def add_backbone(page: Page, name: str) -> None:
    """Choose another backbone."""
    field = page.get_by_test_id("stMultiSelect").locator("input")
    field.scroll_into_view_if_needed()

    def ask() -> None:
        field.click()
        field.fill("")
        field.press_sequentially(name)

    click_option(page, ask, name)


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


def first_page(browser: Browser, address: str, when: str, start: float, watch: Stopwatch) -> None:
    """The default page, for somebody who has never been here."""
    page = browser.new_page()
    page.goto(address)
    page.get_by_role("heading", name=HEADING).wait_for(timeout=LIMIT_MS)
    watch.add(f"first paint, {when}", time.perf_counter() - start)
    drawn = rows_shown(3, 6)
    wait_for(page, f"document.querySelectorAll('.convfe-sketch image').length === 21 || {drawn}")
    watch.add(f"the first page's maps as pictures, {when}", time.perf_counter() - start)
    wait_for(page, drawn)
    watch.add(f"all maps of the first page, {when}", time.perf_counter() - start)
    page.close()


@contextmanager
def started(folder: Path, browser: Browser, when: str | None, watch: Stopwatch) -> Iterator[str]:
    """Start a server, and look at its first page if that is to be measured; gives its address."""
    start = time.perf_counter()
    with serve(folder) as server:
        if when is not None:
            first_page(browser, server.address, when, start, watch)
        yield server.address


def controls(browser: Browser, address: str, watch: Stopwatch) -> None:
    """Changes that run no backbone, then one that runs one."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(LIMIT_MS)
    note_clicks(page)
    page.goto(f"{address}/?{EIGHT}&backbones=TinyMobileNet")
    wait_for(page, rows_shown(8, 3))
    settled(page)
    differs = other_maps(page)
    with watch.counting("another colour map", lambda: passes(browser, address)):
        choose(page, "Colour map", "Inferno")
        watch.add("another colour map", waited(page, rows_shown(8, 3, differs)))
    settled(page)
    highest = "(chart => chart.traces.find(t => t.type === 'heatmap').zmax)"
    with watch.counting("another scale", lambda: passes(browser, address)):
        choose(page, "Scale shared by", "Everything")
        watch.add("another scale", waited(page, rows_shown(8, 3, f"{highest}(chart) === {highest}(charts[0])")))
    settled(page)
    add_backbone(page, "TinyResNet")
    watch.add("a built-in backbone added to 8 images", waited(page, rows_shown(8, 6)))
    page.keyboard.press("Escape")  # the list of backbones stays open and hides the rest of the page from roles
    settled(page)
    page.get_by_role("link", name="Rank").click()
    heading = "document.querySelector('h1')?.textContent.trim()"
    watch.add("another page of the app", waited(page, f"{heading} && {heading} !== '{HEADING}'"))
    page.close()


def many_maps(browser: Browser, address: str, watch: Stopwatch) -> None:
    """Twenty-four photographs under four backbones, eight rows at a time."""
    turn_pages(browser, address, watch, WITHOUT_PCA, "&maps=max&maps=mean", 8)
    turn_pages(browser, address, watch, WITH_PCA, "", 12)


def turn_pages(browser: Browser, address: str, watch: Stopwatch, case: str, query: str, maps: int) -> None:
    """Colour and turn pages of rows with so many maps each."""
    with tempfile.TemporaryDirectory() as folder:
        write_photographs(Path(folder), TWENTY_FOUR)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(LIMIT_MS)
        note_clicks(page)
        page.goto(f"{address}/?samples=&backbones={FOUR}{query}")
        uploader = page.get_by_test_id("stFileUploader").locator("input[type=file]").first
        uploader.wait_for(state="attached")
        start = time.perf_counter()
        uploader.set_input_files(sorted(Path(folder).iterdir()))
        wait_for(page, rows_shown(8, maps))
        watch.add(f"{case}: the first 8 rows", time.perf_counter() - start)

    def turn(number: str) -> None:
        page.locator(".st-key-page").get_by_role("button", name=f"Page {number}", exact=True).click()

    actions: dict[str, Callable[[], None]] = {
        "another colour map": lambda: choose(page, "Colour map", "Inferno"),
        "the next 8 rows": lambda: turn("2"),
        "back to the first 8 rows": lambda: turn("1"),
    }
    for name, act in actions.items():
        settled(page)
        differs = other_maps(page)
        with watch.counting(f"{case}: {name}", lambda: passes(browser, address)):
            act()
            watch.add(f"{case}: {name}, those on screen", waited(page, rows_shown(8, maps, differs, ON_SCREEN)))
            watch.add(f"{case}: {name}", waited(page, rows_shown(8, maps, differs)))
    page.close()


NOTE_FRAMES = """() => {
    window.frames_seen = [];
    const note = time => { window.frames_seen.push(time); window.noting = requestAnimationFrame(note); };
    window.noting = requestAnimationFrame(note);
}"""
FRAMES_SEEN = "() => { cancelAnimationFrame(window.noting); return window.frames_seen; }"


def cursor(browser: Browser, address: str, watch: Stopwatch) -> None:
    """The mouse goes to and fro over the maps of one photograph under four backbones."""
    page = browser.new_page(viewport={"width": 1500, "height": 900})
    page.goto(f"{address}/?backbones={FOUR}")
    wait_for(page, rows_shown(3, 12))
    settled(page)
    panels = [one.bounding_box() for one in page.locator(CHART).first.locator(".convfe-map").all()]
    shown = [one for one in panels if one is not None]
    left, right = shown[0]["x"] + 1, shown[-1]["x"] + shown[-1]["width"] - 1
    top, height = shown[0]["y"], shown[0]["height"]
    page.mouse.move(left, top + height / 2)
    page.evaluate(NOTE_FRAMES)
    for move in range(MOVES):
        share = move / MOVES
        page.mouse.move(left + (right - left) * share, top + height * (0.1 + 0.8 * (4 * share % 1)))
    seen = page.evaluate(FRAMES_SEEN)
    if not page.locator(".convfe-readout").first.text_content():
        raise RuntimeError("the cursor did not follow the mouse")
    frames = sorted((later - sooner) / 1e3 for sooner, later in itertools.pairwise(seen))
    watch.add(f"{CURSOR}, median", statistics.median(frames))
    watch.add(f"{CURSOR}, 95 of 100 frames", frames[int(0.95 * len(frames))])
    page.close()


PARTS = {"controls": controls, "many": many_maps, "cursor": cursor}


def main() -> None:
    """Print every figure beside its target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(["first", *PARTS]), help="which parts, such as many,cursor")
    options = parser.parse_args()
    asked = options.only.split(",")
    print(describe_machine(), end="\n\n")
    run = Run.now("browser", ("streamlit", "plotly"))
    watch = Stopwatch()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as name:
                folder, first = Path(name), "first" in asked
                if first:
                    with started(folder, browser, "first start ever", watch):
                        pass
                with started(folder, browser, "server just started" if first else None, watch) as address:
                    for part, measure in PARTS.items():
                        if part in asked:
                            measure(browser, address, watch)
                    if first:  # TensorFlow is there by now
                        first_page(browser, address, "server up", time.perf_counter(), watch)
        browser.close()
    rows: list[TableRow] = [
        {
            "what a visitor waits for": name,
            "seconds": float(f"{statistics.median(watch.times[name]):.2g}"),
            "should be under": float(f"{limit:.2g}") if limit else "",
            "backbones loaded or run": watch.passes.get(name, ""),
        }
        for name, limit in TARGETS.items()
        if name in watch.times
    ]
    print(markdown(rows))
    keep("browser", run, {"waiting": rows})


if __name__ == "__main__":
    main()
