"""From an architecture's row in the catalog to a Keras model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from convfe_core.catalog.architectures import Architecture

if TYPE_CHECKING:
    import keras

Made = TypeVar("Made")


def without_weights(make: Callable[[], Made]) -> Made:
    """Call a function that makes Keras layers, with no weight of theirs allocated or drawn.

    Names, shapes and counts of parameters are those of any other call, in half of the time or less. Values are not
    there: such layers compute nothing. This goes on in a thread that ends afterwards, because Keras keeps what it made,
    and how it numbered it, by thread.
    """

    def make_here() -> Made:
        import keras

        with keras.StatelessScope(initialize_variables=False):
            return make()

    with ThreadPoolExecutor(1, thread_name_prefix="convfe-layers") as thread:
        return thread.submit(make_here).result()


def build_layers(architecture: Architecture) -> keras.Model:
    """What `build_model` builds, `without_weights`."""
    return without_weights(lambda: build_model(architecture))


def build_model(architecture: Architecture) -> keras.Model:
    """Build an architecture without its head, with random weights drawn from Keras' global seed.

    NASNet must be fed sides that are multiples of 32; all others take any size of at least ``minimum_size``.
    Layers that Keras numbers are called alike in every build, so that a tap's name means the same layer each time.

    Returns
    -------
    keras.Model
        Input (n, H, W, 3) of any H and W, output (n, h, w, C).
    """
    with _set_aside("object_name_uids", defaultdict(int)), _set_aside("uninitialized_variables", []):
        if architecture.weight_file is None:
            from convfe_core.catalog.builtin_networks import BUILTIN_BUILDERS

            return BUILTIN_BUILDERS[architecture.name]()
        return _build_from_keras(architecture)


def _build_from_keras(architecture: Architecture) -> keras.Model:
    import keras

    def build(side: int | None) -> keras.Model:
        builder = getattr(keras.applications, architecture.keras_name)
        return builder(include_top=False, weights=None, input_shape=(side, side, 3), **architecture.keras_arguments)

    if architecture.family != "NASNet":
        return build(None)
    # NASNet compares heights while it is built to see where it must halve, so an open size gives a network
    # that cannot run. Built at one multiple of 32, its paddings are right for every other one.
    config = without_weights(lambda: build(224)).get_config()
    config["layers"][0]["config"]["batch_shape"] = (None, None, None, 3)
    return keras.Model.from_config(config)


@contextmanager
def _set_aside(name: str, fresh: Any) -> Iterator[None]:
    """Have Keras begin anew with something that it keeps for each thread, for which there is no public way.

    ``object_name_uids`` counts layers by the names that they are given, and ``uninitialized_variables`` are those that
    it would give values to when next it can, with the memory that this takes.
    """
    from keras.src.backend.common import global_state

    kept = global_state.get_global_attribute(name)
    global_state.set_global_attribute(name, fresh)
    try:
        yield
    finally:
        global_state.set_global_attribute(name, kept)
