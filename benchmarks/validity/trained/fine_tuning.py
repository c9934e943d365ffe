"""Fine-tune backbones end to end, to learn whether detectors on frozen features put them in the same order.

    python -m benchmarks.validity.trained.fine_tuning prepare DIR --data PATH --backbone SPEC [--seeds 1]
    KERAS_BACKEND=jax python -m benchmarks.validity.trained.fine_tuning train DIR [--backbone SPEC] [--factor 0.1]
    python -m benchmarks.validity.trained.fine_tuning score DIR --results RESULTS --data PATH --backbone SPEC

The second step is the long one. It asks for DIR, Keras and any of its backends, so that it can run on a machine that
has a GPU and neither photographs nor TensorFlow; several can share a GPU, a backbone each. ``score`` adds what was
found to the results of the study, which `python -m benchmarks.validity` puts on its page.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from benchmarks.machine import processor_name
from benchmarks.validity.results import (
    END_TO_END_AT,
    FACTOR,
    RESAMPLES,
    Candidate,
    Results,
    file_name,
    open_data,
    result_name,
)
from benchmarks.validity.trained.whole_detector import Lessons, WholeDetector, said_by_folds
from convfe_core.backbones.network import KerasNetwork, Network, load_as
from convfe_core.base.arrays import FloatArray
from convfe_core.datasets.boxed_photos import open_boxed
from convfe_core.datasets.boxes import Dataset, ImageBoxes, box_areas
from convfe_core.maps.extraction import cells_on_photo
from convfe_core.photos.letterbox import Frame, place_on_canvas, plan_frame
from convfe_core.photos.photo import DEFAULT_LIMITS
from convfe_core.trial.average_precision import Detections, match_detections
from convfe_core.trial.detector import Recipe, suppress
from convfe_core.trial.targets import boxes_at, cell_places, detector_targets
from convfe_core.trial.trial_job import TrialJob, TrialOptions

SIDES = (32, 96, 160)
"""Pixels of a photograph: AP50 is told of boxes that are at least so large, too."""


def boxed(dataset: Dataset) -> list[int]:
    """Places of the photographs that a trial takes, in the data set's order."""
    return sorted(TrialJob(dataset, TrialOptions(), {}, bfloat16=False).places)


def prepare(folder: Path, data: dict[str, Dataset], candidates: Sequence[Candidate], seeds: int) -> None:
    """Write what training asks for: each backbone as a Keras model, and its photographs with their targets."""

    def write(network: Network) -> None:
        import keras

        assert isinstance(network, KerasNetwork)
        keras.Model(network.model.inputs, network.tensor).save(folder / f"{file_name(one.label)}.keras")
        for name, dataset in data.items():
            lessons(network, dataset, seeds).save(folder / f"{file_name(name, one.label)}.npz")

    folder.mkdir(parents=True, exist_ok=True)
    for one in candidates:
        load_as(write, one.spec, one.layer)


def lessons(network: Network, dataset: Dataset, seeds: int) -> Lessons:
    """The photographs of a data set as a network is to learn from them, all on canvases of one size."""
    places = boxed(dataset)
    images = [dataset.images[place] for place in places]
    frames = [_frame(network, image) for image in images]
    grid = network.grid(frames[0].input_height, frames[0].input_width)
    there = np.zeros((len(images), grid.rows, grid.columns), np.float32)
    scores, owned, distances = np.zeros_like(there), np.zeros_like(there), np.zeros((*there.shape, 4), np.float32)
    canvases = []
    for k, (image, frame) in enumerate(zip(images, frames, strict=True)):
        cells = cell_places(frame, cells_on_photo(frame, network))
        targets, part = detector_targets(image.boxes, cells), np.s_[k, : cells.shape[0], : cells.shape[1]]
        there[part], scores[part], owned[part] = 1, targets.score, targets.owner >= 0
        distances[part] = targets.distances
        data = dataset.source.read(image.image, DEFAULT_LIMITS.max_bytes)
        canvases.append(place_on_canvas(open_boxed(image, image.image, data), frame))
    orders = [
        np.searchsorted(places, TrialJob(dataset, TrialOptions(seed=seed), {}, bfloat16=False).places)
        for seed in range(seeds)
    ]
    return Lessons(network.preprocessing, np.stack(canvases), there, scores, owned, distances, np.array(orders))


def _frame(network: Network, image: ImageBoxes) -> Frame:
    """Where a photograph lies on a square canvas of the network's working size."""
    side = network.working_size
    return plan_frame(image.height, image.width, side, side, fixed=network.fixed)


