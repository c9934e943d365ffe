"""Bare operations in an HDF5 file's description: arithmetic between layers, as of ``preprocess_input``.

There Keras writes an operation like a layer, without the module that it comes from, and looks for a layer of its name
when it reads the file again. ``Subtract`` and others are both; a layer tells whether it is trainable.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from convfe_core.model_files.allowed_names import OPERATIONS
from convfe_core.user_models.allocation_limits import build_old_keras

_MODULES = (
    "ops.numpy",
    "ops.nn",
    "ops.core",
    "ops.math",
    "ops.image",
    "ops.linalg",
    "ops.einops",
    "activations.activations",
)


def name_operations(config: dict[str, Any]) -> bool:
    """Write into a description where its operations come from; True where it has some."""
    modules = [import_module(f"keras.src.{module}") for module in _MODULES]
    found = False
    for described in _operations(config):
        kind = described["class_name"]
        home = next((module for module in modules if hasattr(module, kind)), None)
        if home is not None:
            described |= {"module": home.__name__, "registered_name": kind}
            found = True
    return found


def load_with_operations(path: Path, config: dict[str, Any]) -> Any:
    """Load a HDF5 file by a description that `name_operations` has completed."""
    model = build_old_keras(config)
    model.load_weights(path)
    return model


def _operations(config: Any) -> Iterator[dict[str, Any]]:
    pending = [config]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if _is_operation(node):
                yield node
            pending += node.values()
        elif isinstance(node, list):
            pending += node


def _is_operation(node: dict[str, Any]) -> bool:
    settings = node.get("config")
    unplaced = "inbound_nodes" in node and "module" not in node and node.get("class_name") in OPERATIONS
    return unplaced and isinstance(settings, dict) and "trainable" not in settings
