"""The machine that figures were taken on: its name, what else it was doing, and the most it can compute."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from convfe_core.backbones.frozen_graph import in_bfloat16, trace
from convfe_core.backbones.precision import Precision, computes_in_bfloat16, explain_precision
from convfe_core.machine.memory import memory_limit_mb
from convfe_core.machine.processor import usable_cores

ROUNDS = 7


def describe_machine() -> str:
    """Say in two lines what this machine is and whether it was idle."""
    try:
        load = f"{os.getloadavg()[0]:.1f}"
    except (AttributeError, OSError):  # Windows keeps none
        load = "unknown"
    fast = explain_precision("fast")
    return (
        f"{_processor()}, {usable_cores()} cores, {memory_limit_mb() / 1024:.0f} GB; fast = {fast}\n"
        f"{platform.system()}, Python {platform.python_version()}, TensorFlow {version('tensorflow')}, "
        f"Keras {version('keras')}; load average at the start {load}"
    )


def _processor() -> str:
    """The processor's name, with family and model where its name says too little to tell it from another."""
    path = Path("/proc/cpuinfo")
    facts = {}
    for line in path.read_text("utf-8", "replace").splitlines() if path.is_file() else []:
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    if "model name" not in facts:
        return platform.processor() or platform.machine()
    return f"{facts['model name']} (family {facts.get('cpu family', '?')}, model {facts.get('model', '?')})"


def seconds(work: Callable[[], Any]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _graph(function: Callable[..., Any], signature: list[Any], precision: Precision) -> Callable[..., Any]:
    graph = trace(function, signature)
    return in_bfloat16(graph) if computes_in_bfloat16(precision) else graph


def matmul_gflops(precision: Precision, side: int = 2048) -> float:
    """GFLOP/s of a large matrix product, a multiply-add counted as two."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    left, right = (tf.constant(random.standard_normal((side, side)), tf.float32) for _ in range(2))
    square = tf.TensorSpec((side, side), tf.float32)
    product = _graph(lambda a, b: tf.reduce_sum(tf.nn.relu(a @ b)), [square, square], precision)
    return _best_rate(lambda: product(left, right), 2 * side**3)


def convolution_gflops(precision: Precision, side: int = 56, channels: int = 256, batch: int = 8) -> float:
    """GFLOP/s of a 3 x 3 convolution as in the middle of VGG16."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    images = tf.constant(random.standard_normal((batch, side, side, channels)), tf.float32)
    kernel = tf.constant(random.standard_normal((3, 3, channels, channels)), tf.float32)

    def convolve(x: Any) -> Any:
        return tf.reduce_sum(tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME")))

    convolution = _graph(convolve, [tf.TensorSpec(images.shape, tf.float32)], precision)
    return _best_rate(lambda: convolution(images), 2 * batch * side**2 * 9 * channels**2)


def _best_rate(work: Callable[[], Any], operations: float) -> float:
    """GFLOP/s in the median of several runs, after one that does not count."""
    work()
    return operations / statistics.median(seconds(work) for _ in range(ROUNDS)) / 1e9
