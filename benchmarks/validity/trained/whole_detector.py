"""A detector whose backbone learns, too: the trial's head on features that are no longer frozen.

It runs on any of Keras' backends, without TensorFlow where another is chosen (``KERAS_BACKEND=jax``). Head, loss,
epochs, batches and rates are the trial's; the backbone's weights learn at a part of the head's rate. Its batch
normalisation learns as Keras has it: by the batch's own means and variances, while the ones it came with follow slowly.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.base.arrays import FloatArray
from convfe_core.catalog.architectures import Preprocessing
from convfe_core.catalog.pixel_scaling import scale_pixels
from convfe_core.trial.detector import Recipe, build_head, detection_loss, spread_of
from convfe_core.trial.trial_job import folds


@dataclass(frozen=True, eq=False)
class Lessons:
    """N photographs, ready for one backbone whose map has (h, w) cells.

    Attributes
    ----------
    scaling : how pixels are scaled before they enter
    canvases : (N, S, S, 3) uint8, each photograph in the top left corner
    there : (N, h, w) ones where cells lie on the photograph
    scores, owned, distances : (N, h, w), (N, h, w) ones and (N, h, w, 4), see `convfe_core.trial.targets.Targets`
    orders : (seeds, N) the photographs in the order in which a trial with each seed divides them into folds
    """

    scaling: Preprocessing
    canvases: NDArray[np.uint8]
    there: FloatArray
    scores: FloatArray
    owned: FloatArray
    distances: FloatArray
    orders: NDArray[np.int64]

    def save(self, path: Path) -> None:
        """Write it into an NPZ file."""
        np.savez_compressed(path, **vars(self))

    @classmethod
    def load(cls, path: Path) -> Lessons:
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            return cls(**{name: arrays[name] if arrays[name].ndim else str(arrays[name]) for name in arrays.files})

    @property
    def sizes(self) -> tuple[tuple[int, ...], ...]:
        """Of its photographs and of their maps."""
        return self.canvases.shape, self.there.shape

    @property
    def targets(self) -> FloatArray:
        """(N, h, w, 7): all that the loss asks for, in its order."""
        rest = np.stack([self.there, self.scores, self.owned], axis=-1)
        return np.concatenate([rest, self.distances], axis=-1)


def said_by_folds(detector: WholeDetector, lessons: Lessons, seed: int) -> FloatArray:
    """Train a detector on all folds but one, fold by fold, and ask it about that one.

    Returns
    -------
    (N, h, w, 5) of `build_head`, each photograph's by a detector that has not seen it
    """
    order = lessons.orders[seed]
    said = np.zeros((*lessons.there.shape, 5), np.float32)
    for begin, after in folds(len(order)):
        detector.fit(lessons, np.concatenate([order[:begin], order[after:]]), seed)
        said[order[begin:after]] = detector.say(lessons, order[begin:after])
    return said


class WholeDetector:
    """A head on a backbone, trained again and again from the same start.

    Parameters
    ----------
    backbone : (B, S, S, 3) scaled pixels to (B, h, w, C) features, with the weights to start from
    like : lessons of the sizes and the number of those that it will learn from
    factor : of the head's rate that the backbone learns at; with 0 nothing but the means and variances of its batch
        normalisation change
    """

    def __init__(self, backbone: Any, like: Lessons, recipe: Recipe, factor: float) -> None:
        import keras

        pixels = keras.Input(like.canvases.shape[1:])
        there = keras.Input((*like.there.shape[1:], 1))
        features = backbone(pixels)
        self.recipe = recipe
        self._sizes = like.sizes
        self._centred = _centred_layer()
        self._head = build_head(features.shape[-1], recipe, seed=0)
        self._features = keras.Model(pixels, features)
        self._model = keras.Model([pixels, there], self._head([self._centred(features), there]))
        held = max(after - begin for begin, after in folds(len(like.canvases)))
        steps = recipe.epochs * -(-(len(like.canvases) - held) // recipe.batch)
        optimizer = _optimizer(self._model, backbone, recipe, factor, steps)
        # TensorFlow would compile for longer than it then saves; JAX knows no other way.
        self._model.compile(optimizer, _loss, jit_compile=keras.backend.backend() == "jax")
        variables = [*self._model.variables, *optimizer.variables]
        self._start = [(variable, keras.ops.convert_to_numpy(variable)) for variable in variables]

    def takes(self, lessons: Lessons) -> bool:
        """Whether these are of the sizes and the number that it was made for."""
        return lessons.sizes == self._sizes

    def fit(self, lessons: Lessons, members: NDArray[np.int64], seed: int) -> None:
        """Forget everything and learn from some of the photographs.

        Parameters
        ----------
        seed : of the head and of the photographs' order
        """
        import keras

        keras.utils.set_random_seed(seed)
        for variable, value in self._start:
            variable.assign(value)
        self._head.set_weights(build_head(self._features.output.shape[-1], self.recipe, seed).get_weights())
        inputs = self._inputs(lessons, members)
        maps = self._features.predict(inputs[0], self.recipe.batch, verbose=0)
        seen = [one[lessons.there[k] > 0][:, None] for one, k in zip(maps, members, strict=True)]
        spread = spread_of(seen, maps.shape[-1:])
        self._centred.means.assign(spread.means)
        self._centred.deviations.assign(spread.deviations)
        self._model.fit(inputs, lessons.targets[members], self.recipe.batch, self.recipe.epochs, verbose=0)

    def say(self, lessons: Lessons, members: NDArray[np.int64]) -> FloatArray:
        """What it says of photographs, (n, h, w, 5)."""
        said: FloatArray = self._model.predict(self._inputs(lessons, members), self.recipe.batch, verbose=0)
        return said

    def _inputs(self, lessons: Lessons, members: NDArray[np.int64]) -> list[FloatArray]:
        pixels = scale_pixels(lessons.canvases[members].astype(np.float32), lessons.scaling)
        return [pixels, lessons.there[members][..., None]]


def _loss(targets: Any, said: Any) -> Any:
    return detection_loss(said, targets[..., :1], targets[..., 1], targets[..., 2], targets[..., 3:])


def _centred_layer() -> Any:
    """Features about 0 with deviations about 1, as they were before the backbone learnt (`Spread`)."""
    import keras

    class Centred(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            self.means = self.add_weight(shape=shape[-1:], initializer="zeros", trainable=False, name="means")
            self.deviations = self.add_weight(shape=shape[-1:], initializer="ones", trainable=False, name="deviations")

        def call(self, features: Any) -> Any:
            return (features - self.means) / self.deviations

    return Centred()


def _optimizer(model: Any, backbone: Any, recipe: Recipe, factor: float, steps: int) -> Any:
    """AdamW, its rate falling to 0 along a cosine; a factor of it, and no decay, for the backbone's weights."""
    import keras

    of_backbone = {id(variable) for variable in backbone.trainable_variables}
    factors = [factor if id(variable) in of_backbone else 1.0 for variable in model.trainable_variables]

    class AdamW(keras.optimizers.AdamW):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            super().update_step(gradient, variable, learning_rate * factors[self._get_variable_index(variable)])

    rate = keras.optimizers.schedules.CosineDecay(recipe.rate, steps)
    optimizer = AdamW(rate, weight_decay=recipe.decay)
    optimizer.exclude_from_weight_decay(backbone.trainable_variables, ["bias", "gamma", "beta"])
    optimizer.build(model.trainable_variables)
    return optimizer