def train(folder: Path, label: str, factor: float, recipe: Recipe) -> None:
    """Train one backbone on every data set that was prepared for it, with every seed; what is done stays."""
    import keras

    backbone = keras.models.load_model(folder / f"{file_name(label)}.keras", compile=False)
    start = backbone.get_weights()
    detector: WholeDetector | None = None
    every = {path: Lessons.load(path) for path in sorted(folder.glob(f"{file_name('*', label)}.npz"))}
    for seed in range(max(len(one.orders) for one in every.values())):
        for path, prepared in every.items():
            done = path.with_suffix(f".{result_name(factor, seed)}.npz")
            if done.is_file():
                continue
            begin = time.perf_counter()
            if detector is None or not detector.takes(prepared):
                backbone.set_weights(start)
                detector = WholeDetector(backbone, prepared, recipe, factor)
            said = said_by_folds(detector, prepared, seed)
            told = {"seconds": time.perf_counter() - begin, **machine()}
            np.savez_compressed(done, said=said, told=json.dumps(told))
            print(f"{done.stem}: {told['seconds']:.0f} s", flush=True)


def machine() -> dict[str, str]:
    """What a training computes on, with which versions, and when."""
    import keras

    name, device = keras.backend.backend(), processor_name()
    backend = import_module(name)
    if name == "jax":
        device = backend.devices()[0].device_kind
    elif name == "torch" and backend.cuda.is_available():
        device = backend.cuda.get_device_name()
    today = datetime.now(UTC).date().isoformat()
    return {"machine": device, "versions": f"Keras {keras.__version__} on {name} {backend.__version__}", "date": today}


def score(folder: Path, results: Results, data: dict[str, Dataset], candidates: Sequence[Candidate]) -> None:
    """Turn what detectors said into results of the study, like those of a trial."""

    def read(network: Network) -> None:
        for name, dataset in data.items():
            stem = file_name(name, one.label)
            for path in sorted(folder.glob(f"{stem}.{END_TO_END_AT} *.npz")):
                with np.load(path) as kept:
                    found = found_by(network, dataset, kept["said"]) | json.loads(str(kept["told"]))
                results.keep(found, name, one.label, path.name.removeprefix(f"{stem}.").removesuffix(".npz"))

    for one in candidates:
        load_as(read, one.spec, one.layer)


def found_by(network: Network, dataset: Dataset, said: FloatArray) -> dict[str, Any]:
    """What is found by detectors that say (N, h, w, 5) of the photographs of a data set."""
    images = [dataset.images[place] for place in boxed(dataset)]
    found = []
    for image, values in zip(images, said, strict=True):
        frame = _frame(network, image)
        cells = cell_places(frame, cells_on_photo(frame, network))
        values = values[: cells.shape[0], : cells.shape[1]]
        boxes = boxes_at(values[..., 1:], cells, image.height, image.width)
        found.append(suppress(boxes, expit(values[..., 0]).ravel(), Recipe()))
    matches = match_detections(images, found)
    return {
        "ap50": matches.ap50,
        "again": matches.resampled_ap50(resamples=RESAMPLES).tolist(),
        "ap": matches.ap,
        "recall": matches.recall,
        "images": len(images),
        "by side": {str(side): _ap50_of_large(images, found, side) for side in SIDES},
    }


def _ap50_of_large(images: Sequence[ImageBoxes], found: Sequence[Detections], side: int) -> tuple[int, float]:
    """How many boxes have at least the area of a square of so many pixels, and AP50 of these alone."""
    marked, said = [], []
    for image, one in zip(images, found, strict=True):
        large, kept = (box_areas(boxes) >= side**2 for boxes in (image.boxes, one.boxes))
        labels = tuple(label for label, taken in zip(image.labels, large, strict=True) if taken)
        marked.append(replace(image, boxes=image.boxes[large], labels=labels))
        said.append(Detections(one.boxes[kept], one.scores[kept]))
    boxes = sum(len(one.boxes) for one in marked)
    return boxes, match_detections(marked, said).ap50 if boxes else 0.0


def main() -> None:
    """Do one of the three steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["prepare", "train", "score"])
    parser.add_argument("folder", type=Path, metavar="DIR", help="of what is prepared and said")
    parser.add_argument("--data", type=Path, action="append", default=[], metavar="PATH")
    parser.add_argument("--backbone", type=Candidate.named, action="append", default=[], metavar="SPEC[@LAYER]")
    parser.add_argument("--results", type=Path, metavar="DIR", help="of the study, for score")
    parser.add_argument("--seeds", type=int, default=1, help="to prepare for")
    parser.add_argument("--factor", type=float, default=FACTOR, help="of the head's rate, for the backbone")
    parser.add_argument("--epochs", type=int, default=Recipe().epochs)
    options = parser.parse_args()
    if options.step == "train":
        for one in options.backbone:
            train(options.folder, one.label, options.factor, Recipe(epochs=options.epochs))
        return
    data = open_data(options.data, drawn=0)
    if options.step == "prepare":
        prepare(options.folder, data, options.backbone, options.seeds)
    else:
        score(options.folder, Results(options.results), data, options.backbone)


if __name__ == "__main__":
    main()
