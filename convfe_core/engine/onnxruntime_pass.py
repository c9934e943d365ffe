"""A traced TensorFlow graph run by onnxruntime, which computes most convolutional networks in less time.

From one layer to the next its maps stay in blocks of the processor's width, and a layer costs little besides its
arithmetic: `python -m benchmarks.forward` shows how much that saves.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.engine.onnx_writer import UntranslatableError
from convfe_core.engine.translate_graph import PICTURES, translate_graph
from convfe_core.machine.memory import room_mb
from convfe_core.machine.onnxruntime_setup import session_options

_MB_BESIDE, _TIMES_WEIGHTS = 60.0, 2.2
"""Megabytes at their highest while a session is made, with some to spare: where TensorFlow's weights stayed beside, as
those of users' own models do, ResNet50 (90 MB) took 142."""

_SLOW_JOINS = ["BiasGeluFusion"]
"""Of onnxruntime's optimisers: a GELU joined to the sum before it took a tenth to a half longer than the two."""

_log = logging.getLogger(__name__)


def on_onnxruntime(
    graph: Callable[..., Any], weights: list[Any] | None = None, *, spend: bool = False
) -> Callable[..., Any] | None:
    """The same function of pictures run by onnxruntime, where that can run it and there is room, and no GPU.

    Parameters
    ----------
    graph : from `convfe_core.backbones.frozen_graph.trace`, of pictures and the weights; it gives float32
    weights : arrays or tensors that the graph takes besides the pictures
    spend : empty the list before onnxruntime has the weights, so that they are in memory once

    Returns
    -------
    a function of a batch, an array or a tensor, to a list of arrays, equal up to rounding; None where TensorFlow must
    run the graph, for which the list may be empty already
    """
    import tensorflow as tf

    weights = weights or []
    if not hasattr(graph, "captured_inputs") or tf.config.list_physical_devices("GPU") or not _has_room(graph):
        return None
    try:
        # Where a system cannot delete a file that onnxruntime reads, it stays until somebody clears temporary files.
        with tempfile.TemporaryDirectory(prefix="convfe-", ignore_cleanup_errors=True) as folder:
            model = translate_graph(graph, Path(folder), weights)
            if spend:
                weights.clear()
            return _session_run(model, folder)
    except (UntranslatableError, OSError) as error:
        _log.info("TensorFlow runs %s: %s", getattr(graph, "name", "a graph"), error)
        return None


def _has_room(graph: Any) -> bool:
    """Whether the weights fit into memory twice more: as they are read from the file, and as they are computed with."""
    weights = sum(weight.shape.num_elements() * weight.dtype.size for weight in graph.inputs[1:])
    return bool(_MB_BESIDE + _TIMES_WEIGHTS * weights / 2**20 <= room_mb())


def _session_run(model: bytes, folder: str) -> Callable[[Any], list[NDArray[Any]]]:
    """Load a model with the weights in a folder, which are not needed afterwards.

    Raises
    ------
    UntranslatableError : onnxruntime does not take it, such as for an operation on numbers of another kind
    """
    import onnxruntime

    options = session_options()
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
    try:
        session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"], disabled_optimizers=_SLOW_JOINS
        )
    except Exception as error:  # onnxruntime's have many classes and none in common
        raise UntranslatableError(f"onnxruntime cannot load it: {error}") from error

    def run(pictures: Any) -> list[NDArray[Any]]:
        try:
            found = session.run(None, {PICTURES: np.asarray(pictures)})
        except Exception as error:
            raise ValueError(_reason_of(error)) from error
        return list(found)

    return run


def _reason_of(error: Exception) -> str:
    """What onnxruntime says at the end, behind the places in its program where it was found."""
    return str(error).rpartition("Status Message: ")[2].rpartition(" was false. ")[2].strip()
