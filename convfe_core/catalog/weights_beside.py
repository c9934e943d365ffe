"""The weights of a Keras model beside it, as arrays; importing this module imports Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray


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
