"""What docs/cluster.md says a million images cost is what the measured rates come to."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.records import FOLDER, Record
from convfe_core.ranking.results import CONTROL_SEEDS
from tests.conftest import ROOT

IMAGES = 1_000_000
TWO_WORKERS = ", Ray, workers x CPUs of each: 2 x 1"


def table(file: Path, heading: str) -> list[list[str]]:
    """The rows under a table's first line, which contains `heading`."""
    lines = file.read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("|") and heading in line) + 2
    rows = []
    for line in lines[first:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_the_hours_of_a_million_images_are_computed_from_the_measured_rates() -> None:
    readme = ROOT / "docs" / "cluster.md"
    lines = Record.read(FOLDER / "cluster-intel-xeon-6-167.json").tables["images a second"]
    where = {str(line.row["backbone, where"]): line.row["images/s"] for line in lines}
    two = {name.removesuffix(TWO_WORKERS): rate for name, rate in where.items() if name.endswith(TWO_WORKERS)}
    measured = {name: rate for name, rate in two.items() if not name.startswith("Tiny")}
    *rows, (every, _, *total) = table(readme, "computed, hours of a 2-core machine")
    assert {name: float(rate) for name, rate, *_ in rows} == measured
    passes = 1 + len(CONTROL_SEEDS)
    hours = {name: IMAGES / rate / 3600 for name, rate in measured.items()}
    assert {name: told for name, _, *told in rows} == {
        name: [f"{alone:.0f}", f"{passes * alone:.0f}"] for name, alone in hours.items()
    }
    assert every == "all five"
    alone, controlled = sum(hours.values()), passes * sum(hours.values())
    assert total == [f"{alone:.0f}", f"{controlled:.0f}"]
    words = " ".join(readme.read_text().split())
    assert "**What it costs.** A *computation*" in words
    assert f"that is {controlled / 8:.0f} machine hours with controls and {alone / 8:.0f} without" in words
    assert f"on ten such machines {controlled / 80:.0f} hours, or {alone / 80:.0f}." in words
    assert re.search(r"16 cores does eight times as much, which was not measured", words)
