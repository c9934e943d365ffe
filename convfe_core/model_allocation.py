"""How many numbers a model's description asks for, counted before any of them is allocated.

A file of a few bytes can describe layers that take more memory than the machine has. Keras 3 works their shapes out
in a thread of its own, which takes Keras' notes about them with it when it ends; Keras 2 asks before each variable.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from convfe_core.errors import ModelFileError
from convfe_core.memory import room_mb

SPARE_NUMBERS = 1_000_000
"""What layers may hold that files leave out: states of random layers, tables made from settings."""
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
            f"{file_name}: describes layers of at least {described:,} numbers, but holds {held:,}; "
            "expected a whole model. Save the model again."
        )
    room = max(room_mb() if room is None else room, 0)
    if described * _NUMBER_MB > room:
        raise ModelFileError(
            f"{file_name}: its layers take at least {described * _NUMBER_MB:,.0f} MB, and {room:,.0f} MB are free; "
            "expected a smaller model."
        )


@contextmanager
def bounded_in_tf_keras(held: int, file_name: str) -> Iterator[None]:
    """Refuse a model of Keras 2 at its first variable that is too much, as `check_allocation` does."""
    import tensorflow as tf

    described, room = 0, room_mb()

    def create(next_creator: Callable[..., Any], **settings: Any) -> Any:
        nonlocal described
        if settings.get("shape"):  # counters have none
            described += math.prod(tf.TensorShape(settings["shape"]).as_list())
        check_allocation(described, held, file_name, room)
        return next_creator(**settings)

    with tf.variable_creator_scope(create):
        yield


def numbers_in_keras(config: dict[str, Any]) -> int:
    """Numbers that the layers of a ``.keras`` file's description hold in Keras 3."""
    import keras

    def build(described: dict[str, Any]) -> Any:
        return keras.saving.deserialize_keras_object(described, safe_mode=True)

    return _count_in_keras(build, config)


def numbers_in_old_keras(config: dict[str, Any]) -> int:
    """Numbers that the layers of an HDF5 file's description hold in Keras 3."""
    return _count_in_keras(build_old_keras, config)


def build_old_keras(config: dict[str, Any]) -> Any:
    """Make the layers of an HDF5 file's description in Keras 3, which changes the description."""
    from keras.src.legacy.saving import saving_options, saving_utils

    with saving_options.keras_option_scope(use_legacy_config=True):
        return saving_utils.model_from_config(config)


def _count_in_keras(build: Callable[[dict[str, Any]], Any], config: dict[str, Any]) -> int:
    import keras

    def count() -> int:
        with keras.StatelessScope(initialize_variables=False):
            model = build(copy.deepcopy(config))
            return sum(math.prod(weight.shape) for weight in model.weights)

    return _alone(count)


def _alone(count: Callable[[], int]) -> int:
    """Count in a thread that ends afterwards; seeds that layers draw are put back for those that are loaded."""
    state = random.getstate()
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="convfe-count") as thread:
            return thread.submit(count).result()
    finally:
        random.setstate(state)
