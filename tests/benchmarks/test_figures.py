"""Every figure that a document quotes was measured by a benchmark and is kept, or is a limit that the code sets."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.records import FOLDER, Record, Run, TableRow
from benchmarks.write_tables import PLACE, pages, with_tables
from convfe_core.photos.photo import DEFAULT_LIMITS
from convfe_core.serving.visitors import VISITOR
from convfe_core.trial.features import MOST_MB
from tests.conftest import ROOT

WRITTEN = {"docs/validity.md", "docs/reference.md"}
"""Pages that a program writes as a whole."""
TESTED = {"CONTRIBUTING.md"}
"""How long checks take: it names the command of each."""
FIGURE = re.compile(r"(?<![\w.,-])(\d[\d,.]*\d|\d) (?:ms|s|seconds|MB|GB|images/s|pictures/s|GFLOP/s|times as)\b")
LIMITS = {
    "docs/hosting.md": {
        *(VISITOR.images.max_bytes / 1e6, VISITOR.dataset.max_bytes / 1e6, VISITOR.model_mb, VISITOR.maps_mb),
    },
    "docs/maps.md": {DEFAULT_LIMITS.max_bytes / 1e6},
    "docs/ranking.md": {MOST_MB / 1024},
}
RUN, LATER = (Run(f"python -m benchmarks.forward {word}", "2026-01-01", "Python", "0.1") for word in ("a", "b"))


def quoted(text: str) -> list[str]:
    """The figures that stand in sentences: not in tables of ours, nor in what a command printed."""
    prose = "\n".join(line for line in PLACE.sub("", text).splitlines() if not line.startswith("    "))
    return [found[1] for found in FIGURE.finditer(prose)]


def measured() -> set[float]:
    """Every number of every table that is kept."""
    rows = (line.row for path in FOLDER.glob("*.json") for lines in Record.read(path).tables.values() for line in lines)
    told = (number for row in rows for cell in row.values() for number in re.findall(r"\d+(?:\.\d+)?", str(cell)))
    return {float(number) for number in told}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_tables_of_figures_are_those_that_were_measured(page: Path):
    text = page.read_text(encoding="utf-8")
    assert with_tables(text) == text, "out of date; python -m benchmarks.write_tables"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_quoted_figure_has_a_source(page: Path):
    name = page.relative_to(ROOT).as_posix()
    if name in WRITTEN | TESTED:
        return
    known = measured() | LIMITS.get(name, set())
    figures = quoted(page.read_text(encoding="utf-8"))
    assert [one for one in figures if float(one.replace(",", "")) not in known] == []


def test_a_figure_is_told_from_other_numbers():
    text = "It takes 4.5 s and 1,250 MB, 3 times as long, on 2 cores of version 1.2.\n    took 9 s\n"
    assert quoted(text) == ["4.5", "1,250", "3"]


def test_a_run_of_a_part_renews_its_lines_alone(tmp_path: Path):
    old: list[TableRow] = [{"network": "A", "ms": 1.5}, {"network": "B", "ms": 2}]
    record = Record("a machine", {}).renewed(RUN, "times", old).renewed(LATER, "times", [{"network": "A", "ms": 3}])
    record = record.renewed(LATER, "others", [{"network": "C", "MB": 4}])
    record.write(tmp_path / "forward.json")
    again = Record.read(tmp_path / "forward.json")
    assert again == record
    assert [(line.run, dict(line.row)) for line in again.tables["times"]] == [
        (LATER, {"network": "A", "ms": 3}),
        (RUN, {"network": "B", "ms": 2}),
    ]


def test_a_table_is_written_between_its_marks(tmp_path: Path):
    Record("a machine", {}).renewed(RUN, "times", [{"": "A", "ms": 1.5}]).write(tmp_path / "forward.json")
    page = "Before\n<!-- figures forward: times -->\nold\n<!-- end of figures -->\nafter 2 s\n"
    new = with_tables(page, tmp_path)
    assert "|  | ms |\n| --- | --- |\n| A | 1.5 |\n<!-- end of figures -->\nafter" in new
    assert "a machine; Python. `python -m benchmarks.forward a` (2026-01-01, load average 0.1):" in new
    assert with_tables(new, tmp_path) == new
    assert quoted(new) == ["2"]


def test_what_must_be_known_of_a_run_stands_above_its_table(tmp_path: Path):
    noted = replace(RUN, note="measured elsewhere")
    Record("a machine", {}).renewed(noted, "times", [{"": "A", "ms": 1.5}]).write(tmp_path / "forward.json")
    assert Record.read(tmp_path / "forward.json").tables["times"][0].run == noted
    page = "<!-- figures forward: times -->\n<!-- end of figures -->\n"
    assert "(2026-01-01, load average 0.1, measured elsewhere):" in with_tables(page, tmp_path)
