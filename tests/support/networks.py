"""Keras models whose layers are all there and whose weights are not: quick to build and small, for tests of layers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from convfe_core.catalog.architectures import Architecture
from convfe_core.catalog.builders import build_model

if TYPE_CHECKING:
    import keras

Made = TypeVar("Made")


def without_weights(build: Callable[[], Made]) -> Made:
    """Call a function that builds models, with no weight of theirs allocated or drawn.

    Layers, shapes and counts of parameters are those of any other build, in a quarter of the time. Values are not
    there: such a model computes nothing. Keras' notes about it end with the thread that it is built in.
    """

    def build_here() -> Made:
        import keras

        with keras.StatelessScope(initialize_variables=False):
            return build()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(build_here).result()


def layers_of(architecture: Architecture) -> keras.Model:
    """An architecture of the catalog as `build_model` makes it, without its weights."""
    return without_weights(lambda: build_model(architecture))
