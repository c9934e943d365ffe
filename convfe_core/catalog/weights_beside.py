"""The weights of a Keras model beside it, as arrays; importing this module imports Keras."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

MOST_SEEDS = 100_000
"""So many seeds of initialisers are looked through at most."""


class WeightsBeside(keras.StatelessScope):  # type: ignore[misc]
    """A scope for building a model and reading its weights in, after which it has their values and the model has none.

    Whoever wants them enters it again. Until one is assigned it is what the layer would begin with. They are arrays,
    because TensorFlow never returns memory that tensors were in.
    """

    def __init__(self) -> None:
        super().__init__(initialize_variables=False)

    def add_update(self, update: tuple[keras.Variable, Any]) -> None:
        """Note what a variable is assigned."""
        variable, value = update
        self.state_mapping[id(variable)] = np.array(value)

    def get_current_value(self, variable: keras.Variable) -> Any:
        """The value of a variable as a tensor, or None."""
        value = self.state_mapping.get(id(variable))
        return None if value is None else keras.ops.convert_to_tensor(value)

    def take(self, variable: keras.Variable) -> NDArray[Any]:
        """The value of a variable, which this then has no longer."""
        assigned = self.state_mapping.pop(id(variable), None)
        value: NDArray[Any] = variable.numpy() if assigned is None else assigned
        return value


def initial_weights(model: keras.Model, seed: int) -> Callable[[int], WeightsBeside] | None:
    """A function that draws the weights which a model begins with, as if it had been built anew with another seed.

    Keras gives each initialiser a seed of its own while a model is built, one after the other from Python's generator.

    Parameters
    ----------
    model : built in a `WeightsBeside`
    seed : what it was built with, of ``keras.utils.set_random_seed``

    Returns
    -------
    a function of another such seed; None where some initialiser has its seed from elsewhere
    """
    initializers = [variable._initializer for variable in model.weights]  # there is no public way
    if not all(isinstance(one, keras.initializers.Initializer) for one in initializers):
        return None
    places = _places([one.seed for one in initializers if hasattr(one, "seed")], seed)
    if places is None:
        return None

    def draw(other: int) -> WeightsBeside:
        seeds = dict(zip(range(max(places.values(), default=0) + 1), _default_seeds(other), strict=False))
        beside = WeightsBeside()
        for variable, initializer in zip(model.weights, initializers, strict=True):
            if hasattr(initializer, "seed"):
                settings = initializer.get_config() | {"seed": seeds[places[initializer.seed]]}
                initializer = type(initializer).from_config(settings)
            beside.add_update((variable, initializer(variable.shape, dtype=variable.dtype)))
        with beside:
            for layer in model._flatten_layers():
                if isinstance(layer, keras.layers.Normalization):
                    layer.finalize_state()  # it keeps what it computes with beside its weights
        return beside

    return draw


def _places(wanted: Sequence[Any], seed: int) -> dict[int, int] | None:
    """Which of the seeds that Keras gives after a seed some are, from 0; None if one of them is none of these."""
    left, places = set(wanted), dict[int, int]()
    for place, given in zip(range(MOST_SEEDS), _default_seeds(seed), strict=False):
        if not left:
            break
        if given in left:
            left.remove(given)
            places[given] = place
    return None if left else places


def _default_seeds(seed: int) -> Iterator[int]:
    """What Keras gives initialisers one after the other, after ``keras.utils.set_random_seed``."""
    generator = random.Random(seed)
    while True:
        yield generator.randint(1, 10**9)
