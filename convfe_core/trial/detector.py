"""A small detector on frozen features: a head of four convolutions that says a score and a box at every cell.

TensorFlow and Keras are imported inside the functions here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convfe_core.base.arrays import BoxArray, FloatArray, Values
from convfe_core.machine.machine_queue import BUILDING, MACHINE
from convfe_core.trial.average_precision import Detections
from convfe_core.trial.targets import CellPlaces, Targets, boxes_at

FOCUS = 2.0
"""Exponent of the focal weight: how much less counts what is nearly right (T. Lin et al., ICCV 2017)."""
FIRST_SCORE = 0.05
"""What a new head says everywhere, so that the many cells without a box do not move it far at first."""


@dataclass(frozen=True)
class Recipe:
    """How a head is built, trained and read; what is stated of the trial detector holds for these values.

    Attributes
    ----------
    width : channels of the head
    groups : of group normalisation (Y. Wu and K. He, ECCV 2018)
    dropout : share of the features that is left out in training
    epochs, batch : how often it sees all photographs, and how many at once
    rate, decay : of AdamW, the rate falling to 0 along a cosine
    overlap : boxes that overlap more with one of a higher score are dropped
    most_boxes : of a photograph
    """

    width: int = 128
    groups: int = 32
    dropout: float = 0.2
    epochs: int = 60
    batch: int = 16
    rate: float = 2e-3
    decay: float = 0.05
    overlap: float = 0.5
    most_boxes: int = 20


@dataclass(frozen=True, eq=False)
class Example:
    """A photograph to learn from.

    Attributes
    ----------
    values : (h, w, C) features, float16, those of a stage times a factor that all examples share
    targets : what is to be said of it
    """

    values: NDArray[np.float16]
    targets: Targets


@dataclass(frozen=True, eq=False)
class Spread:
    """How features are distributed: the mean of every channel, (C,), and the deviation common to its stage, (C,)."""

    means: FloatArray
    deviations: FloatArray

    def centred(self, values: NDArray[np.float16]) -> FloatArray:
        """(h, w, C) features about 0, with deviations about 1."""
        return (values.astype(np.float32) - self.means) / self.deviations


def spread_of(maps: Sequence[NDArray[np.float16]], stages: Sequence[int]) -> Spread:
    """How the features of all cells of some maps, at least one, are distributed.

    Parameters
    ----------
    stages : how many channels belong to each stage
    """
    cells = sum(one.shape[0] * one.shape[1] for one in maps)
    means = np.sum([one.sum(axis=(0, 1), dtype=np.float64) for one in maps], axis=0) / cells
    squares = np.sum([np.square(one - means).sum(axis=(0, 1)) for one in maps], axis=0)
    edges = np.cumsum([0, *stages])
    deviations = [np.sqrt(squares[low:high].mean() / cells) or 1.0 for low, high in pairwise(edges)]
    return Spread(means.astype(np.float32), np.repeat(deviations, stages).astype(np.float32))


class Detector:
    """A head for maps of one number of channels, trained again and again from the same start.

    Parameters
    ----------
    shape : (rows, columns, channels) of the largest map
    recipe : how it is built and trained
    seed : of its start, the order of the photographs and what is left out of them
    stages : how many channels belong to each stage, where they come from several
    """

    def __init__(self, shape: tuple[int, int, int], recipe: Recipe, seed: int, stages: Sequence[int] = ()) -> None:
        self._shape = shape
        self._stages = stages or shape[-1:]
        self._recipe = recipe
        self._seed = seed
        with BUILDING:
            import keras

            self._head = build_head(shape[-1], recipe, seed)
            self._optimizer = keras.optimizers.AdamW(learning_rate=recipe.rate, weight_decay=recipe.decay)
            self._optimizer.build(self._head.trainable_variables)
            self._optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
            self._step = _training_step(self._head, self._optimizer, shape)
            self._read = _reading(self._head, shape)
        self._variables = [*self._head.variables, *self._optimizer.variables]
        self._start = [variable.numpy() for variable in self._variables]
        self._spread = Spread(np.zeros(shape[-1], np.float32), np.ones(shape[-1], np.float32))

    def fit(self, examples: Sequence[Example], on_epoch: Callable[[int], None]) -> None:
        """Forget everything and learn from photographs.

        Parameters
        ----------
        examples : at least one; their features are asked for again and again
        on_epoch : told how many epochs are done; may raise to end it
        """
        for variable, value in zip(self._variables, self._start, strict=True):
            variable.assign(value)
        recipe, random = self._recipe, np.random.default_rng(self._seed)
        self._spread = spread_of([one.values for one in examples], self._stages)
        steps = recipe.epochs * -(-len(examples) // recipe.batch)
        done = 0
        for epoch in range(recipe.epochs):
            order = random.permutation(len(examples))
            for start in range(0, len(order), recipe.batch):
                self._optimizer.learning_rate.assign(recipe.rate * (1 + np.cos(np.pi * done / steps)) / 2)
                batch = self._batch([examples[k] for k in order[start : start + recipe.batch]])
                with MACHINE.passing():
                    self._step(*batch)
                done += 1
            on_epoch(epoch + 1)

    def find(self, photos: Sequence[tuple[NDArray[np.float16], CellPlaces, int, int]]) -> Iterator[Detections]:
        """Find boxes on photographs.

        Parameters
        ----------
        photos : of each its features (h, w, C), where their cells lie, and its height and width in pixels

        Yields
        ------
        boxes with scores in 0..1, the best first
        """
        for start in range(0, len(photos), self._recipe.batch):
            members = photos[start : start + self._recipe.batch]
            with MACHINE.passing():
                scores, distances = (value.numpy() for value in self._read(*self._canvas([one[0] for one in members])))
            for k, (_, places, height, width) in enumerate(members):
                rows, columns = places.shape
                boxes = boxes_at(distances[k, :rows, :columns], places, height, width)
                yield suppress(boxes, scores[k, :rows, :columns].ravel(), self._recipe)

    def _canvas(self, maps: Sequence[NDArray[np.float16]]) -> tuple[FloatArray, FloatArray]:
        """(B, H, W, C) centred features and (B, H, W, 1) ones where there are any; a batch is always full."""
        rows, columns, channels = self._shape
        features = np.zeros((self._recipe.batch, rows, columns, channels), np.float32)
        there = np.zeros((self._recipe.batch, rows, columns, 1), np.float32)
        for k, values in enumerate(maps):
            features[k, : values.shape[0], : values.shape[1]] = self._spread.centred(values)
            there[k, : values.shape[0], : values.shape[1]] = 1
        return features, there

    def _batch(self, examples: Sequence[Example]) -> tuple[FloatArray, ...]:
        features, there = self._canvas([one.values for one in examples])
        scores, owned = np.zeros_like(there[..., 0]), np.zeros_like(there[..., 0])
        distances = np.zeros((*scores.shape, 4), np.float32)
        for k, one in enumerate(examples):
            rows, columns = one.targets.score.shape
            scores[k, :rows, :columns] = one.targets.score
            owned[k, :rows, :columns] = one.targets.owner >= 0
            distances[k, :rows, :columns] = one.targets.distances
        return features, there, scores, owned, distances


def suppress(boxes: BoxArray, scores: Values, recipe: Recipe) -> Detections:
    """Keep the best boxes that do not overlap a better one too much.

    Parameters
    ----------
    boxes, scores : (N, 4) and (N,)
    """
    import tensorflow as tf

    corners = boxes[:, [1, 0, 3, 2]].astype(np.float32)
    kept = tf.image.non_max_suppression(corners, scores.astype(np.float32), recipe.most_boxes, recipe.overlap).numpy()
    return Detections(boxes[kept], scores[kept])


def build_head(channels: int, recipe: Recipe, seed: int) -> Any:
    """A Keras model of (B, H, W, C) features and (B, H, W, 1) ones where they count, to (B, H, W, 5).

    It and `detection_loss` run on any of Keras' backends.
    """
    import keras
    from keras import layers

    seeds = iter(range(100 * seed, 100 * seed + 100))

    features = layers.Input((None, None, channels))
    there = layers.Input((None, None, 1))
    x = layers.Dropout(recipe.dropout, seed=next(seeds))(features)
    for side in (1, 3, 3):
        start = keras.initializers.GlorotUniform(next(seeds))
        x = layers.Conv2D(recipe.width, side, padding="same", use_bias=False, kernel_initializer=start)(x * there)
        x = layers.ReLU()(_group_normalization(recipe.groups)(x, there))
    first = float(np.log(FIRST_SCORE / (1 - FIRST_SCORE)))
    out = layers.Conv2D(
        5,
        1,
        kernel_initializer=keras.initializers.RandomNormal(0.0, 0.01, next(seeds)),
        bias_initializer=lambda shape, dtype=None: keras.ops.convert_to_tensor([first, 0, 0, 0, 0], dtype),  # noqa: ARG005
    )(x)
    return keras.Model([features, there], out, name="trial_head")


def _group_normalization(groups: int) -> Any:
    """Group normalisation over the cells that count: those on padding are left out of means and deviations."""
    import keras
    from keras import ops

    class GroupNormalization(keras.layers.Layer):  # type: ignore[misc]
        def build(self, features_shape: Any, there_shape: Any) -> None:  # noqa: ARG002 - Keras asks for both
            self.gamma = self.add_weight(shape=features_shape[-1:], initializer="ones", name="gamma")
            self.beta = self.add_weight(shape=features_shape[-1:], initializer="zeros", name="beta")

        def call(self, features: Any, there: Any) -> Any:
            shape, width = ops.shape(features), features.shape[-1]
            grouped = ops.reshape(features, (shape[0], shape[1], shape[2], groups, width // groups))
            counts = there[..., None]
            number = ops.maximum(ops.sum(counts, axis=(1, 2), keepdims=True), 1.0) * (width // groups)
            centred = grouped - ops.sum(grouped * counts, axis=(1, 2, 4), keepdims=True) / number
            variance = ops.sum(ops.square(centred) * counts, axis=(1, 2, 4), keepdims=True) / number
            normal = ops.reshape(centred * ops.rsqrt(variance + 1e-5), (shape[0], shape[1], shape[2], width))
            return normal * self.gamma + self.beta

    return GroupNormalization()


def _training_step(head: Any, optimizer: Any, shape: tuple[int, int, int]) -> Callable[..., Any]:
    """One traced step of learning from a batch; see `Detector._batch`."""
    import tensorflow as tf

    rows, columns, channels = shape

    def step(features: Any, there: Any, scores: Any, owned: Any, distances: Any) -> Any:
        with tf.GradientTape() as tape:
            value = detection_loss(head([features, there], training=True), there, scores, owned, distances)
        optimizer.apply(tape.gradient(value, head.trainable_variables), head.trainable_variables)
        return value

    sizes = [(rows, columns, channels), (rows, columns, 1), (rows, columns), (rows, columns), (rows, columns, 4)]
    traced: Callable[..., Any] = tf.function(
        step, [tf.TensorSpec((None, *size), tf.float32) for size in sizes], autograph=False
    )
    return traced


def detection_loss(said: Any, there: Any, scores: Any, owned: Any, distances: Any) -> Any:
    """How far off a head is on a batch, a scalar.

    Parameters
    ----------
    said : (B, H, W, 5) of `build_head`
    there : (B, H, W, 1) ones where cells count
    scores, owned, distances : (B, H, W), (B, H, W) ones where a box owns the cell, and (B, H, W, 4), see `Targets`
    """
    from keras import ops

    # The score is a quality, not a class: its focal weight is how far it is off (X. Li et al., NeurIPS 2020).
    off = ops.abs(ops.sigmoid(said[..., 0]) - scores) ** FOCUS
    score_loss = off * ops.binary_crossentropy(scores, said[..., 0], from_logits=True) * there[..., 0]
    # Boxes count as much as the scores that cells are to have: those said near a border are hardly ever kept.
    box_loss = _box_loss(said[..., 1:], distances) * scores
    return _over(score_loss, owned) + _over(box_loss, scores)


def _over(losses: Any, weights: Any) -> Any:
    """Their sum by that of weights, which counts as 1 at least."""
    from keras import ops

    return ops.sum(losses) / ops.maximum(ops.sum(weights), 1.0)


def _box_loss(said: Any, distances: Any) -> Any:
    """Minus the logarithm of the overlap of two boxes around one point (J. Yu et al., "UnitBox", 2016)."""
    from keras import ops

    one, other = ops.exp(ops.clip(said, -6.0, 6.0)), ops.exp(distances)
    both = ops.minimum(one, other)
    shared = _area(both)
    return -ops.log(shared / (_area(one) + _area(other) - shared) + 1e-6)


def _area(distances: Any) -> Any:
    return (distances[..., 0] + distances[..., 2]) * (distances[..., 1] + distances[..., 3])


def _reading(head: Any, shape: tuple[int, int, int]) -> Callable[..., Any]:
    """One traced pass over a batch that returns (B, H, W) scores in 0..1 and (B, H, W, 4) distances."""
    import tensorflow as tf

    rows, columns, channels = shape

    def read(features: Any, there: Any) -> tuple[Any, Any]:
        said = head([features, there], training=False)
        return tf.sigmoid(said[..., 0]), said[..., 1:]

    sizes = (rows, columns, channels), (rows, columns, 1)
    traced: Callable[..., Any] = tf.function(
        read, [tf.TensorSpec((None, *size), tf.float32) for size in sizes], autograph=False
    )
    return traced
