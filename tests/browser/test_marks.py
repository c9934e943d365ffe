"""A stranger's way through marking: boxes by mouse on three samples, numbers, a file, and the command line's same S."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from convfe_core.cli.commands import main
from tests.browser.test_visitors import idle

BACKBONES = ("TinyResNet", "TinyMobileNet")
SAMPLES = ("chelsea", "motorcycle", "tissue")
DRAGS = (
    ((0.06, 0.02, 0.55, 0.9), (0.6, 0.3, 0.85, 0.97)),
    ((0.13, 0.05, 0.6, 0.9), (0.62, 0.3, 0.92, 0.9)),
    ((0.5, 0.6, 0.74, 0.98), (0.02, 0.3, 0.3, 0.97)),
)
"""Of each photograph two boxes: where a drag begins and ends, as shares of its sides."""


def photographs(page: Page) -> Locator:
    return page.locator(".convfe-sheet")


def begin_to_mark(page: Page, server: str, *samples: str) -> None:
    page.goto(f"{server}/?{'&'.join(f'samples={sample}' for sample in samples)}")
    expect(page.locator(".js-plotly-plot")).to_have_count(len(samples), timeout=120_000)
    page.get_by_test_id("stMain").get_by_text("Mark objects", exact=True).click()
    expect(page.get_by_text("Draw boxes around your objects")).to_be_visible()
    idle(page)


def drag(page: Page, photo: Locator, shares: tuple[float, float, float, float]) -> None:
    expect(photo).to_be_visible()
    photo.scroll_into_view_if_needed()
    frame = photo.bounding_box()
    assert frame is not None
    x0, x1 = (frame["x"] + share * frame["width"] for share in shares[::2])
    y0, y1 = (frame["y"] + share * frame["height"] for share in shares[1::2])
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move((x0 + x1) / 2, (y0 + y1) / 2, steps=3)
    page.mouse.move(x1, y1, steps=3)
    page.mouse.up()


def shown_s(page: Page) -> dict[str, list[str]]:
    """By backbone S of its maps with the interval. The page writes this table after the notes above the maps."""
    idle(page)
    lines = page.locator(".st-key-marks table tbody tr")
    expect(lines).to_have_count(len(BACKBONES))
    cells = [[cell.inner_text() for cell in line.locator("td").all()] for line in lines.all()]
    return {name: values for name, *values in cells}


def in_words(value: float, low: float, high: float) -> str:
    return "{} ({} to {})".format(*(f"{one:+.2f}".replace("-", "−") for one in (value, low, high)))


def test_a_stranger_marks_three_samples_and_the_command_line_finds_the_same_s(
    page: Page, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_to_mark(page, server, *SAMPLES)
    for row, boxes in enumerate(DRAGS):
        notes = page.locator(f".st-key-row-{row} .convfe-note")
        for number, box in enumerate(boxes, start=1):
            before = notes.all_text_contents()
            drag(page, photographs(page).nth(row), box)
            expect(page.locator(f".st-key-row-{row} .convfe-box")).to_have_count(number)
            expect(notes).to_have_count(4)
            if before:
                expect(notes).not_to_have_text(before)
    expect(page.get_by_text("3 images: a first look, no winner.")).to_be_visible()
    found = shown_s(page)
    assert set(found) == set(BACKBONES)

    with page.expect_download() as download:
        page.locator(".st-key-marks").get_by_role("button", name="Save").click()
    saved = tmp_path / "marks.json"
    download.value.save_as(saved)
    assert [len(one["bbox"]) for one in json.loads(saved.read_text())["annotations"]] == [4] * 6

    monkeypatch.chdir(tmp_path)
    call = ["rank", "samples", "--boxes", str(saved), "--no-probe", "--no-control", "--json", "ranking.json"]
    assert main([*call, "--backbone", BACKBONES[0], "--backbone", BACKBONES[1]]) == 0
    for backbone in json.loads(Path("ranking.json").read_text())["backbones"]:
        separation = backbone["separation"]
        assert found[backbone["spec"]] == [in_words(one["S"], *one["ci"]) for one in separation.values()]

    begin_to_mark(page, server, *SAMPLES)  # a new session: the file brings everything back
    page.locator(".st-key-marks").get_by_role("button", name="Load").click()
    page.locator(".st-key-marks_file input[type=file]").set_input_files(saved)
    expect(page.get_by_text("marks.json: 6 boxes added.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_text("3 images: a first look, no winner.")).to_be_visible()
    assert shown_s(page) == found


@pytest.mark.slow
def test_a_box_is_moved_by_keyboard_outlives_a_change_of_page_and_is_deleted_and_its_number_follows(
    page: Page, server: str
) -> None:
    begin_to_mark(page, server, SAMPLES[0])
    drag(page, photographs(page).first, DRAGS[0][0])
    notes, boxes = page.locator(".st-key-row-0 .convfe-note"), page.locator(".st-key-row-0 .convfe-box")
    expect(notes).to_have_count(4)
    before = notes.all_text_contents()
    for _ in range(12):
        page.keyboard.press("Shift+ArrowRight")
    expect(notes.first).not_to_have_text(before[0])

    expect(page.get_by_text("1 photograph marked.")).to_be_visible()
    page.get_by_role("link", name="Rank").first.click()
    expect(page.get_by_role("heading", name="Rank")).to_be_visible()
    page.get_by_role("link", name="Compare").first.click()
    expect(page.get_by_text("1 photograph marked.")).to_be_visible()
    expect(boxes).to_have_count(1)

    idle(page)
    boxes.focus()
    page.keyboard.press("Delete")
    expect(boxes).to_have_count(0)
    expect(notes).to_have_count(0)
