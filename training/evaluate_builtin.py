"""Measure a built-in backbone: validation top-1, and how well its maps find boxes beside its untrained control.

Run from the repository's root:
``python -m training.evaluate_builtin TinyResNet --training ../shared/training/tiny-imagenet-100x300.zip`` and
``python -m training.evaluate_builtin TinyResNet --boxes ../shared/datasets/raccoon ../shared/datasets/coco128``.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import defusedxml.ElementTree
import keras
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import rankdata

from convfe_core.builtin import BUILTIN_BUILDERS, WORKING_SIZE, builtin_weight_file, load_builtin_weights
from training.pictures import as_input, read_pictures

STRIDE = 16
PAD_TO = 32
CONTROL_SEEDS = (0, 1, 2)
MOST_OTHERS = 64

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class BoxedPhoto:
    """A photograph and its boxes, (n, 4) ``(x_min, y_min, x_max, y_max)`` as shares of width and height."""

    pixels: NDArray[np.uint8]
    boxes: FloatArray


def top1(name: str, training: Path, weights: Path, size: int) -> tuple[float, int]:
    """Share of the validation pictures whose class the classifier in `weights` names, and how many pictures there are.

    Raises
    ------
    ValueError
        If the classes of `training` are not those that the classifier was trained on.
    """
    pictures = read_pictures(training, "val")
    model = _trained(name, weights)
    with np.load(weights) as arrays:
        kernel, bias, classes = (arrays[f"head/{key}"] for key in ("kernel", "bias", "classes"))
    if classes.tolist() != pictures.classes:
        raise ValueError(f"Expected the {len(classes)} classes of training. Received: {len(pictures.classes)} others.")
    hits = 0
    for i in range(0, len(pictures.images), 50):
        batch = [Image.fromarray(image).resize((size, size)) for image in pictures.images[i : i + 50]]
        features = model.predict_on_batch(as_input(np.stack([np.asarray(image) for image in batch])))
        logits = features.mean((1, 2)) @ kernel.astype(np.float32) + bias.astype(np.float32)
        hits += int((logits.argmax(1) == pictures.labels[i : i + 50]).sum())
    return hits / len(pictures.images), len(pictures.images)


def read_boxed_photos(source: Path) -> list[BoxedPhoto]:
    """Read the zip's validation pictures, or a folder with VOC XML files or one COCO ``instances*.json``."""
    if source.suffix == ".zip":
        return _from_zip(source)
    pictures = {path.name: path for path in source.rglob("*.jpg")}
    found: dict[str, list[tuple[float, ...]]] = {}
    for file in sorted(source.rglob("*.json")):
        content = json.loads(file.read_text())
        names = {image["id"]: image["file_name"] for image in content["images"]}
        for item in content["annotations"]:
            x, y, w, h = item["bbox"]
            found.setdefault(names[item["image_id"]], []).append((x, y, x + w, y + h))
    for file in sorted(source.rglob("*.xml")):
        root = defusedxml.ElementTree.parse(file).getroot()
        picture = str(root.findtext("filename"))
        for box in root.iter("bndbox"):
            corners = tuple(float(str(box.findtext(key))) for key in ("xmin", "ymin", "xmax", "ymax"))
            found.setdefault(picture, []).append(corners)
    return [_boxed(Image.open(pictures[name]), boxes) for name, boxes in sorted(found.items()) if name in pictures]


def _from_zip(source: Path, every: int = 4) -> list[BoxedPhoto]:
    with zipfile.ZipFile(source) as archive:
        rows = list(csv.DictReader(io.TextIOWrapper(archive.open("val_boxes.csv"))))[::every]
        return [
            _boxed(
                Image.open(io.BytesIO(archive.read(row["file"]))),
                [tuple(float(row[key]) for key in ("xmin", "ymin", "xmax", "ymax"))],
            )
            for row in rows
        ]


def _boxed(picture: Image.Image, boxes: list[tuple[float, ...]]) -> BoxedPhoto:
    scale = [picture.width, picture.height, picture.width, picture.height]
    return BoxedPhoto(np.asarray(picture.convert("RGB")), np.array(boxes, dtype=np.float64) / scale)


def maps_of(model: keras.Model, photos: list[BoxedPhoto], size: int) -> list[tuple[FloatArray, FloatArray]]:
    """Max and mean map of each photograph, its longest side brought to `size`, cut to the cells that lie on it."""
    maps = []
    for photo in photos:
        height, width = photo.pixels.shape[:2]
        scale = size / max(height, width)
        content = (max(1, round(height * scale)), max(1, round(width * scale)))
        resized = np.asarray(Image.fromarray(photo.pixels).resize(content[::-1], Image.Resampling.BILINEAR))
        padding = [(0, -side % PAD_TO) for side in content]
        features = model.predict_on_batch(as_input(np.pad(resized, [*padding, (0, 0)], mode="edge"))[None])[0]
        rows, columns = (int(np.ceil((side - (STRIDE - 0.5)) / STRIDE)) for side in content)
        features = features[: max(1, rows), : max(1, columns)].astype(np.float64)
        maps.append((features.max(-1), features.mean(-1)))
    return maps


