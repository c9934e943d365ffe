"""Traced graphs, and what TensorFlow keeps of them."""

import gc
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from convfe_core.backbones.frozen_graph import Layers, WeightsSpentError, trace, with_weights

KERNEL = np.random.default_rng(0).normal(size=(3, 3, 3, 4)).astype(np.float32)
"""Of a convolution, rows x columns x channels x channels."""
PICTURES = np.random.default_rng(1).normal(size=(2, 5, 6, 3)).astype(np.float32)


def convolution() -> Layers:
    import tensorflow as tf

    def compute(pictures: Any, weights: Sequence[Any]) -> list[Any]:
        return [tf.nn.conv2d(pictures, weights[0], 1, "SAME") + weights[1]]

    return Layers(compute, [KERNEL, np.ones(4, np.float32)])


def traced(layers: Layers, *, by_size: bool = False) -> Any:
    import tensorflow as tf

    return trace(layers.given, [tf.TensorSpec((None, None, None, 3)), *layers.weight_specs], by_size=by_size)


@pytest.mark.parametrize("by_size", [False, True])
def test_a_graph_without_weights_gives_what_the_layers_give_with_theirs(by_size: bool) -> None:
    layers = convolution()
    run = with_weights(traced(layers, by_size=by_size), layers.weights)
    (expected,) = layers(PICTURES)
    (found,) = run(PICTURES)
    assert np.ptp(expected) > 1
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_a_traced_graph_holds_none_of_the_weights_that_it_is_given() -> None:
    assert not traced(convolution()).captured_inputs


def test_a_graph_whose_weights_are_spent_is_not_run() -> None:
    with pytest.raises(WeightsSpentError):
        with_weights(traced(convolution()), [])


def test_a_graph_with_silu_is_gone_once_it_is_dropped() -> None:
    import tensorflow as tf

    weights = tf.ones((4, 4))
    graph = trace(lambda x: tf.nn.silu(x @ weights), [tf.TensorSpec((None, 4))])
    kept = weakref.ref(graph.graph)
    assert graph(tf.ones((1, 4))).shape == (1, 4)
    del graph
    gc.collect()
    assert kept() is None
