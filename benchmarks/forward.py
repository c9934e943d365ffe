"""The forward pass: the notebook's way against ours, in one run, and against what the machine can compute at most.

    python -m benchmarks.forward [--backbone VGG16 ...] [--rounds 7] [--only-onednn]

The notebook's way is ``model.predict`` on one image and the two reductions in NumPy. Ours is one frozen graph on a
batch of 8. Weights are random: speed does not depend on them. Rounds alternate between the ways, so that whatever else
the machine does hits all of them alike; times are medians over the rounds, ratios medians of each round's ratio.

A second table compares float32 with oneDNN, as this process has it, and without, in another process that takes its turn
in every round. ``ONEDNN_MAX_CPU_ISA=AVX2`` shows how that is on a processor that has no more. It caps both sides: where
oneDNN is off TensorFlow still multiplies matrices by kernels of oneDNN's. Whether TensorFlow switches oneDNN on by
itself does not depend on it, nor does anything else of the processor, such as its caches.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import logging
import multiprocessing
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from benchmarks.machine import ROUNDS, convolution_gflops, describe_machine, matmul_gflops, seconds
from convfe_core.backbones.backbone import Backbone, load_backbone
from convfe_core.backbones.precision import PRECISIONS
from convfe_core.catalog.builders import build_model
from convfe_core.catalog.pixel_scaling import scale_pixels
from convfe_core.catalog.specs import Architecture, find_architecture, parse_spec
from convfe_core.machine.memory import tensor_memory
from convfe_core.machine.onednn import SETTING, capped_to

BACKBONES = ("VGG16", "ResNet50", "MobileNetV2-1.0", "EfficientNetB0")
SIDE = 224
BATCH = 8


@dataclass(frozen=True)
class Timing:
    """Milliseconds per image in every round, for each way."""

    name: str
    gflop: float
    notebook: list[float]
    float32: list[float]
    fast: list[float]

    def row(self) -> str:
        """One line of the table."""
        notebook, exact, fast = (statistics.median(times) for times in (self.notebook, self.float32, self.fast))
        return (
            f"| {self.name} | {notebook:.1f} | {exact:.1f} | {fast:.1f} "
            f"| {_ratio(self.notebook, self.float32):.1f} | {_ratio(self.notebook, self.fast):.1f} "
            f"| {self.gflop:.2f} | {self.gflop / exact * 1e3:.0f} | {self.gflop / fast * 1e3:.0f} |"
        )


def _ratio(slow: list[float], quick: list[float]) -> float:
    return statistics.median(s / q for s, q in zip(slow, quick, strict=True))


def time_backbone(name: str, rounds: int) -> Timing:
    """Run one backbone all three ways, in turn."""
    architecture = find_architecture(name)
    images = np.random.default_rng(0).integers(0, 256, (BATCH, SIDE, SIDE, 3), dtype=np.uint8)
    model = build_model(architecture)
    gflop = count_flop(model) / 1e9
    ways: dict[str, Callable[[], Any]] = {"notebook": notebook_way(model, architecture, images[:1])}
    for precision in PRECISIONS:
        backbone = load_backbone(parse_spec(f"{name}:untrained"), precision=precision)
        ways[precision] = lambda backbone=backbone: backbone.reduce(images)  # type: ignore[misc]
    for run in ways.values():
        run()
        run()
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            times[way].append(seconds(run) * 1e3 / (1 if way == "notebook" else BATCH))
    return Timing(architecture.name, gflop, **times)


def notebook_way(model: Any, architecture: Architecture, images: Any) -> Callable[[], Any]:
    """``predict`` on one image, then the maximum and the mean of what comes out."""
    pixels = np.asarray(scale_pixels(images.astype(np.float32), architecture.preprocessing))

    def run() -> Any:
        features = model.predict(pixels, verbose=0)
        return features.max(axis=-1), features.mean(axis=-1)

    return run


def count_flop(model: Any) -> float:
    """Operations for one image, a multiply-add counted as two, as TensorFlow's profiler finds them in the graph."""
    import tensorflow as tf

    traced = tf.function(lambda x: model(x, training=False)).get_concrete_function(
        tf.TensorSpec((1, SIDE, SIDE, 3), tf.float32)
    )
    options = tf.compat.v1.profiler.ProfileOptionBuilder(
        tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    ).with_empty_output()
    profile = tf.compat.v1.profiler.profile(traced.graph, options=options.build())
    return float(profile.total_float_ops)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", action="append", metavar="NAME", help="may be given several times")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how often everything is timed (default {ROUNDS})")
    parser.add_argument("--only-onednn", action="store_true", help="leave out the notebook, fast and the peaks")
    options = parser.parse_args()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    print(describe_machine())
    print(f"{SIDE} x {SIDE} pixels, milliseconds per image, medians of {options.rounds} rounds\n")
    names = options.backbone or BACKBONES
    if not options.only_onednn:
        print_ways(names, options.rounds)
    print_onednn(names, options.rounds)


def print_ways(names: Sequence[str], rounds: int) -> None:
    """Print the table of all ways, and what the machine computes at most."""
    columns = ["", "notebook", "float32", "fast", "notebook / float32", "notebook / fast"]
    columns += ["GFLOP", "float32, GFLOP/s", "fast, GFLOP/s"]
    print(f"| {' | '.join(columns)} |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in names:
        print(time_backbone(name, rounds).row(), flush=True)
    print("\nThe most this machine computes, GFLOP/s:")
    for precision in PRECISIONS:
        product, convolution = matmul_gflops(precision), convolution_gflops(precision)
        print(f"{precision}: matrix product {product:.0f}, 3 x 3 convolution {convolution:.0f}")


def print_onednn(names: Sequence[str], rounds: int) -> None:
    """Print the table of float32 with and without oneDNN."""
    cap = f", which may use no more than {capped_to()}" if capped_to() else ""
    print(f"\nfloat32 with oneDNN{cap}, and without it\n")
    print("| | oneDNN on | off | off / on |")
    print("|---|---|---|---|")
    spawned = multiprocessing.get_context("spawn")  # a fork would bring the setting that counts here
    with ProcessPoolExecutor(1, spawned, without_onednn) as other:
        for name in names:
            on, off = [], []
            for number in range(rounds + 1):
                here, there = round_of_float32(name), other.submit(round_of_float32, name).result()
                if number:  # the first one loads
                    on.append(here.milliseconds)
                    off.append(there.milliseconds)
            if (here.onednn, there.onednn) != (True, False):
                print(f"({name}: oneDNN was {here.onednn} here and {there.onednn} there)")
            print(
                f"| {name} | {statistics.median(on):.1f} | {statistics.median(off):.1f} | {_ratio(off, on):.2f} |",
                flush=True,
            )


@dataclass(frozen=True)
class Float32Round:
    """Milliseconds per image of one batch, and whether oneDNN computed it."""

    milliseconds: float
    onednn: bool


def without_onednn() -> None:
    """Have this process compute without oneDNN; before TensorFlow is imported."""
    os.environ[SETTING] = "0"


def round_of_float32(name: str) -> Float32Round:
    """Time one batch in this process, whatever it has."""
    backbone, images = _loaded(name)
    return Float32Round(seconds(lambda: backbone.reduce(images)) * 1e3 / BATCH, tensor_memory() is not None)


@cache
def _loaded(name: str) -> tuple[Backbone, Any]:
    images = np.random.default_rng(0).integers(0, 256, (BATCH, SIDE, SIDE, 3), dtype=np.uint8)
    backbone = load_backbone(parse_spec(f"{name}:untrained"))
    backbone.reduce(images)
    return backbone, images


if __name__ == "__main__":
    main()
