"""Where the time of a ranking goes: `convfe rank` on a data set, part by part.

    python -m benchmarks.ranking DATASET [--backbone MobileNetV2-0.35 ...] [--rounds 3]

A ranking with controls, both probes and costs, and its HTML report, each round in a process of its own and without
anything kept from an earlier one. A part is what the run says that it is doing; the time from one report of progress to
the next belongs to what the first says.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

from benchmarks.machine import describe_machine
from benchmarks.records import Run, TableRow, keep, markdown

BACKBONES = ("MobileNetV2-0.35", "MobileNet-0.25")
REST, REPORT, WHOLE = "starting and the verdict", "HTML report", "the whole process"


def rank(dataset: str, specs: list[str]) -> dict[str, float]:
    """Rank in this process and return the seconds of each part."""
    from convfe_core.base.file_sets import open_files
    from convfe_core.base.pace import Progress
    from convfe_core.catalog.specs import parse_spec
    from convfe_core.datasets.read_dataset import read_dataset
    from convfe_core.ranking.results import RankOptions
    from convfe_core.ranking.run import RankRun
    from convfe_core.reports.html_report import html_report

    parts: defaultdict[str, float] = defaultdict(float)
    doing, since = REST, time.perf_counter()

    def enter(part: str) -> None:
        nonlocal doing, since
        now = time.perf_counter()
        parts[doing] += now - since
        doing, since = part, now

    def tell(progress: Progress) -> None:
        phrase = re.sub(r"\d+ of \d+,? ?|image ", "", progress.doing).strip(", ")
        enter(phrase or "scoring")

    with tempfile.TemporaryDirectory() as work:
        data = read_dataset(open_files(dataset))
        run = RankRun(data, [parse_spec(spec) for spec in specs], RankOptions(), on_progress=tell, work=work)
        result = run.run()
    enter(REPORT)
    html_report(result)
    enter(REST)
    return dict(parts)


def main() -> None:
    """Print the parts, and keep them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--backbone", action="append", metavar="SPEC", help="may be given several times")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    specs = options.backbone or list(BACKBONES)
    if options.part:
        print(json.dumps(rank(options.dataset, specs)))
        return
    print(describe_machine(), "\n")
    run = Run.now("ranking")
    rounds: list[dict[str, float]] = []
    for _ in range(options.rounds):
        start = time.perf_counter()
        command = [sys.executable, "-m", "benchmarks.ranking", options.dataset, "--part"]
        command += [word for spec in specs for word in ("--backbone", spec)]
        environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        told = subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout
        rounds.append(json.loads(told.splitlines()[-1]) | {WHOLE: time.perf_counter() - start})
    title = f"{Path(options.dataset).name}, {', '.join(specs)}"
    rows: list[TableRow] = [
        {title: part, "seconds": round(median(one[part] for one in rounds), 1)} for part in rounds[0]
    ]
    print(markdown(rows))
    keep("ranking", run, {"a ranking by part": rows})


if __name__ == "__main__":
    main()
