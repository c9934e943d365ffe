"""Traced graphs, and what TensorFlow keeps of them."""

import gc
import weakref

from convfe_core.backbones.frozen_graph import trace


def test_a_graph_with_silu_is_gone_once_it_is_dropped() -> None:
    import tensorflow as tf

    weights = tf.ones((4, 4))
    graph = trace(lambda x: tf.nn.silu(x @ weights), [tf.TensorSpec((None, 4))])
    kept = weakref.ref(graph.graph)
    assert graph(tf.ones((1, 4))).shape == (1, 4)
    del graph
    gc.collect()
    assert kept() is None
