"""The machine that figures were taken on: its name, what else it was doing, and the most it can compute."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
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
    return (
        f"{machine_name()}; fast = {explain_precision('fast')}\n"
        f"{versions()}; load average at the start {describe_load()}"
    )


def machine_name() -> str:
    """Its processor, cores and memory."""
    return f"{processor_name()}, {usable_cores()} cores, {memory_limit_mb() / 1024:.0f} GB"


def versions(*packages: str) -> str:
    """Of the system, Python, TensorFlow, Keras and other packages."""
    told = (f"{name} {version(name.lower())}" for name in ("TensorFlow", "Keras", *packages))
    return f"{platform.system()}, Python {platform.python_version()}, {', '.join(told)}"


def describe_load() -> str:
    """How many processes wanted to run in the last minute, on average; Windows keeps no such number."""
    try:
        return f"{os.getloadavg()[0]:.1f}"
    except (AttributeError, OSError):
        return "unknown"


def processor_name() -> str:
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


@dataclass(frozen=True)
class Work:
    """Something to compute, and how many GFLOP it is, a multiply-add counted as two."""

    run: Callable[[], Any]
    gflop: float


def matrix_product(precision: Precision, side: int = 2048) -> Work:
    """A large matrix product."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    left, right = (tf.constant(random.standard_normal((side, side)), tf.float32) for _ in range(2))
    square = tf.TensorSpec((side, side), tf.float32)
    product = _graph(lambda a, b: tf.reduce_sum(tf.nn.relu(a @ b)), [square, square], precision)
    return Work(lambda: product(left, right).numpy(), 2 * side**3 / 1e9)


def convolution(precision: Precision, side: int = 56, channels: int = 256, batch: int = 8) -> Work:
    """A 3 x 3 convolution as in the middle of VGG16."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    images = tf.constant(random.standard_normal((batch, side, side, channels)), tf.float32)
    kernel = tf.constant(random.standard_normal((3, 3, channels, channels)), tf.float32)

    def convolve(x: Any) -> Any:
        return tf.reduce_sum(tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME")))

    graph = _graph(convolve, [tf.TensorSpec(images.shape, tf.float32)], precision)
    return Work(lambda: graph(images).numpy(), 2 * batch * side**2 * 9 * channels**2 / 1e9)


def _graph(function: Callable[..., Any], signature: list[Any], precision: Precision) -> Callable[..., Any]:
    graph = trace(function, signature)
    return in_bfloat16(graph) if computes_in_bfloat16(precision) else graph
