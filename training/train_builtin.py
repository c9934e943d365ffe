"""Train one of the two built-in backbones, on the CPU.

The recipe. Every epoch lays out canvases (`pictures.make_canvases`): mosaics of four labelled pictures, single ones,
and crops of larger photographs, so that objects appear at many scales. Three losses are added:

1. features: the feature map is to equal a teacher's, the ImageNet MobileNetV2-0.35 of Keras Applications before its
   cap, which sees the canvas at twice the size (its stride is twice the student's, so the cells fall together). The
   1,280 channels of the teacher are averaged in groups of five: that keeps the mean map exactly, and leaves few targets
   at zero, so that no ReLU of the student is taught to be silent;
2. mean map: the channel means of both, the picture that the student will be judged by;
3. labels: cross-entropy of a linear classifier on the pooled features of each quadrant of a mosaic, or of a canvas.

AdamW, one warm-up epoch, then a cosine down to zero. Without ``--teacher`` only the labels remain. The state is saved
after every epoch (weights, optimiser, epoch); the same command goes on after a kill. Same seed, same machine: same
weights. Run from the repository's root: ``python -m training.train_builtin TinyResNet --out runs/resnet``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from convfe_core.catalog.builtin_networks import BUILTIN_BUILDERS, FEATURES, load_builtin_weights, save_builtin_weights
from training.pictures import Canvases, LabelArray, Pictures, as_input, make_canvases, read_pictures

TEACHER_SCALE = 2.0
"""Factor that brings the teacher's grouped channels to a standard deviation of about 1."""

WEIGHT_DECAY = 0.02


@dataclass(frozen=True)
class Recipe:
    """What decides the outcome of a run."""

    name: str
    size: int = 160
    epochs: int = 12
    canvases: int = 3840
    batch: int = 32
    learning_rate: float = 2e-3
    label_weight: float = 0.5
    map_weight: float = 0.5
    pools: int = 8
    seed: int = 0

    @property
    def steps(self) -> int:
        """Optimiser steps of one epoch."""
        return self.canvases // self.batch


