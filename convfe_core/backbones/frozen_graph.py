"""A TensorFlow function as one traced graph, in float32 or in bfloat16.

TensorFlow is imported inside the functions here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from convfe_core.backbones.precision import Precision, computes_in_bfloat16
from convfe_core.base.machine_queue import BUILDING


def freeze(function: Callable[..., Any], signature: list[Any], precision: Precision = "float32") -> Callable[..., Any]:
    """Trace a TensorFlow function once, for every input that fits the signature.

    In ``fast`` precision oneDNN rewrites convolutions and matrix products to bfloat16, for this graph alone: graphs of
    both precisions live side by side.
    """
    graph = trace(function, signature)
    return in_bfloat16(graph) if computes_in_bfloat16(precision) else graph


def trace(function: Callable[..., Any], signature: list[Any]) -> Any:
    """Make a ``tf.ConcreteFunction`` of a function; one at a time in the whole process."""
    import tensorflow as tf

    with BUILDING:
        return tf.function(function, signature, autograph=False).get_concrete_function()


def run_graph(graph: Callable[..., Any], *arrays: NDArray[Any]) -> list[NDArray[Any]]:
    """Run a graph from arrays to arrays."""
    import tensorflow as tf

    return [value.numpy() for value in tf.nest.flatten(graph(*map(tf.constant, arrays)))]


def in_bfloat16(graph: Any) -> Callable[..., Any]:
    """Give the same graph in bfloat16 arithmetic, its kernels rounded once instead of at every pass."""
    import tensorflow as tf

    kinds = [output.dtype for output in graph.outputs]
    held = [tf.cast(value, tf.bfloat16) if _is_kernel(value) else value for value in graph.captured_inputs]

    def widened(*arguments: Any) -> Any:
        values = [tf.cast(value, tf.float32) if value.dtype == tf.bfloat16 else value for value in held]
        return tf.raw_ops.PartitionedCall(args=[*arguments, *values], Tout=kinds, f=graph)

    signature = graph.structured_input_signature[0]
    rounded = trace(widened, signature)
    options = tf.compat.v1.ConfigProto(allow_soft_placement=True)
    rewrites = options.graph_options.rewrite_options
    rewrites.auto_mixed_precision_onednn_bfloat16 = type(rewrites).ON
    settings = options.SerializeToString()

    def run(*arguments: Any) -> Any:
        arguments += tuple(rounded.captured_inputs)
        results = tf.raw_ops.PartitionedCall(args=arguments, Tout=kinds, f=rounded, config_proto=settings)
        return tf.nest.pack_sequence_as(graph.structured_outputs, results)

    return run


def _is_kernel(value: Any) -> bool:
    """Whether a tensor of weights goes into a convolution or a matrix product; the others hold one row."""
    return value.dtype.name == "float32" and len(value.shape) > 1 and value.shape[-2] > 1
