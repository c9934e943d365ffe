"""What each engine takes of `convfe maps`, and what it costs; in processor time, which others do not change.

    python -m benchmarks.forward.engines [--backbone ResNet50 ...] [--rounds 7]

Batches are those in which `convfe maps --size native` runs photographs of about 640 x 480. Making ready is what each
engine needs from an open network to its first maps: for ours tracing, translating and the first pass, for TensorFlow
all but the translation, for others the export by Keras, unless they run our translation. A package is imported in a
process of its own; its size is that of its files, without what it needs besides.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import files, version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.forward.__main__ import BACKBONES, PAUSE
from benchmarks.forward.runtimes import ONNXRUNTIME, OPENVINO, OURS, TENSORFLOW, Contest, Way, on_tensorflow
from benchmarks.machine import ROUNDS, describe_machine
from benchmarks.records import Run, TableRow, keep, markdown
from convfe_core.backbones.backbone import freeze_and_run
from convfe_core.backbones.network import open_network
from convfe_core.catalog.specs import parse_spec

BATCH = (2, 192, 224, 3)
ON_OURS = {f"{OPENVINO} on our graph, one size": True, f"{OPENVINO} on our graph, any size": False}
PASSES = 4
"""Passes of one measurement: the clock of a process is coarse."""
PACKAGES = {"TensorFlow and Keras": ("keras", "tensorflow"), ONNXRUNTIME: ("onnxruntime",), OPENVINO: ("openvino",)}
_IMPORTED = """
import sys, time, psutil, numpy
before, start = psutil.Process().memory_info().rss, time.process_time()
for name in sys.argv[1:]: __import__(name)
print(time.process_time() - start, (psutil.Process().memory_info().rss - before) / 2**20)
"""


def processor_seconds(work: Callable[[], Any]) -> float:
    """How long all threads of this process compute together."""
    start = time.process_time()
    work()
    return time.process_time() - start


def compare(name: str, rounds: int) -> list[TableRow]:
    """Processor time of a network by each engine, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        contest = Contest(name, Path(folder))
        batch = np.random.default_rng(0).integers(0, 256, BATCH, dtype=np.uint8)
        pixels = contest._scaled(batch)
        network = open_network(parse_spec(f"{name}:untrained"))
        ways: dict[str, Way] = {}

        def ready(title: str, make: Callable[[], Way]) -> float:
            def first() -> None:
                ways[title] = make()
                ways[title]()

            return processor_seconds(first)

        def ours() -> Way:
            backbone = freeze_and_run(network, "float32")
            return lambda: backbone.reduce(batch)

        contest.network  # noqa: B018 - opened before anything is timed
        making = {
            OURS[0]: ready(OURS[0], ours),
            TENSORFLOW: ready(TENSORFLOW, lambda: on_tensorflow(contest.network, batch)),
        }
        exporting = processor_seconds(lambda: contest._onnx_file)
        if contest._onnx_file is not None:
            making[ONNXRUNTIME] = exporting + ready(ONNXRUNTIME, lambda: contest._onnxruntime(pixels))
        making[OPENVINO] = ready(OPENVINO, lambda: contest._openvino(pixels))
        for title, one_size in ON_OURS.items():
            making[title] = ready(title, lambda one=one_size: contest.openvino_on_ours(batch, one_size=one))  # type: ignore[misc]
        taken: dict[str, list[float]] = {title: [] for title in ways}
        for _ in range(rounds):
            for title, way in ways.items():
                time.sleep(PAUSE)  # until threads of the one before have stopped to wait for more
                taken[title].append(processor_seconds(lambda way=way: [way() for _ in range(PASSES)]))  # type: ignore[misc]
    exact = median(taken[OURS[0]])
    return [
        {
            "network, engine": f"{name}, {title}",
            "processor ms an image": round(1e3 * median(times) / PASSES / len(batch), 1),
            "share of ours": f"{median(times) / exact:.2f}",
            "to make ready, processor s": round(making[title], 1),
        }
        for title, times in taken.items()
    ]


def weigh(title: str) -> TableRow:
    """What a package takes by itself."""
    names = PACKAGES[title]
    told = subprocess.run([sys.executable, "-c", _IMPORTED, *names], capture_output=True, text=True, check=True).stdout
    seconds, megabytes = map(float, told.split()[-2:])
    paths = {Path(file.locate()) for name in names for file in files(name) or ()}
    size = sum(path.stat().st_size for path in paths if path.is_file())
    return {
        "package": f"{title} ({', '.join(version(name) for name in names)})",
        "files, MB": round(size / 2**20),
        "to import, processor s": round(seconds, 1),
        "in memory once imported, MB": round(megabytes),
    }


def main() -> None:
    """Print the tables, and keep them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", action="append", metavar="NAME", help="may be given several times")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how often everything is timed (default {ROUNDS})")
    options = parser.parse_args()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    run = Run.now("forward.engines", ("onnxruntime", "openvino"))
    print(describe_machine(), "\n")
    packages = [weigh(title) for title in PACKAGES]
    print(markdown(packages), "\n", flush=True)
    keep("engines", run, {"packages": packages})
    for name in options.backbone or BACKBONES:
        rows = compare(name, options.rounds)
        print(markdown(rows), "\n", flush=True)
        keep("engines", run, {"processor time": rows})


if __name__ == "__main__":
    main()