def separation(maps: list[FloatArray], photos: list[BoxedPhoto], size: int, seed: int = 0) -> tuple[float, int]:
    """Dataset separation S (see the README of the project) and the number of usable photographs."""
    rng = np.random.default_rng(seed)
    scores = []
    for i, (values, photo) in enumerate(zip(maps, photos, strict=True)):
        others = np.delete(np.arange(len(photos)), i)
        if len(others) > MOST_OTHERS:
            others = rng.choice(others, MOST_OTHERS, replace=False)
        scale = size / max(photo.pixels.shape[:2])
        centres = [(STRIDE - 0.5 + STRIDE * np.arange(n)) for n in values.shape]
        y, x = (c / (side * scale) for c, side in zip(centres, photo.pixels.shape[:2], strict=True))
        ranks = rankdata(values.ravel())
        own = _auroc(ranks, _inside(photo.boxes, y, x))
        other = [_auroc(ranks, _inside(photos[j].boxes, y, x)) for j in others]
        if own is not None and any(score is not None for score in other):
            scores.append(own - float(np.mean([score for score in other if score is not None])))
    return float(np.mean(scores)), len(scores)


def _inside(boxes: FloatArray, y: FloatArray, x: FloatArray) -> NDArray[np.bool_]:
    """(h * w,) whether the centre of each cell lies in any box."""
    x0, y0, x1, y1 = (boxes[:, k, None] for k in range(4))
    rows, columns = (y >= y0) & (y < y1), (x >= x0) & (x < x1)
    inside: NDArray[np.bool_] = (rows[:, :, None] & columns[:, None, :]).any(0).ravel()
    return inside


def _auroc(ranks: FloatArray, inside: NDArray[np.bool_]) -> float | None:
    """Mann-Whitney U / (n_in n_out) from the ranks of all cells; None without a cell on either side."""
    n_in = int(inside.sum())
    n_out = len(inside) - n_in
    if n_in == 0 or n_out == 0:
        return None
    return float((ranks[inside].sum() - n_in * (n_in + 1) / 2) / (n_in * n_out))


def _trained(name: str, weights: Path) -> keras.Model:
    model = BUILTIN_BUILDERS[name]()
    load_builtin_weights(model, name, weights)
    return model


def _control(name: str, seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return BUILTIN_BUILDERS[name]()


@dataclass(frozen=True)
class Scores:
    """Separation of the max and the mean map, trained and (mean over `CONTROL_SEEDS`) untrained, on one data set."""

    trained: dict[str, float]
    control: dict[str, float]
    photos: int
    usable: int


def separation_of(name: str, source: Path, weights: Path, size: int) -> Scores:
    """Separation of a built-in backbone and of its control on one set of boxes, pictures at `size` pixels."""
    photos = read_boxed_photos(source)

    def scores(model: keras.Model) -> tuple[FloatArray, int]:
        pairs = maps_of(model, photos, size)
        found = [separation([pair[k] for pair in pairs], photos, size) for k in (0, 1)]
        return np.array([score for score, _ in found]), found[0][1]

    trained, usable = scores(_trained(name, weights))
    control = np.mean([scores(_control(name, seed))[0] for seed in CONTROL_SEEDS], axis=0)
    names = ("max", "mean")
    return Scores(
        trained=dict(zip(names, trained.tolist(), strict=True)),
        control=dict(zip(names, control.tolist(), strict=True)),
        photos=len(photos),
        usable=usable,
    )


def main(arguments: list[str] | None = None) -> int:
    """Command line; see the module's first docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=list(BUILTIN_BUILDERS))
    parser.add_argument("--training", type=Path, help="zip with val/ and val_boxes.csv: top-1, and S on the boxes")
    parser.add_argument("--boxes", type=Path, nargs="*", default=[], help="folders with VOC or COCO boxes: S")
    parser.add_argument("--weights", type=Path, help="by default those in the package")
    parser.add_argument("--sizes", type=int, nargs="+", default=[WORKING_SIZE], help="longest sides, in pixels")
    options = parser.parse_args(arguments)
    weights = options.weights or builtin_weight_file(options.name)
    for size in options.sizes:
        if options.training:
            share, count = top1(options.name, options.training, weights, size)
            print(f"{options.name} top-1 at {size}: {share:.1%} of {count}", flush=True)
        for source in [*([options.training] if options.training else []), *options.boxes]:
            scores = separation_of(options.name, source, weights, size)
            for key in ("max", "mean"):
                margin = scores.trained[key] - scores.control[key]
                print(
                    f"{options.name} {source.stem} at {size}: S of the {key} map {scores.trained[key]:+.3f}, "
                    f"control {scores.control[key]:+.3f}, margin {margin:+.3f}; "
                    f"{scores.usable} of {scores.photos} photographs usable",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
