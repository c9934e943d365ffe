"""TensorFlow in float32 with oneDNN, as this process has it, and without, in another one that takes its turn.

    python -m benchmarks.forward.without_onednn [--backbone VGG16 ...] [--rounds 7]

``ONEDNN_MAX_CPU_ISA=AVX2`` caps both sides: where oneDNN is off TensorFlow still multiplies matrices by kernels of
oneDNN's. Whether TensorFlow switches oneDNN on by itself does not depend on it, nor does anything else of the
processor, such as its caches.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from statistics import median

import numpy as np

from benchmarks.forward.runtimes import Way, on_tensorflow
from benchmarks.machine import ROUNDS, describe_machine, seconds
from benchmarks.records import Run, TableRow, keep, markdown
from convfe_core.backbones.network import open_network
from convfe_core.catalog.specs import parse_spec
from convfe_core.machine.memory import tensor_memory
from convfe_core.machine.onednn import SETTING

BACKBONES = ("VGG16", "ResNet50", "MobileNetV2-1.0", "EfficientNetB0")
SIDE = 224
BATCH = 8


@dataclass(frozen=True)
class Float32Round:
    """Milliseconds per image of one batch, and whether oneDNN computed it."""

    milliseconds: float
    onednn: bool


def switch_off() -> None:
    """Have this process compute without oneDNN; before TensorFlow is imported."""
    os.environ[SETTING] = "0"


def round_of_float32(name: str) -> Float32Round:
    """Time one batch in this process, whatever it has."""
    return Float32Round(seconds(_loaded(name)) * 1e3 / BATCH, tensor_memory() is not None)


@cache
def _loaded(name: str) -> Way:
    images = np.random.default_rng(0).integers(0, 256, (BATCH, SIDE, SIDE, 3), dtype=np.uint8)
    run = on_tensorflow(open_network(parse_spec(f"{name}:untrained")), images)
    run()
    return run


def compare(name: str, rounds: int, other: ProcessPoolExecutor) -> TableRow:
    """Run a network here and in another process, in turn."""
    on, off = [], []
    for number in range(rounds + 1):
        here, there = round_of_float32(name), other.submit(round_of_float32, name).result()
        if number:  # the first one loads
            on.append(here.milliseconds)
            off.append(there.milliseconds)
    if (here.onednn, there.onednn) != (True, False):
        raise RuntimeError(f"Expected oneDNN here alone. Received: {here.onednn} here and {there.onednn} there")
    ratio = median(without / with_it for without, with_it in zip(off, on, strict=True))
    return {
        f"{SIDE} pixels, batch {BATCH}, milliseconds per image": name,
        "oneDNN on": round(median(on), 1),
        "off": round(median(off), 1),
        "off / on": round(ratio, 2),
    }


def main() -> None:
    """Print the table, and keep it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", action="append", metavar="NAME", help="may be given several times")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how often everything is timed (default {ROUNDS})")
    options = parser.parse_args()
    run = Run.now("forward.without_onednn")
    print(describe_machine(), "\n")
    spawned = multiprocessing.get_context("spawn")  # a fork would bring the setting that counts here
    with ProcessPoolExecutor(1, spawned, switch_off) as other:
        rows = [compare(name, options.rounds, other) for name in options.backbone or BACKBONES]
    print(markdown(rows))
    keep("onednn", run, {"with oneDNN and without": rows})


if __name__ == "__main__":
    main()
