"""The study's results, without the resamples, in `benchmarks/results`: a file for each machine that computed some."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.records import FOLDER, Line, Record, Run, TableRow, slug
from benchmarks.validity.compute import BY_IMAGE, PREDICTORS
from benchmarks.validity.results import END_TO_END_AT, Results
from convfe_core.scoring.bootstrap import interval


def machines(results: Results) -> list[str]:
    """Each machine that computed something, with its versions, and how many results are its."""
    counts: dict[str, int] = defaultdict(int)
    for _, found in results:
        counts[f"{found['machine']}; {found['versions']}"] += 1
    return [f"{who} ({count} results)" for who, count in sorted(counts.items(), key=lambda pair: -pair[1])]


def keep_results(results: Results, folder: Path = FOLDER) -> list[Path]:
    """Write all results, those of each machine into a file."""
    tables: dict[str, dict[str, list[Line]]] = defaultdict(lambda: defaultdict(list))
    for names, found in results:
        if "failed" not in found:
            run = Run(_command(names), found["date"], found["versions"], "not noted")
            title = "predictors" if names[-1] == PREDICTORS else "detectors"
            tables[found["machine"]][title].append(Line(run, _row(names, found)))
    paths = []
    for machine, of_machine in tables.items():
        kept = {title: tuple(lines) for title, lines in of_machine.items()}
        processor = machine.partition(" cores")[0].rpartition(", ")[0] or machine
        paths.append(folder / f"validity-{slug(processor)}.json")
        Record(machine, kept).write(paths[-1])
    return paths


def _command(names: Sequence[str]) -> str:
    """What computed a result."""
    fine_tuned = names[-1].startswith(END_TO_END_AT)
    return f"python -m benchmarks.validity{'.trained.fine_tuning train' if fine_tuned else ''}"


def _row(names: Sequence[str], found: dict[str, Any]) -> TableRow:
    if names[-1] == PREDICTORS:
        means = {title: float(np.nanmean(np.array(found[title], np.float64))) for title in BY_IMAGE}
        numbers = {title: value for title, value in (found | means).items() if isinstance(value, int | float)}
        return {"result": ", ".join(names[:-1]), **{title: round(value, 4) for title, value in numbers.items()}}
    low, high = interval(np.array(found["again"]))
    numbers = {"AP50": found["ap50"], "low": low, "high": high, "AP": found["ap"], "recall": found["recall"]}
    return {"result": ", ".join(names), **{title: round(value, 4) for title, value in numbers.items()}}
