"""A TensorFlow function as one traced graph, in float32 or in bfloat16.

TensorFlow is imported inside the functions here.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.machine.machine_queue import BUILDING

MOST_SIZES = 8
"""Graphs that are kept of a function that is traced for each size; they share its weights."""


@dataclass(frozen=True, eq=False)
class Layers:
    """Some of a network's layers as a function of pictures.

    Attributes
    ----------
    compute : from a tensor of pictures and the weights to a list of tensors
    weights : tensors, or arrays where no tensors hold them
    has_only_copy : nobody else has the weights
    """

    compute: Callable[[Any, Sequence[Any]], list[Any]]
    weights: list[Any] = field(default_factory=list)
    has_only_copy: bool = False

    def __call__(self, pictures: Any) -> list[Any]:
        """Compute the layers with their own weights."""
        import tensorflow as tf

        with tf.init_scope():
            tensors = [tf.convert_to_tensor(weight) for weight in self.weights]
        return self.compute(pictures, tensors)

    def given(self, pictures: Any, *weights: Any) -> list[Any]:
        """Compute them with weights that are given; traced with `weight_specs`, the graph has none."""
        return self.compute(pictures, weights)

    @property
    def weight_specs(self) -> list[Any]:
        """A tf.TensorSpec of each weight."""
        import tensorflow as tf

        return [tf.TensorSpec(weight.shape, weight.dtype) for weight in self.weights]


def trace(function: Callable[..., Any], signature: list[Any], *, by_size: bool = False) -> Any:
    """Trace a TensorFlow function once, for every input that fits the signature; one at a time in the whole process.

    Parameters
    ----------
    signature : the first one of pictures (N, H, W, C)
    by_size : a layer must know the size of the picture: trace once for each size instead. That is done, too, where the
        trace for any size fails

    Returns
    -------
    tf.ConcreteFunction or `GraphsBySize`
    """
    import tensorflow as tf

    any_size = None in signature[0].shape[1:3]
    if by_size and any_size:
        return GraphsBySize(function, signature)
    with BUILDING, _without_gradients():
        try:
            return tf.function(function, signature, autograph=False).get_concrete_function()
        except Exception:  # Keras and TensorFlow raise many kinds for a size that is not known yet
            if not any_size:
                raise
            return GraphsBySize(function, signature)


@contextmanager
def _without_gradients() -> Iterator[None]:
    """Have TensorFlow forget the gradients of its own making that are noted while a graph is traced.

    A traced SiLU notes one, under a name of its own, and for ever: with it the whole graph and its weights would stay
    in memory. Nobody asks for gradients of a traced graph here.
    """
    from tensorflow.python.framework import ops

    noted = ops.gradient_registry._registry  # there is no public way
    known = set(noted)
    try:
        yield
    finally:
        for name in noted.keys() - known:
            del noted[name]


def run_graph(graph: Callable[..., Any], *arrays: NDArray[Any]) -> list[NDArray[Any]]:
    """Run a graph from arrays to arrays."""
    import tensorflow as tf

    return [np.asarray(value) for value in tf.nest.flatten(graph(*map(tf.constant, arrays)))]


class GraphsBySize:
    """A TensorFlow function traced for each size of picture when it comes, the last few kept.

    Some layers of Keras, such as ``UpSampling2D`` with other than nearest neighbours, cannot be traced for any size.

    Parameters
    ----------
    function, signature : as of `trace`
    finish : what is done to each graph
    """

    def __init__(
        self,
        function: Callable[..., Any],
        signature: list[Any],
        finish: Callable[[Any], Callable[..., Any]] = lambda graph: graph,
    ) -> None:
        self._function, self._signature, self._finish = function, signature, finish
        self._graphs: OrderedDict[tuple[int, int], Callable[..., Any]] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, pictures: Any, *others: Any) -> Any:
        height, width = pictures.shape[1:3]
        return self.at(int(height), int(width))(pictures, *others)

    def finished_by(self, finish: Callable[[Any], Callable[..., Any]]) -> GraphsBySize:
        """The same function with something done to each of its graphs."""
        return GraphsBySize(self._function, self._signature, finish)

    def at(self, height: int, width: int) -> Callable[..., Any]:
        """The graph of a size."""
        import tensorflow as tf

        with self._lock:
            if (height, width) not in self._graphs:
                pictures = self._signature[0]
                known = tf.TensorSpec((pictures.shape[0], height, width, pictures.shape[3]), pictures.dtype)
                self._graphs[height, width] = self._finish(trace(self._function, [known, *self._signature[1:]]))
            self._graphs.move_to_end((height, width))
            while len(self._graphs) > MOST_SIZES:
                self._graphs.popitem(last=False)
            return self._graphs[height, width]


class WeightsSpentError(Exception):
    """The weights of a network are needed once more, and were the only copy."""


def with_weights(graph: Any, weights: Sequence[Any]) -> Callable[..., Any]:
    """Give the function of pictures alone that a graph of pictures and weights is with these.

    Raises
    ------
    WeightsSpentError : they are gone
    """
    import tensorflow as tf

    tensors = [tf.convert_to_tensor(weight) for weight in weights]
    if isinstance(graph, GraphsBySize):
        return lambda pictures: graph(pictures, *tensors)
    signature = graph.structured_input_signature[0]
    if len(signature) > 1 + len(weights):
        raise WeightsSpentError
    traced: Callable[..., Any] = trace(lambda pictures: graph(pictures, *tensors), signature[:1])
    return traced


def in_bfloat16(graph: Any, weights: Sequence[Any] = ()) -> Callable[..., Any]:
    """Give the same graph in bfloat16 arithmetic, its kernels rounded once instead of at every pass.

    oneDNN rewrites convolutions and matrix products to bfloat16 for this graph alone: graphs of both precisions live
    side by side.

    Parameters
    ----------
    weights : what the graph takes besides its first arguments; the result takes those alone
    """
    import tensorflow as tf

    if isinstance(graph, GraphsBySize):
        return graph.finished_by(partial(in_bfloat16, weights=weights))
    kinds = [output.dtype for output in graph.outputs]
    held = [_rounded(value) for value in (*weights, *graph.captured_inputs)]

    def widened(*arguments: Any) -> Any:
        values = [tf.cast(value, tf.float32) if value.dtype == tf.bfloat16 else value for value in held]
        return tf.raw_ops.PartitionedCall(args=[*arguments, *values], Tout=kinds, f=graph)

    signature = graph.structured_input_signature[0]
    rounded = trace(widened, signature[: len(signature) - len(weights)])
    options = tf.compat.v1.ConfigProto(allow_soft_placement=True)
    rewrites = options.graph_options.rewrite_options
    rewrites.auto_mixed_precision_onednn_bfloat16 = type(rewrites).ON
    settings = options.SerializeToString()

    def run(*arguments: Any) -> Any:
        arguments += tuple(rounded.captured_inputs)
        results = tf.raw_ops.PartitionedCall(args=arguments, Tout=kinds, f=rounded, config_proto=settings)
        return tf.nest.pack_sequence_as(graph.structured_outputs, results)

    return run


def _rounded(weight: Any) -> Any:
    """A tensor of a weight, in bfloat16 if it goes into a convolution or a matrix product; the others hold one row."""
    import tensorflow as tf

    is_kernel = tf.as_dtype(weight.dtype) == tf.float32 and len(weight.shape) > 1 and weight.shape[-2] > 1
    return tf.cast(weight, tf.bfloat16) if is_kernel else tf.convert_to_tensor(weight)


def profiled_flops(graph: Any, height: int, width: int) -> int:
    """Floating-point operations of a graph for one picture of a size, read from it by TensorFlow's profiler.

    Parameters
    ----------
    graph : what `trace` returns
    """
    import tensorflow as tf

    if isinstance(graph, GraphsBySize):
        graph = graph.at(height, width)
    sized = _sized(graph, height, width)
    options = tf.compat.v1.profiler.ProfileOptionBuilder(tf.compat.v1.profiler.ProfileOptionBuilder.float_operation())
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")  # the profiler calls parts of TensorFlow that announce their own end
    try:
        profile = tf.compat.v1.profiler.profile(sized, options=options.with_empty_output().build())
    finally:
        logger.setLevel(level)
    return int(profile.total_float_ops)


def _sized(graph: Any, height: int, width: int) -> Any:
    """The tf.Graph of one picture of a size, in which every shape is known; to trace it once more takes longer."""
    import tensorflow as tf

    pictures, *weights = graph.inputs
    with tf.Graph().as_default() as sized:
        given = {pictures.name: tf.compat.v1.placeholder(pictures.dtype, (1, height, width, pictures.shape[3]))}
        given |= {weight.name: tf.compat.v1.placeholder(weight.dtype, weight.shape) for weight in weights}
        tf.import_graph_def(graph.graph.as_graph_def(), given, name="")
    return sized
