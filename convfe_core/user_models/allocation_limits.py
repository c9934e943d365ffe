"""How many numbers a model's layers would hold, and make of a picture, counted before any memory is allocated.

A file of a few bytes can describe layers that take more memory than the machine has. For Keras 3 they are made without
weights and counted. For Keras 2 each variable is checked first.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from convfe_core.base.errors import ModelFileError
from convfe_core.catalog.builders import without_weights
from convfe_core.graph.walk import operation_of, sources_of, tensors_in_order
from convfe_core.machine.memory import room_mb
from convfe_core.model_files.allowed_names import layers_of_applications
from convfe_core.user_models.bounded_loops import bounded_parts_in_tf_keras

SPARE_NUMBERS = 1_000_000
"""What layers may hold that files leave out: states of random layers, tables made from settings."""
MOST_PASS_MB = 8_192
"""Megabytes of values that enter and leave one layer for one picture: two maps of 4,096 x 4,096 cells, 64 channels."""
_NUMBER_MB = 4 / 2**20


def check_allocation(described: int, held: int, file_name: str, room: float | None = None) -> None:
    """Refuse a description that asks for far more than the file's own numbers, or than there is memory for.

    Parameters
    ----------
    described : numbers that the described layers would hold
    held : numbers in the file, an optimizer's among them
    room : megabytes that may be taken, those that are free now where nothing is said

    Raises
    ------
    ModelFileError : one sentence with both sizes
    """
    if described > held + SPARE_NUMBERS:
        raise ModelFileError(
            f"{file_name}: describes layers of at least {described * _NUMBER_MB:,.1f} MB, but holds "
            f"{held * _NUMBER_MB:,.1f} MB; "
            "expected a whole model. Save the model again."
        )
    room = max(room_mb() if room is None else room, 0)
    if described * _NUMBER_MB > room:
        raise ModelFileError(
            f"{file_name}: its layers take at least {described * _NUMBER_MB:,.0f} MB, and {room:,.0f} MB are free; "
            "expected a smaller model."
        )


def check_enlargement(model: Any, height: int, width: int) -> None:
    """Refuse layers that make far more of one picture than there is memory for, such as chains that enlarge it.

    Parameters
    ----------
    model : flat, of Keras 3
    height, width : of the picture, where the model takes any

    Raises
    ------
    ModelFileError : a sentence without the file's name, with both sizes
    """
    taken, room = numbers_in_a_pass(model, height, width) * _NUMBER_MB, max(room_mb(), 0)
    most = min(MOST_PASS_MB, room)
    if taken > most:
        raise ModelFileError(
            f"its layers make {taken:,.0f} MB of a picture of {width} x {height} pixels; "
            f"expected at most {most:,.0f} MB."
        )


def numbers_in_a_pass(model: Any, height: int, width: int) -> int:
    """The most values that enter and leave one layer of a flat Keras 3 model for one picture, without computing any."""
    shapes = shapes_in_a_pass(model, height, width)
    counts = (
        sum(math.prod(side or 1 for side in shapes[id(one)]) for one in (*sources_of(tensor), tensor))
        for tensor in tensors_in_order(model)
        if id(tensor) in shapes
    )
    return max(counts, default=0)


def shapes_in_a_pass(model: Any, height: int, width: int) -> dict[int, tuple[int | None, ...]]:
    """The shape of every tensor of a flat Keras 3 model, by its id, for one picture, without computing any.

    What comes after a layer that does not take this size is left out: it would not be computed either.
    """
    import keras

    picture = model.inputs[0]
    known = {
        id(picture): keras.KerasTensor((1, picture.shape[1] or height, picture.shape[2] or width, picture.shape[3]))
    }
    for tensor in tensors_in_order(model):
        operation, history = operation_of(tensor), tensor._keras_history
        sources = [known.get(id(source)) for source in sources_of(tensor)]
        if None in sources:
            continue
        arguments, named = operation._inbound_nodes[history.node_index].arguments.fill_in(known)
        try:
            made = operation.compute_output_spec(*arguments, **named)
        except Exception:  # Keras raises many kinds for sizes that a layer does not take
            continue
        known[id(tensor)] = (list(made) if isinstance(made, list | tuple) else [made])[history.tensor_index]
    return {place: tuple(one.shape) for place, one in known.items()}


@contextmanager
def bounded_in_tf_keras(held: int, file_name: str) -> Iterator[None]:
    """Refuse a model of Keras 2 at its first variable or split that is too much, as `check_allocation` does."""
    import tensorflow as tf

    described, room = 0, room_mb()

    def create(next_creator: Callable[..., Any], **settings: Any) -> Any:
        nonlocal described
        if settings.get("shape"):  # counters have none
            described += math.prod(tf.TensorShape(settings["shape"]).as_list())
        check_allocation(described, held, file_name, room)
        return next_creator(**settings)

    with tf.variable_creator_scope(create), bounded_parts_in_tf_keras(file_name):
        yield


def numbers_in_keras(config: dict[str, Any], build: Callable[[dict[str, Any]], Any] | None = None) -> int:
    """Numbers that the layers of a description hold in Keras 3.

    Parameters
    ----------
    config : of a ``.keras`` file, or of another one that `build` makes layers of
    """
    import keras

    make = build or partial(keras.saving.deserialize_keras_object, safe_mode=True)
    state = random.getstate()
    try:  # seeds that layers draw are put back for those that are loaded
        weights = without_weights(lambda: make(copy.deepcopy(config)).weights)
    finally:
        random.setstate(state)
    return sum(math.prod(weight.shape) for weight in weights)


def build_old_keras(config: dict[str, Any]) -> Any:
    """Make the layers of an HDF5 file's description in Keras 3, which changes the description."""
    import keras
    from keras.src.legacy.saving import saving_options, saving_utils

    own = keras.utils.custom_object_scope(layers_of_applications("keras"))
    with own, saving_options.keras_option_scope(use_legacy_config=True):
        return saving_utils.model_from_config(config)
