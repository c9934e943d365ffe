"""A Keras model's tensors in the order in which they are computed."""

from __future__ import annotations

from typing import Any


def operation_of(tensor: Any) -> Any:
    """The layer or operation that a tensor is the output of."""
    return tensor._keras_history.operation


def sources_of(tensor: Any) -> list[Any]:
    """The tensors that a tensor is directly computed from."""
    return list(_call_of(tensor).input_tensors)


def arguments_of(tensor: Any) -> list[Any]:
    """What the operation was called with to make a tensor, by place and then by name."""
    arguments = _call_of(tensor).arguments
    return [*arguments.args, *arguments.kwargs.values()]


def _call_of(tensor: Any) -> Any:
    history = tensor._keras_history
    return history.operation._inbound_nodes[history.node_index]


def tensors_in_order(model: Any, outputs: list[Any] | None = None) -> list[Any]:
    """List every tensor that some outputs are computed from, sources before what is computed from them.

    Parameters
    ----------
    outputs : of the model; all of them where nothing is said
    """
    ordered: list[Any] = []
    seen: set[int] = {id(source) for source in model.inputs}
    stack: list[tuple[Any, bool]] = [(output, False) for output in reversed(outputs or model.outputs)]
    while stack:
        tensor, sources_done = stack.pop()
        if sources_done:
            ordered.append(tensor)
        elif id(tensor) not in seen:
            seen.add(id(tensor))
            stack.append((tensor, True))
            stack += [(source, False) for source in reversed(sources_of(tensor))]
    return ordered