class Teacher:
    """The target feature maps: MobileNetV2-0.35 at twice the canvas size, its channels averaged in groups."""

    def __init__(self) -> None:
        network = keras.applications.MobileNetV2(
            alpha=0.35, include_top=False, weights="imagenet", input_shape=(None, None, 3)
        )
        uncapped = keras.layers.ReLU()(network.get_layer("Conv_1_bn").output)
        self._network = keras.Model(network.input, uncapped)
        self._forward = tf.function(self._features, input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)])

    def _features(self, images: tf.Tensor) -> tf.Tensor:
        features = self._network(images, training=False)
        shape = tf.shape(features)
        groups = tf.reshape(features, (shape[0], shape[1], shape[2], features.shape[-1] // FEATURES, FEATURES))
        return tf.cast(TEACHER_SCALE * tf.reduce_mean(groups, axis=3), tf.float16)

    def __call__(self, images: NDArray[np.uint8], batch: int) -> NDArray[np.float16]:
        """(n, 2s, 2s, 3) uint8 canvases -> (n, s/16, s/16, 256) float16 targets."""
        parts = [self._forward(as_input(images[i : i + batch])).numpy() for i in range(0, len(images), batch)]
        return np.concatenate(parts)


class Pools:
    """The canvases and targets of each epoch; `Recipe.pools` different ones, optionally kept on disk for other runs."""

    def __init__(self, recipe: Recipe, labelled: Path, photos: Path | None, teacher: bool, cache: Path | None) -> None:
        self.recipe, self.cache, self.use_teacher = recipe, cache, teacher
        self._sources = (labelled, photos)
        self._teacher: Teacher | None = None
        self._pictures: tuple[Pictures, Pictures | None] | None = None

    def __getitem__(self, epoch: int) -> tuple[Canvases, NDArray[np.float16] | None]:
        """Canvases of the student's size, and the teacher's features or None."""
        number = epoch % self.recipe.pools
        if self.cache is None:
            return self._make(number)
        r = self.recipe
        file = self.cache / f"pool-{r.size}-{r.canvases}-{r.seed}-{int(self.use_teacher)}-{number}.npz"
        if not file.exists():
            canvases, targets = self._make(number)
            self.cache.mkdir(parents=True, exist_ok=True)
            arrays: dict[str, Any] = {"images": canvases.images, "labels": canvases.labels}
            _save_whole(file, arrays if targets is None else {**arrays, "targets": targets})
        with np.load(file) as arrays:
            targets = arrays.get("targets")
            return Canvases(arrays["images"], arrays["labels"]), targets

    def _make(self, number: int) -> tuple[Canvases, NDArray[np.float16] | None]:
        recipe = self.recipe
        if self._pictures is None:
            labelled, photos = self._sources
            self._pictures = (read_labelled(labelled), read_pictures(photos) if photos else None)
        large = make_canvases(*self._pictures, recipe.canvases, 2 * recipe.size, (recipe.seed, number))
        small = np.stack([_halve(image) for image in large.images])
        if not self.use_teacher:
            return Canvases(small, large.labels), None
        if self._teacher is None:
            self._teacher = Teacher()
        return Canvases(small, large.labels), self._teacher(large.images, recipe.batch)


def read_labelled(source: Path) -> Pictures:
    """Read the training pictures of the zip (its ``train/``), or of a folder of class folders."""
    if source.is_dir() and not (source / "train").is_dir():
        return read_pictures(source)
    return read_pictures(source, "train")


def _halve(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(2s, 2s, 3) -> (s, s, 3), each pixel the mean of four."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    blocks = image.reshape(height, 2, width, 2, 3).astype(np.uint16)
    halved: NDArray[np.uint8] = ((blocks.sum((1, 3)) + 2) // 4).astype(np.uint8)
    return halved


class Trainer:
    """A student, its classifier and its optimiser, with one compiled training step."""

    def __init__(self, recipe: Recipe, classes: list[str], with_teacher: bool, start_from: Path | None = None) -> None:
        keras.utils.set_random_seed(recipe.seed)
        self.recipe, self.classes, self.with_teacher = recipe, classes, with_teacher
        self.student = BUILTIN_BUILDERS[recipe.name]()
        self.head = keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(len(classes), name="head")])
        if start_from is not None:
            load_builtin_weights(self.student, recipe.name, start_from)
            load_head(self.head, classes, start_from)
        total = recipe.epochs * recipe.steps
        warmup = min(recipe.steps, total // 4)
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0, total - warmup, warmup_target=recipe.learning_rate, warmup_steps=warmup
        )
        self.optimizer = keras.optimizers.AdamW(schedule, weight_decay=WEIGHT_DECAY, clipnorm=5.0)
        self.optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
        self.variables = self.student.trainable_variables + self.head.trainable_variables
        self.optimizer.build(self.variables)
        self._step = tf.function(self._train_step, reduce_retracing=True)

    def _train_step(self, images: tf.Tensor, labels: tf.Tensor, targets: tf.Tensor | None) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            features = self.student(images, training=True)
            loss, correct = self._label_loss(features, labels)
            parts = {"labels": loss, "top1": correct}
            loss = self.recipe.label_weight * loss
            if targets is not None:
                targets = tf.cast(targets, tf.float32)
                parts["features"] = tf.reduce_mean(tf.square(features - targets))
                gap = tf.reduce_mean(features, -1) - tf.reduce_mean(targets, -1)
                spread = tf.math.reduce_variance(tf.reduce_mean(targets, -1))
                parts["map"] = tf.reduce_mean(tf.square(gap)) / spread
                loss = loss + parts["features"] + self.recipe.map_weight * parts["map"]
        self.optimizer.apply_gradients(zip(tape.gradient(loss, self.variables), self.variables, strict=True))
        parts["dead"] = tf.reduce_mean(tf.cast(tf.reduce_max(features, (0, 1, 2)) <= 0, tf.float32))
        return parts

    def _label_loss(self, features: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Cross-entropy and accuracy over the labelled quadrants and canvases."""
        rows, columns = features.shape[1] // 2, features.shape[2] // 2
        quadrants = [
            tf.reduce_mean(features[:, y : y + rows, x : x + columns], (1, 2)) for y in (0, rows) for x in (0, columns)
        ]
        pooled = tf.stack([*quadrants, tf.reduce_mean(features, (1, 2))], axis=1)
        logits = self.head(tf.reshape(pooled, (-1, FEATURES)))
        labels = tf.reshape(labels, (-1,))
        known = tf.cast(labels >= 0, tf.float32)
        count = tf.maximum(tf.reduce_sum(known), 1)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(labels, 0), logits)
        hits = tf.cast(tf.equal(tf.argmax(logits, -1, tf.int32), labels), tf.float32)
        return tf.reduce_sum(known * losses) / count, tf.reduce_sum(known * hits) / count

    def train_epoch(self, epoch: int, canvases: Canvases, targets: NDArray[np.float16] | None) -> dict[str, float]:
        """Go once through a pool, in an order and with mirror images that depend on seed and epoch only."""
        rng = np.random.default_rng((self.recipe.seed, 1, epoch))
        order = rng.permutation(len(canvases.images))
        totals: dict[str, float] = {}
        for step in range(self.recipe.steps):
            chosen = order[step * self.recipe.batch : (step + 1) * self.recipe.batch]
            images, labels = canvases.images[chosen], canvases.labels[chosen]
            target = None if targets is None else targets[chosen]
            if rng.random() < 0.5:
                images, labels = images[:, :, ::-1], _mirror_labels(labels)
                target = None if target is None else target[:, :, ::-1]
            parts = self._step(as_input(images), labels, target)
            for key, value in parts.items():
                totals[key] = totals.get(key, 0.0) + float(value)
        return {key: value / self.recipe.steps for key, value in totals.items()}

    @property
    def state(self) -> list[Any]:
        """Everything that the next step depends on, in a fixed order."""
        return [*self.student.weights, *self.head.weights, *self.optimizer.variables]

    def save_checkpoint(self, file: Path, epochs_done: int) -> None:
        """Write weights, optimiser state and epoch; the file appears whole."""
        arrays = {f"{i:04d}": v.value.numpy() for i, v in enumerate(self.state)}
        _save_whole(file, {"epochs_done": np.array(epochs_done), **arrays})

    def load_checkpoint(self, file: Path) -> int:
        """Restore what `save_checkpoint` wrote; return how many epochs are done."""
        with np.load(file) as arrays:
            for i, variable in enumerate(self.state):
                variable.assign(arrays[f"{i:04d}"])
            return int(arrays["epochs_done"])

    def save_weights(self, file: Path) -> None:
        """Write the student in half precision, with its classifier and the class names."""
        kernel, bias = (v.value.numpy() for v in self.head.weights)
        extra = {"head/kernel": kernel, "head/bias": bias, "head/classes": np.array(self.classes)}
        save_builtin_weights(self.student, file, extra)


def _mirror_labels(labels: LabelArray) -> LabelArray:
    return labels[:, [1, 0, 3, 2, 4]]


def load_head(head: keras.Model, classes: list[str], file: Path) -> None:
    """Load the classifier of a weight file if it is for the same classes; leave `head` alone otherwise."""
    with np.load(file) as arrays:
        if "head/classes" in arrays and arrays["head/classes"].tolist() == classes:
            head.set_weights([arrays["head/kernel"].astype(np.float32), arrays["head/bias"].astype(np.float32)])


def _save_whole(file: Path, arrays: dict[str, Any]) -> None:
    temporary = file.with_name(f"{file.stem}.{os.getpid()}.tmp.npz")
    np.savez(temporary, **arrays)
    temporary.replace(file)


def train(recipe: Recipe, pools: Pools, out: Path, classes: list[str], start_from: Path | None = None) -> Path:
    """Run or resume a training; return the weight file, rewritten after every epoch.

    Raises
    ------
    ValueError
        If `out` holds a run of another recipe.
    """
    out.mkdir(parents=True, exist_ok=True)
    described = json.dumps({**vars(recipe), "teacher": pools.use_teacher, "classes": len(classes)}, indent=1)
    recipe_file, checkpoint, weights = out / "recipe.json", out / "checkpoint.npz", out / f"{recipe.name}.npz"
    if recipe_file.exists() and recipe_file.read_text("utf-8") != described:
        raise ValueError(f"Expected the recipe in {recipe_file}, or an empty folder. Received: {described}")
    trainer = Trainer(recipe, classes, pools.use_teacher, start_from)
    recipe_file.write_text(described, "utf-8")
    done = trainer.load_checkpoint(checkpoint) if checkpoint.exists() else 0
    with (out / "log.txt").open("a", encoding="utf-8") as log:
        for epoch in range(done, recipe.epochs):
            started = time.monotonic()
            parts = trainer.train_epoch(epoch, *pools[epoch])
            line = " ".join(f"{key} {value:.4f}" for key, value in parts.items())
            line = f"{recipe.name} epoch {epoch + 1}/{recipe.epochs} {line} ({time.monotonic() - started:.0f} s)"
            print(line, flush=True)
            log.write(line + "\n")
            log.flush()
            trainer.save_weights(weights)
            trainer.save_checkpoint(checkpoint, epoch + 1)
    return weights


def main(arguments: list[str] | None = None) -> int:
    """Command line; see the module's first docstring."""
    data = Path("../shared/training")
    defaults = Recipe("TinyResNet")
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=list(BUILTIN_BUILDERS))
    parser.add_argument(
        "--labelled", type=Path, default=data / "tiny-imagenet-100x300.zip", help="zip or class folders"
    )
    parser.add_argument("--photos", type=Path, help="zip or folder of larger photographs, labels not used")
    parser.add_argument("--teacher", action="store_true", help="learn MobileNetV2-0.35's features too (KERAS_HOME)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run: log, checkpoint, weights")
    parser.add_argument("--cache", type=Path, help="keep the canvases here (490 MB a pool), for other runs")
    parser.add_argument("--start-from", type=Path, help="weight file (.npz) of an earlier run")
    parser.add_argument("--threads", type=int, help="CPU threads, by default all")
    for option in ("size", "epochs", "canvases", "batch", "pools", "seed"):
        parser.add_argument(f"--{option}", type=int, default=getattr(defaults, option))
    for option in ("learning-rate", "label-weight", "map-weight"):
        parser.add_argument(f"--{option}", type=float, default=getattr(defaults, option.replace("-", "_")))
    parser.add_argument("--only-pools", action="store_true", help="fill the cache and stop")
    options = vars(parser.parse_args(arguments))
    if options["threads"] is not None:
        tf.config.threading.set_intra_op_parallelism_threads(options["threads"])
    recipe = Recipe(**{key: options[key] for key in Recipe.__dataclass_fields__})
    pools = Pools(recipe, options["labelled"], options["photos"], options["teacher"], options["cache"])
    if options["only_pools"]:
        for number in range(recipe.pools):
            pools[number]
            print(f"pool {number + 1}/{recipe.pools}", flush=True)
        return 0
    weights = train(recipe, pools, options["out"], class_names(options["labelled"]), options["start_from"])
    print(f"{weights}: {weights.stat().st_size / 1e6:.2f} MB")
    return 0


def class_names(source: Path) -> list[str]:
    """Class folders of the labelled pictures, sorted."""
    return read_labelled(source).classes


if __name__ == "__main__":
    sys.exit(main())
