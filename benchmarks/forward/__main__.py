"""The forward pass against the machine's limit and against other runtimes, all in one run.

    python -m benchmarks.forward [--backbone VGG16 ...] [--size 224 ...] [--batch 8 ...] [--rounds 7]

Each network is run by `predict` and two reductions in NumPy, as the notebook does it; by TensorFlow on the graph that
ours is translated from; by onnxruntime and OpenVINO on what Keras exports for them; and by us, in float32 and in
``fast``. Rounds take all of them in turn, and the largest convolution and matrix product that the machine computes, so
that whatever else the machine does hits all alike; a turn is as many passes as fit into a tenth of a second. Times are
medians with half the distance of their quartiles, ratios medians of each round's ratio. See
`benchmarks.forward.runtimes` for how each is set up.

``ONEDNN_MAX_CPU_ISA=AVX2`` shows all of them on a processor that has no more: TensorFlow, which computes with oneDNN,
obeys it, and the others are copies that do, see `benchmarks.forward.without_avx512`.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import logging
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.forward.runtimes import OTHERS, OURS, Contest, Maps
from benchmarks.forward.without_avx512 import import_copies
from benchmarks.machine import ROUNDS, Work, convolution, describe_machine, matrix_product, seconds
from benchmarks.records import Run, TableRow, keep, markdown
from convfe_core.machine.onednn import capped_to

BACKBONES = ("VGG16", "ResNet50", "MobileNetV2-1.0", "EfficientNetB0", "DenseNet121", "ConvNeXtTiny")
SIZES = (224, 320)
BATCHES = (1, 8)
PAUSE = 0.05
"""Seconds before each turn, until threads of the runtime before it have gone to sleep."""
TURN = 0.1
"""Seconds that a turn lasts about, one pass after the other; one pass at least."""
CLOSE = 1e-3
"""Maps of float32 differ by no more than this share of their range."""
TITLE = "milliseconds per image"
NO_EXPORT = "no export"


def compete(contest: Contest, size: int, batch: int, peaks: Mapping[str, Work], rounds: int) -> TableRow:
    """Run a network in every way, in turn, and say how long each took."""
    ways = contest.ways(_noise(batch, size))
    require_alike({name: run() for name, run in ways.items()})
    everything: dict[str, Callable[[], Any]] = {**ways, **{name: work.run for name, work in peaks.items()}}
    times: dict[str, list[float]] = {name: [] for name in everything}
    for run in everything.values():
        run()
    passes = {name: max(1, round(TURN / _after_a_pause(run, 1))) for name, run in everything.items()}
    for _ in range(rounds):
        for name, run in everything.items():
            times[name].append(_after_a_pause(run, passes[name]))
    gflop = contest.network.count_flops(size, size) * batch / 1e9
    exact = times[OURS[0]]
    rates = {name: [work.gflop / took for took in times[name]] for name, work in peaks.items()}
    return {
        "network, pixels, batch": f"{contest.name}, {size}, {batch}",
        **{name: _spread([1e3 * took / batch for took in times.get(name, [])]) for name in (*OTHERS, *OURS)},
        "best other / ours": f"{min(_ratio(times[name], exact) for name in OTHERS if name in ways):.2f}",
        "GFLOP/s": round(gflop / median(exact)),
        **{f"of the {name}": f"{_ratio([gflop / took for took in exact], rates[name]):.0%}" for name in peaks},
        **{f"{name}, GFLOP/s": round(median(rates[name])) for name in peaks},
    }


def _after_a_pause(run: Callable[[], Any], passes: int) -> float:
    """Seconds a pass."""
    time.sleep(PAUSE)
    return seconds(lambda: [run() for _ in range(passes)]) / passes


def _noise(batch: int, size: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)


def require_alike(maps: Mapping[str, Maps]) -> None:
    """Stop where runtimes do not compute the same in float32: then they do not run the same network."""
    for one, other in ((OURS[0], name) for name in OTHERS if name in maps):
        for mine, theirs in zip(maps[one], maps[other], strict=True):
            if np.abs(mine - theirs).max() > CLOSE * np.ptp(mine):
                raise RuntimeError(f"Expected equal maps of all ways. Received: other ones from {other}")


def _spread(times: list[float]) -> str:
    if not times:
        return NO_EXPORT
    low, _, high = quantiles(times, n=4)
    return f"{median(times):.1f} ± {(high - low) / 2:.1f}"


def _ratio(above: list[float], below: list[float]) -> float:
    return median(a / b for a, b in zip(above, below, strict=True))


def main() -> None:
    """Print the table, and keep it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", action="append", metavar="NAME", help="may be given several times")
    parser.add_argument("--size", action="append", type=int, metavar="PIXELS", help="may be given several times")
    parser.add_argument("--batch", action="append", type=int, help="may be given several times")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how often everything is timed (default {ROUNDS})")
    options = parser.parse_args()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        if capped_to() == "AVX2":
            import_copies(Path(folder))
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """Compare the networks that are asked for, one after another."""
    run = Run.now("forward", ("onnxruntime", "openvino"))
    print(describe_machine(), "\n")
    peaks = {"convolution": convolution("float32"), "matrix product": matrix_product("float32")}
    for name in options.backbone or BACKBONES:
        with tempfile.TemporaryDirectory() as folder:
            contest = Contest(name, Path(folder))
            first = contest.first_maps(_noise(1, (options.size or SIZES)[0]))
            ready: TableRow = {
                "seconds from a name to the first maps": name,
                **{way: round(first[way], 1) if way in first else NO_EXPORT for way in (*OTHERS[2:], OURS[0])},
            }
            rows = [
                compete(contest, size, batch, peaks, options.rounds)
                for size in options.size or SIZES
                for batch in options.batch or BATCHES
            ]
        print(markdown([ready]), markdown(rows), sep="\n\n", end="\n\n", flush=True)
        keep("forward", run, {TITLE: rows, "first maps": [ready]})


if __name__ == "__main__":
    main()
