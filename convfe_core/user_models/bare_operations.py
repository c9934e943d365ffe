"""Bare operations in an HDF5 file's description: arithmetic between layers, as of ``preprocess_input``.

There Keras writes an operation like a layer, without the module that it comes from, and looks for a layer of its name
when it reads the file again. ``Subtract`` and others are both; a layer tells whether it is trainable.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from convfe_core.model_files.allowed_names import OPERATIONS
from convfe_core.model_files.safety import objects_in

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
    for described in filter(_is_operation, objects_in(config)):
        kind = described["class_name"]
        home = next((module for module in modules if hasattr(module, kind)), None)
        if home is not None:
            described |= {"module": home.__name__, "registered_name": kind}
            found = True
    return found


def _is_operation(node: dict[str, Any]) -> bool:
    settings = node.get("config")
    unplaced = "inbound_nodes" in node and "module" not in node and node.get("class_name") in OPERATIONS
    return unplaced and isinstance(settings, dict) and "trainable" not in settings
