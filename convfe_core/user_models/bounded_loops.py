"""Layers that Keras makes a step or a tensor each for, up to millions of a long axis, while it opens a file.

Unrolled recurrent layers become loops, which compute the same; what splits its input says first into how many parts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from convfe_core.base.errors import ModelFileError
from convfe_core.model_files.safety import MOST_PARTS, objects_in


def bound_loops(config: dict[str, Any]) -> bool:
    """Write into a description what bounds its loops; True where it is not as the file has it any more."""
    changed, parts = False, 0
    for node in objects_in(config):
        if node.get("unroll"):
            node["unroll"], changed = False, True
        if node.get("class_name") == "Unstack" and "inbound_nodes" in node:
            changed, parts = True, parts + _say_parts(node)
            check_parts(parts, str(node.get("name"))[:80])
        if node.get("class_name") == "TFOpLambda" and "module" in node:
            node["registered_name"] = "TFOpLambda"  # by which `bounded_parts_in_tf_keras` finds it
    return changed


def _say_parts(node: dict[str, Any]) -> int:
    """Give Keras 3's Unstack the number of parts that its input is described with; another input fits it no more."""
    settings = node.setdefault("config", {})
    try:
        shape = node["inbound_nodes"][0]["args"][0]["config"]["shape"]
        parts = int(settings.get("num") or shape[settings.get("axis") or 0])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError("splits an axis whose length it does not say; save the model again.") from error
    settings["num"] = parts
    return parts


def check_parts(parts: int, layer: str) -> None:
    """Refuse a layer that splits its input into parts that are too many with those of the layers before it."""
    if parts > MOST_PARTS:
        raise ModelFileError(
            f"layer {layer!r} splits its input, which makes {parts:,} parts so far; expected at most {MOST_PARTS:,}."
        )


@contextmanager
def bounded_parts_in_tf_keras(file_name: str) -> Iterator[None]:
    """Look at what calls of TensorFlow's split and unstack are given before they make a tensor of each part."""
    import tf_keras
    from tf_keras.src.layers.core.tf_op_layer import TFOpLambda as Call

    made, refusal = 0, None

    class TFOpLambda(Call):  # type: ignore[misc]  # under the name that a description has for it
        def _call_wrapper(self, *args: Any, **kwargs: Any) -> Any:
            nonlocal made, refusal
            made += _parts_of_call(self.get_config()["function"], args, kwargs)
            try:
                check_parts(made, self.name)
            except ModelFileError as error:
                refusal = ModelFileError(f"{file_name}: {error}")
                raise refusal from error
            return super()._call_wrapper(*args, **kwargs)

    try:
        with tf_keras.utils.custom_object_scope({"TFOpLambda": TFOpLambda}):
            yield
    except ModelFileError as error:  # to which Keras has added a page of what it was doing
        raise refusal or error from None


def _parts_of_call(function: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """How many tensors a call makes: as many as an axis is long, or as there are sizes."""
    if function == "unstack":
        values = [*args, *([kwargs["value"]] if "value" in kwargs else [])]
        axis = args[2] if len(args) > 2 else kwargs.get("axis", 0)
        return int(values[0].shape[axis] or 0)
    if function == "split":
        sizes = args[1] if len(args) > 1 else kwargs.get("num_or_size_splits")
        if isinstance(sizes, int):
            return sizes
        return len(sizes) if isinstance(sizes, list | tuple) else math.prod(getattr(sizes, "shape", ()))
    return 0
