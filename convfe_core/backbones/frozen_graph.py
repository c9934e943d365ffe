"""A TensorFlow function as one traced graph, in float32 or in bfloat16.

TensorFlow is imported inside the functions here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convfe_core.backbones.precision import Precision, computes_in_bfloat16


def freeze(function: Callable[..., Any], signature: list[Any], precision: Precision = "float32") -> Callable[..., Any]:
    """Trace a TensorFlow function once, for every input that fits the signature.

    In ``fast`` precision oneDNN rewrites convolutions and matrix products to bfloat16, for this graph alone: graphs of
    both precisions live side by side.
    """
    import tensorflow as tf

    graph: Callable[..., Any] = tf.function(function, signature, autograph=False).get_concrete_function()
    return in_bfloat16(graph) if computes_in_bfloat16(precision) else graph


def in_bfloat16(graph: Any) -> Callable[..., Any]:
    """Give the same graph in bfloat16 arithmetic, its kernels rounded once instead of at every pass."""
    import tensorflow as tf

    kinds = [output.dtype for output in graph.outputs]
    held = [tf.cast(value, tf.bfloat16) if _is_kernel(value) else value for value in graph.captured_inputs]

    def widened(*arguments: Any) -> Any:
        values = [tf.cast(value, tf.float32) if value.dtype == tf.bfloat16 else value for value in held]
        return tf.raw_ops.PartitionedCall(args=[*arguments, *values], Tout=kinds, f=graph)

    signature = graph.structured_input_signature[0]
    rounded = tf.function(widened, signature, autograph=False).get_concrete_function()
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
