"""Five visitors click at random for ten minutes: does the server's memory stay flat, and its log empty of errors?

Run from the repository's root, with Chromium installed: ``python -m benchmarks.soak [--minutes 10] [--visitors 5]``.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Error, Page, sync_playwright

from benchmarks.records import Run, TableRow, keep, markdown
from tests.browser.conftest import FLAGS
from tests.conftest import CHROMIUM
from tests.support.builders import noise, png
from tests.support.servers import Server, serve

BACKBONES = (
    "TinyResNet",
    "TinyMobileNet",
    "TinyResNet:untrained",
    "MobileNet-0.25:untrained",
    "MobileNetV2-0.35:untrained",
    "EfficientNetB0:untrained",
)
SAMPLES = ("chelsea", "astronaut", "motorcycle", "tissue", "gravel", "coffee", "rocket", "coins")
PAGES = ("Compare", "Compare", "Rank", "Inspect", "Depth", "Guide", "System")
SIZES = ("own", "native", "224", "320", "448")
PAUSES_MS = (200, 3000)
SAMPLE_SECONDS = 5.0


@dataclass
class Visitor:
    """One browser window and what somebody does in it."""

    browser: Browser
    address: str
    chance: random.Random
    page: Page = field(init=False)

    def __post_init__(self) -> None:
        self.arrive()

    def arrive(self) -> None:
        """Come as somebody new."""
        context = self.browser.new_context(viewport={"width": 1280, "height": 800})
        context.set_default_timeout(5_000)
        self.page = context.new_page()
        self.open_link()

    def act(self) -> str:
        """Do one thing at random, and say what."""
        action = self.chance.choice(
            (self.open_link, self.choose_sample, self.choose_sample, self.smooth, self.upload, self.turn, self.leave)
        )
        with contextlib.suppress(Error):  # what one wants to click may be hidden or not there yet
            action()
        return action.__name__

    def open_link(self) -> None:
        """Open a link with backbones, samples and a size."""
        backbones = ",".join(self.chance.sample(BACKBONES, self.chance.randint(1, 3)))
        samples = "".join(f"&samples={name}" for name in self.chance.sample(SAMPLES, self.chance.randint(1, 4)))
        size = self.chance.choice(SIZES)
        self.page.goto(f"{self.address}/?backbones={backbones}{samples}&size={size}", timeout=60_000)

    def choose_sample(self) -> None:
        """Add or take away a sample photograph."""
        name = self.chance.choice(SAMPLES)
        self.page.get_by_test_id("stSidebar").get_by_role("button", name=name, exact=True).click()

    def smooth(self) -> None:
        """Change how the maps are drawn."""
        self.page.get_by_test_id("stSidebar").get_by_text("Smooth between cells").click()

    def upload(self) -> None:
        """Bring a picture, now and then one that is none."""
        seed = self.chance.randrange(10**6)
        data = png(noise(480, 640, seed)) if self.chance.random() < 0.8 else b"no picture"
        file = {"name": f"{seed}.png", "mimeType": "image/png", "buffer": data}
        self.page.get_by_test_id("stFileUploader").locator("input[type=file]").first.set_input_files([file])

    def turn(self) -> None:
        """Go to another page."""
        self.page.get_by_role("link", name=self.chance.choice(PAGES)).click()

    def leave(self) -> None:
        """Close the window, perhaps in the middle of a run, and come as somebody new."""
        self.page.context.close()
        self.arrive()


@dataclass(frozen=True)
class Sample:
    """Resident memory at one moment."""

    minute: float
    megabytes: float


def soak(server: Server, visitors: int, minutes: float, seed: int) -> tuple[list[Sample], dict[str, int]]:
    """Let visitors act and take samples of the server's memory."""
    samples: list[Sample] = []
    done: dict[str, int] = {}
    chance = random.Random(seed)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        people = [Visitor(browser, server.address, chance) for _ in range(visitors)]
        start = time.monotonic()
        next_sample = start
        while (now := time.monotonic()) < start + 60 * minutes:
            if now >= next_sample:
                samples.append(Sample((now - start) / 60, server.resident_mb))
                print(f"{samples[-1].minute:5.1f} min {samples[-1].megabytes:7.0f} MB", flush=True)
                next_sample = now + SAMPLE_SECONDS
            person = chance.choice(people)
            action = person.act()
            done[action] = done.get(action, 0) + 1
            person.page.wait_for_timeout(chance.randint(*PAUSES_MS) / visitors)
        browser.close()
    return samples, done


def summary(samples: list[Sample], warm_minute: float) -> TableRow:
    """Median memory of the first and the last fifth after the warm-up, in MB, and the slope between."""
    warm = [sample for sample in samples if sample.minute >= warm_minute]
    fifth = max(1, len(warm) // 5)
    first = statistics.median(sample.megabytes for sample in warm[:fifth])
    last = statistics.median(sample.megabytes for sample in warm[-fifth:])
    slope = statistics.linear_regression(
        [sample.minute for sample in warm], [sample.megabytes for sample in warm]
    ).slope
    return {
        f"MB after a warm-up of {warm_minute:g} minutes": round(first),
        "in the end, MB": round(last),
        "slope, MB a minute": f"{slope:+.1f}",
        "highest, MB": round(max(sample.megabytes for sample in samples)),
    }


def main() -> None:
    """Serve, soak, and print what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--visitors", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    run = Run.now("soak", ("streamlit",))
    with (
        tempfile.TemporaryDirectory() as folder,
        serve(Path(folder), {"CONVFE_HOSTED": "1", "CONVFE_LOG_LEVEL": "INFO"}) as server,
    ):
        samples, done = soak(server, options.visitors, options.minutes, options.seed)
        log = server.log.read_text("utf-8", "replace")
    print(", ".join(f"{count} {name}" for name, count in sorted(done.items())))
    wrong = [line for line in log.splitlines() if "Traceback" in line or "fault " in line or "ERROR" in line]
    print("\n".join(wrong[:20]))
    row: TableRow = {
        "visitors, minutes": f"{options.visitors}, {options.minutes:g}",
        "actions": sum(done.values()),
        **summary(samples, options.minutes * 0.4),
        "errors in the log": len(wrong),
    }
    print(markdown([row]))
    keep("soak", run, {"visitors at random": [row]})


if __name__ == "__main__":
    main()
