"""onnxruntime runs a graph that is translated; TensorFlow runs whatever is not, and its weights are where they were."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from convfe_core.backbones.frozen_graph import trace
from convfe_core.backbones.network import open_network
from convfe_core.base.errors import ModelFileError
from convfe_core.base.model_runs import guarded
from convfe_core.catalog.specs import parse_spec
from convfe_core.engine.onnx_writer import LARGE_BYTES, WEIGHTS_FILE
from convfe_core.engine.onnxruntime_pass import on_onnxruntime
from convfe_core.engine.translate_graph import translate_graph
from tests.engine.translated import check_alike, check_pair, traced
from tests.support.builders import noise

SIDE = 64
"""Channels of maps; a kernel of 1 x 1 that makes one channel more of them is just large."""


def wide_kernel(seed: int = 0) -> np.ndarray:
    """(1, 1, SIDE, SIDE + 1) float32."""
    return np.random.default_rng(seed).normal(0, 0.1, (1, 1, SIDE, SIDE + 1)).astype(np.float32)


def wide_maps(count: int = 2) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, 6, 7, SIDE)).astype(np.float32)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_graph_with_an_operation_that_is_not_known_stays_tensorflows(temporary: Path) -> None:
    import tensorflow as tf

    graph = traced(lambda x: tf.sin(tf.nn.relu(x)))
    assert on_onnxruntime(graph) is None
    assert not list(temporary.iterdir())


def test_a_graph_that_onnxruntime_cannot_load_stays_tensorflows(temporary: Path) -> None:
    import tensorflow as tf

    graph = traced(lambda x: tf.cast(tf.nn.relu(x), tf.float32), kind="uint8")
    assert on_onnxruntime(graph) is None
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("spend", [False, True])
def test_weights_that_a_graph_is_given_go_along(spend: bool) -> None:
    import tensorflow as tf

    kernel = wide_kernel()
    specs = [tf.TensorSpec((None, None, None, SIDE)), tf.TensorSpec(kernel.shape)]
    graph = trace(lambda pictures, kernel: [tf.nn.conv2d(pictures, kernel, 1, "SAME")], specs)
    weights = [kernel]
    run = on_onnxruntime(graph, weights, spend=spend)
    assert run is not None
    assert len(weights) == (0 if spend else 1)
    check_pair(graph(wide_maps(), kernel)[0].numpy(), run(wide_maps())[0])


def test_weights_are_spent_before_onnxruntime_refuses_a_graph_and_after_it_is_translated() -> None:
    import tensorflow as tf

    specs = [tf.TensorSpec((None, None, None, SIDE)), tf.TensorSpec((SIDE,))]
    unknown = trace(lambda pictures, factor: tf.sin(pictures * factor), specs)
    weights = [np.ones(SIDE, np.float32)]
    assert on_onnxruntime(unknown, weights, spend=True) is None
    assert len(weights) == 1
    specs[0] = tf.TensorSpec((None, None, None, SIDE), tf.uint8)
    refused = trace(lambda pictures, factor: tf.cast(tf.nn.relu(pictures), tf.float32) * factor, specs)
    assert on_onnxruntime(refused, weights, spend=True) is None
    assert not weights


def test_a_function_traced_for_each_size_stays_tensorflows() -> None:
    import tensorflow as tf

    graph = trace(tf.nn.relu, [tf.TensorSpec((None, None, None, 3))], by_size=True)
    assert on_onnxruntime(graph) is None


def test_an_output_may_come_twice_or_be_the_pictures() -> None:
    import tensorflow as tf

    def repeated(x: Any) -> list[Any]:
        y = tf.nn.relu(x)
        return [y, x, y, tf.identity(y)]

    check_alike(traced(repeated, SIDE), wide_maps())


def test_a_constant_may_be_an_output() -> None:
    import tensorflow as tf

    check_alike(traced(lambda x: [x + 1.0, tf.ones((2, 3))], SIDE), wide_maps())


def test_large_weights_go_through_a_file_that_is_gone_afterwards(temporary: Path, tmp_path: Path) -> None:
    import tensorflow as tf

    kernels = [wide_kernel(seed) for seed in (0, 1)]
    held = tf.constant(kernels[1])  # as the weights of a network are, beside a constant inside the graph
    graph = traced(lambda x: [tf.nn.conv2d(x, kernel, 1, "SAME") for kernel in (kernels[0], held)], SIDE)
    assert kernels[0].nbytes > LARGE_BYTES
    check_alike(graph, wide_maps())
    assert not list(temporary.iterdir())

    model = translate_graph(graph, tmp_path)
    assert len(model) < LARGE_BYTES
    written = (tmp_path / WEIGHTS_FILE).read_bytes()
    for kernel in kernels:
        assert kernel[0, 0].T.tobytes() in written


def test_small_weights_need_no_file(tmp_path: Path) -> None:
    translate_graph(traced(lambda x: x * np.arange(3, dtype=np.float32)), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["folder", "file"])
def test_without_room_for_temporary_files_tensorflow_runs_the_graph(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    place = tmp_path / "gone"
    if missing == "file":
        place.touch()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    graph = traced(lambda x: tf.nn.conv2d(x, wide_kernel(), 1, "SAME"), SIDE)
    assert on_onnxruntime(graph) is None


def test_threads_share_a_function() -> None:
    import tensorflow as tf

    graph = traced(lambda x: tf.nn.relu(tf.nn.conv2d(x, wide_kernel(), 1, "SAME")), SIDE)
    run = on_onnxruntime(graph)
    assert run is not None
    batches = [tf.constant(wide_maps(count)) for count in (1, 2, 3, 4) * 4]
    alone = [run(batch)[0] for batch in batches]
    with ThreadPoolExecutor(4) as threads:
        together = [found[0] for found in threads.map(run, batches)]
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("fold", ["copy", "spend"])
def test_weights_that_change_later_do_not_reach_it(fold: Literal["copy", "spend"]) -> None:
    import tensorflow as tf

    network = open_network(parse_spec("TinyResNet:untrained"))
    graph = network.trace(network.reader([network.tensor], fold))
    run = on_onnxruntime(graph)
    assert run is not None
    batch = tf.constant(noise(64, 96)[None])
    before = run(batch)[0]
    assert np.ptp(before) > 0
    for weight in network.model.weights:
        weight.assign(np.zeros(weight.shape, weight.dtype))
    np.testing.assert_array_equal(run(batch)[0], before)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        ("conv2d", r"Invalid input shape: \{3,3\}"),
        ("max_pool2d", r"Calculated output dimension is negative\."),
        ("reshape", r"The input tensor cannot be reshaped to the requested shape\. Input shape:\{1,3,3,3\}"),
    ],
)
def test_a_picture_too_small_for_a_users_layers_is_one_sentence(layer: str, reason: str) -> None:
    import tensorflow as tf

    layers = {
        "conv2d": lambda x: tf.nn.conv2d(x, np.ones((5, 5, 3, 4), np.float32), 1, "VALID"),
        "max_pool2d": lambda x: tf.nn.max_pool2d(x, 5, 1, "VALID"),
        "reshape": lambda x: tf.reshape(x, (-1, 5, 5, 3)),
    }
    run = guarded(on_onnxruntime(traced(layers[layer])), "mine.keras", own=True)
    assert run(tf.ones((1, 5, 5, 3)))[0].shape[0] == 1
    with pytest.raises(ModelFileError, match=rf"^mine\.keras: .* picture\. Received: {reason}"):
        run(tf.ones((1, 3, 3, 3)))
