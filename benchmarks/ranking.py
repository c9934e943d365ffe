"""How long a ranking takes: what `convfe rank` does with controls, both probes and costs, and its HTML report.

    python -m benchmarks.ranking DATASET [--backbone MobileNetV2-0.35 ...] [--rounds 3] [--without-cell-probe]

Each round is a process of its own, and keeps nothing for the next one. Without the cell probe it does what rankings did
before 26 November 2026, to be compared with theirs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.machine import describe_machine, seconds
from benchmarks.records import Run, TableRow, keep, markdown

BACKBONES = ("MobileNetV2-0.35", "MobileNet-0.25")


def rank(dataset: str, specs: list[str], *, cell_probe: bool) -> dict[str, float]:
    """Rank in this process and return the seconds of each part, and the megabytes of the report."""
    from convfe_core.machine.tensorflow_import import import_tensorflow, keep_lean, load_library_early

    keep_lean(pandas=False)  # as the command does
    load_library_early()
    from convfe_core.base.file_sets import open_files
    from convfe_core.catalog.specs import parse_spec
    from convfe_core.datasets.read_dataset import read_dataset
    from convfe_core.ranking.results import RankOptions
    from convfe_core.ranking.run import RankRun
    from convfe_core.reports.html_report import html_report

    with tempfile.TemporaryDirectory() as work:
        data = read_dataset(open_files(dataset))
        run = RankRun(data, [parse_spec(spec) for spec in specs], RankOptions(), work=work, alone=True)
        if not cell_probe:
            vars(run._job)["folds"] = {}  # nothing to learn from
        with run.decoding():
            parts = {"importing TensorFlow": seconds(import_tensorflow)}
        start = time.perf_counter()
        result = run.run()
        parts["the ranking"] = time.perf_counter() - start
    start = time.perf_counter()
    page = html_report(result)
    parts["its HTML report"] = time.perf_counter() - start
    return parts | {"megabytes": len(page.encode()) / 1e6}


def main() -> None:
    """Print the parts, and keep them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--backbone", action="append", metavar="SPEC", help="may be given several times")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-cell-probe", action="store_true")
    parser.add_argument("--part", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    specs = options.backbone or list(BACKBONES)
    if options.part:
        print(json.dumps(rank(options.dataset, specs, cell_probe=not options.without_cell_probe)))
        return
    print(describe_machine(), "\n")
    run = Run.now("ranking")
    command = [sys.executable, "-m", "benchmarks.ranking", options.dataset, "--part"]
    command += [word for spec in specs for word in ("--backbone", spec)]
    command += ["--without-cell-probe"] * options.without_cell_probe
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    rounds: list[dict[str, float]] = []
    for _ in range(options.rounds):
        start = time.perf_counter()
        told = subprocess.run(command, env=environ, check=True, stdout=subprocess.PIPE, text=True).stdout
        rounds.append(json.loads(told.splitlines()[-1]) | {"the whole process": time.perf_counter() - start})
    medians = {part: median(one[part] for one in rounds) for part in rounds[0]}
    megabytes = medians.pop("megabytes")
    title = f"{Path(options.dataset).name}, {', '.join(specs)}"
    title += ", without cell probe" * options.without_cell_probe
    rows: list[TableRow] = [{title: part, "seconds": round(took, 1)} for part, took in medians.items()]
    page: TableRow = {title: "HTML report", "MB": round(megabytes, 2)}
    print(markdown(rows), markdown([page]), sep="\n\n")
    if options.without_cell_probe:
        keep("ranking", run, {"a ranking without cell probe": rows})
    else:
        keep("ranking", run, {"a ranking": rows, "its page": [page]})


if __name__ == "__main__":
    main()
