"""Measure a built-in backbone: validation top-1, and how well its maps find boxes beside its untrained control.

Run from the repository's root:
``python -m training.evaluate_builtin TinyResNet --training ../shared/training/tiny-imagenet-100x300.zip`` and
``python -m training.evaluate_builtin TinyResNet --boxes ../shared/datasets/raccoon ../shared/datasets/coco128``.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from convfe_core.backbones.backbone import freeze_network
from convfe_core.backbones.network import Network, open_network
from convfe_core.base.file_sets import open_files
from convfe_core.catalog.builtin_networks import BUILTIN_BUILDERS, builtin_weight_file, load_builtin_weights
from convfe_core.catalog.specs import CATALOG, parse_spec
from convfe_core.datasets.boxes import ImageBoxes
from convfe_core.datasets.read_dataset import read_dataset
from convfe_core.maps.extraction import extract_maps
from convfe_core.maps.feature_maps import REDUCTIONS
from convfe_core.maps.input_size import Size
from convfe_core.photos.photo import DEFAULT_LIMITS, Photo, read_photo
from convfe_core.scoring.separation import Comparison
from training.pictures import as_input, read_pictures

CONTROL_SEEDS = (0, 1, 2)
EVERY = 4
"""One validation picture in so many enters S on the training side."""


@dataclass(frozen=True)
class Scores:
    """Separation of the max and the mean map, trained and (mean over `CONTROL_SEEDS`) untrained, on one data set."""

    trained: dict[str, float]
    control: dict[str, float]
    photos: int
    usable: int


def top1(name: str, training: Path, weights: Path, size: int) -> tuple[float, int]:
    """Share of the validation pictures whose class the classifier in `weights` names, and how many pictures there are.

    Raises
    ------
    ValueError
        If the classes of `training` are not those that the classifier was trained on.
    """
    pictures = read_pictures(training, "val")
    model = _network(name, weights).model
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


def read_boxed_photos(source: Path) -> tuple[list[Photo], list[ImageBoxes]]:
    """Read the training zip's validation pictures, or a folder with VOC, YOLO or COCO boxes."""
    if source.suffix == ".zip":
        return _read_val_boxes(source)
    dataset = read_dataset(open_files(source))
    photos = [read_photo(dataset.source.read(i.image, DEFAULT_LIMITS.max_bytes), i.image) for i in dataset.images]
    return photos, list(dataset.images)


def _read_val_boxes(source: Path) -> tuple[list[Photo], list[ImageBoxes]]:
    photos, boxes = [], []
    with zipfile.ZipFile(source) as archive:
        for row in list(csv.DictReader(io.TextIOWrapper(archive.open("val_boxes.csv"), "utf-8")))[::EVERY]:
            photo = read_photo(archive.read(row["file"]), row["file"])
            corners = [[float(row[key]) for key in ("xmin", "ymin", "xmax", "ymax")]]
            photos.append(photo)
            boxes.append(ImageBoxes(row["file"], photo.height, photo.width, np.array(corners), (row["wnid"],)))
    return photos, boxes


def separation_of(name: str, source: Path, weights: Path, size: int) -> Scores:
    """Separation of a built-in backbone and of its control on one set of boxes, longest side `size` pixels."""
    photos, boxes = read_boxed_photos(source)
    trained, usable = _separation(_network(name, weights), photos, boxes, size)
    untrained = [_separation(_network(name, None, seed), photos, boxes, size)[0] for seed in CONTROL_SEEDS]
    control = {key: float(np.mean([found[key] for found in untrained])) for key in REDUCTIONS}
    return Scores(trained, control, len(photos), usable)


def _network(name: str, weights: Path | None, seed: int = 0) -> Network:
    network = open_network(parse_spec(f"{name}:untrained"), seed=seed)
    if weights is not None:
        load_builtin_weights(network.model, name, weights)
    return network


def _separation(
    network: Network, photos: Sequence[Photo], boxes: Sequence[ImageBoxes], size: int
) -> tuple[dict[str, float], int]:
    """S of each map, and how many images it is the mean of."""
    comparison = Comparison(boxes)
    scores = []
    for i, maps in enumerate(extract_maps(freeze_network(network), photos, Size(str(size)))):
        if len(boxes[i].boxes):
            values = np.stack([maps.max, maps.mean])
            scores.append(comparison.score(i, values, maps.centres_y, maps.centres_x).separation)
    usable = np.array([score for score in scores if np.isfinite(score).all()])
    return dict(zip(("max", "mean"), usable.mean(0).tolist(), strict=True)), len(usable)


def main(arguments: list[str] | None = None) -> int:
    """Command line; see the module's first docstring."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=list(BUILTIN_BUILDERS))
    parser.add_argument("--training", type=Path, help="zip with val/ and val_boxes.csv: top-1, and S on the boxes")
    parser.add_argument("--boxes", type=Path, nargs="*", default=[], help="folders with VOC, YOLO or COCO boxes: S")
    parser.add_argument("--weights", type=Path, help="by default those in the package")
    parser.add_argument("--sizes", type=int, nargs="+", help="longest sides, in pixels; by default the working size")
    options = parser.parse_args(arguments)
    weights = options.weights or builtin_weight_file(options.name)
    for size in options.sizes or [CATALOG[options.name].working_size]:
        if options.training:
            share, count = top1(options.name, options.training, weights, size)
            print(f"{options.name} at {size}, top-1: {share:.1%} of {count}", flush=True)
        for source in [*([options.training] if options.training else []), *options.boxes]:
            scores = separation_of(options.name, source, weights, size)
            for key in REDUCTIONS:
                trained, control = scores.trained[key], scores.control[key]
                print(
                    f"{options.name} at {size}, {source.stem}: S of the {key} map {trained:+.3f}, "
                    f"control {control:+.3f}, margin {trained - control:+.3f}; "
                    f"{scores.usable} of {scores.photos} pictures usable",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
