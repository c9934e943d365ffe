"""The control of an ONNX file: its own layers with weights that were never trained."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np

from convfe_core.onnx_models.opening import OnnxGraph


def without_training(graph: OnnxGraph, seed: int) -> OnnxGraph:
    """The same graph, the numbers of each of its kernels dealt out anew.

    Exporters fold batch normalisation into the kernels, so that no fresh initialisation keeps the scale from layer to
    layer. A kernel whose own numbers are shuffled keeps it, and has nothing left of what was learnt. Biases, gains and
    what sizes are computed with stay.

    Parameters
    ----------
    seed : the same one gives the same weights
    """
    from onnx import numpy_helper

    weights = {}
    for name, tensor in graph.weights.items():
        value = numpy_helper.to_array(tensor) if len(tensor.dims) > 1 else None
        if value is not None and value.dtype.kind == "f":
            rng = np.random.default_rng((seed, zlib.crc32(name.encode())))
            tensor = numpy_helper.from_array(rng.permutation(value.reshape(-1)).reshape(value.shape), name)
        weights[name] = tensor
    return replace(graph, weights=weights)
