"""A TensorFlow function of pictures, computed by TensorFlow and by onnxruntime from its translation."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.engine.onnxruntime_pass import on_onnxruntime
from convfe_core.engine.translate_graph import translate_graph

Pair = tuple[NDArray[Any], NDArray[Any]]
"""What TensorFlow computes, and onnxruntime."""
Function = Callable[[Any], Any]
"""Takes float32 maps (N, H, W, C)."""


def traced(function: Callable[..., Any], channels: int = 3, kind: str = "float32") -> Any:
    """A function of pictures of any number and size, traced."""
    import tensorflow as tf

    signature = [tf.TensorSpec((None, None, None, channels), kind)]
    return tf.function(function, signature, autograph=False).get_concrete_function()


def translate(graph: Any) -> Counter[str]:
    """Translate a graph; how many nodes of each kind that gives."""
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        model = onnx.load_model_from_string(translate_graph(graph, Path(folder)))
    return Counter(node.op_type for node in model.graph.node)


def both(graph: Any, pictures: NDArray[Any]) -> list[Pair]:
    """Each output as TensorFlow and as onnxruntime computes it."""
    import tensorflow as tf

    run = on_onnxruntime(graph)
    assert run is not None, "TensorFlow would run this graph"
    batch = tf.constant(pictures)
    pairs = zip(tf.nest.flatten(graph(batch)), run(batch), strict=True)
    return [(expected.numpy(), found) for expected, found in pairs]


def check_pair(expected: NDArray[Any], found: NDArray[Any], rounding: float = 1e-6) -> None:
    """Two arrays are equal up to rounding, which may be this share of their largest value."""
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=rounding * largest)


def check_alike(graph: Any, pictures: NDArray[Any], rounding: float = 1e-6) -> None:
    """Both compute the same; see `check_pair`."""
    for pair in both(graph, pictures):
        check_pair(*pair, rounding)


SIZES = ((1, 13, 10), (3, 6, 7))
"""Of the batches, odd and even."""


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    """float32 from a normal distribution."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def kernel(*shape: int) -> np.ndarray:
    """A kernel that keeps the size of values."""
    return numbers(*shape) / np.float32(np.sqrt(np.prod(shape[:-1])))


def check(function: Function, channels: int = 3, sizes: tuple[tuple[int, int, int], ...] = SIZES) -> None:
    graph = traced(function, channels)
    for size in sizes:
        check_alike(graph, numbers(*size, channels, seed=1))
