"""A trial as a job for engines: each backbone is one shard, its photographs fold by fold.

A fold is a piece of its shard (see `convfe_core.jobs.parts`), so that a run that was killed goes on with the fold that
it was at.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass, field, replace
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from convfe_core.backbones.backbone import Backbone
from convfe_core.backbones.precision import Precision, explain_kept, require_same_arithmetic
from convfe_core.base.errors import AnnotationError
from convfe_core.catalog.memory_need import require_room, require_room_alone, worker_mb
from convfe_core.catalog.specs import Spec, from_anywhere
from convfe_core.datasets.boxed_photos import boxes_digest, open_boxed
from convfe_core.datasets.boxes import Dataset, ImageBoxes
from convfe_core.datasets.packed_boxes import PackedBoxes
from convfe_core.jobs.shards import Row, Shard, ShardImage, cut_shards, remark
from convfe_core.jobs.weight_pass import Pass, shown
from convfe_core.machine.versions import installed_version
from convfe_core.maps.extraction import cells_on_photo, require_cells
from convfe_core.maps.input_size import Size, frame_for
from convfe_core.photos.photo import DEFAULT_LIMITS, Photo
from convfe_core.trial.detector import Detector, Example, Recipe
from convfe_core.trial.features import StoredFeatures, remove_features, require_disk, store_features
from convfe_core.trial.stages import ADDED, freeze_stages
from convfe_core.trial.targets import cell_places, detector_targets

FOLDS = 5
TRIAL_IMAGES = 400
"""Most photographs that a detector is tried on; of more, so many are drawn."""

SCHEMA = pa.schema(
    [
        ("reason", pa.string()),
        ("found", pa.binary()),
        ("without_cell", pa.int64()),
        ("cells", pa.int64()),
        ("seconds", pa.float64()),
    ]
)
"""One row a photograph, ``reason`` alone when it cannot be read.

``found`` float32 (N, 5), the boxes and their scores; ``without_cell`` how many of its own boxes no cell belongs to;
``cells`` of its map; ``seconds`` its share of what its fold took.
"""


@dataclass(frozen=True)
class TrialOptions:
    """How detectors are tried.

    Attributes
    ----------
    size, tap, precision : as of a ranking; the tap may also be `convfe_core.trial.stages.ADDED`
    seed : of the photographs that are drawn, of the folds and of all heads
    images : most photographs that are taken
    recipe : of the heads
    """

    size: Size = field(default_factory=lambda: Size("own"))
    tap: str = "auto"
    precision: Precision = "float32"
    seed: int = 0
    images: int = TRIAL_IMAGES
    recipe: Recipe = field(default_factory=Recipe)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A loaded backbone, how many channels belong to each of its stages, and whom to tell what is done with it."""

    backbone: Backbone
    stages: tuple[int, ...]
    tell: Callable[[str], None]


@dataclass(frozen=True, eq=False)
class TrialJob:
    """What trying detectors needs to know besides a shard, see `convfe_core.jobs.shards.Job`.

    Attributes
    ----------
    passes : by name, as shards name them
    bfloat16 : whether the machine that asks computes in it; all must
    features : folder of this machine where features are kept while they are needed; None for a temporary one
    keep : leave them there
    make_room : called before a backbone is loaded; raises MemoryLimitError where it does not fit
    """

    dataset: Dataset
    options: TrialOptions
    passes: Mapping[str, Pass]
    bfloat16: bool
    features: Path | None = None
    keep: bool = False
    make_room: Callable[[Spec], None] = require_room
    schema = SCHEMA

    @cached_property
    def places(self) -> list[int]:
        """Of the photographs that are taken, in the order of their folds."""
        boxed = [place for place, image in enumerate(self.dataset.images) if len(image.boxes)]
        order = np.random.default_rng(self.options.seed).permutation(len(boxed))
        return [boxed[k] for k in order[: self.options.images]]

    @property
    def megabytes(self) -> float:
        """Memory of a process of its own."""
        return worker_mb(one.spec for one in self.passes.values())

    def called(self, backbone: str) -> tuple[str, str]:
        """The backbone, and whether its own weights are tried or those of its control."""
        one = self.passes[backbone]
        return shown(one.spec), "trial" if one.seed is None else "trial of its untrained control"

    def shards(self, one: Pass) -> list[Shard]:
        """The one shard of a pass; none without photographs."""
        options, source = self.options, self.dataset.source
        names = [(place, self.dataset.images[place].image) for place in self.places]
        images = [ShardImage(name, place, stamp=source.stamp(name)) for place, name in names]
        request = {
            "version": installed_version("convfe"),
            "source": source.label,
            "boxes": self._boxes,
            "size": options.size.name,
            "tap": options.tap,
            "bfloat16": self.bfloat16,
            "seed": options.seed,
            "recipe": astuple(options.recipe),
            "pass": one.stamp,
        }
        return cut_shards(images, [one.name], request, SCHEMA, per_shard=len(images))

    def load(self, backbone: str, tell: Callable[[str], None]) -> Candidate:
        """Load the weights of a pass.

        Raises
        ------
        MemoryLimitError : its features would take too much room
        others : as of `convfe_core.backbones.backbone.open_network`
        """
        one, options = self.passes[backbone], self.options
        require_same_arithmetic(options.precision, self.bfloat16)
        make = partial(freeze_stages, tap=options.tap, precision=options.precision)
        loaded, stages = one.load(make, "auto" if options.tap == ADDED else options.tap, self.make_room, tell)
        require_disk(loaded, [self.dataset.images[place] for place in self.places], options.size)
        return Candidate(loaded, stages, tell)

    def remark(self, loaded: Candidate) -> str | None:
        """What to know about its maps, and why it computes in float32 though bfloat16 was asked for."""
        backbone = loaded.backbone
        kept = explain_kept(self.options.precision, backbone.precision, backbone.takes_bfloat16)
        return remark(backbone.notes, kept)

    def rows(self, loaded: Candidate, shard: Shard, first: int) -> Iterator[tuple[int, list[Row]]]:
        """Try a detector fold by fold; see `convfe_core.jobs.shards.ComputeRows`.

        Raises
        ------
        AnnotationError : there is nothing to learn from
        ModelFileError : features that are no numbers
        """
        with ExitStack() as stack:
            folder = self.features or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="convfe-trial-")))
            start = time.monotonic()
            stored = self._store(loaded, shard, folder)
            trial = _Trial(self, loaded, shard, stored)
            spent = time.monotonic() - start
            for number, (begin, after) in enumerate(folds(len(shard.images)), 1):
                if begin < first:
                    continue
                start = time.monotonic()
                rows = trial.fold(range(begin, after), partial(loaded.tell, f"fold {number} of {FOLDS}"))
                seconds = (spent + time.monotonic() - start) / (after - begin)
                spent = 0.0
                yield after, [row | {"seconds": seconds} for row in rows]
            del trial, stored  # a file that is mapped cannot be removed everywhere
            if not self.keep:
                remove_features(shard, folder)

    def _store(self, loaded: Candidate, shard: Shard, folder: Path) -> StoredFeatures:
        source, size = self.dataset.source, self.options.size

        def read(image: ShardImage) -> bytes:
            return source.read(image.path, DEFAULT_LIMITS.max_bytes)

        def decode(image: ShardImage, data: bytes) -> Photo:
            photo = open_boxed(self.dataset.images[image.place], image.path, data)
            require_cells(loaded.backbone, photo, size)
            return photo

        return store_features(
            loaded.backbone,
            loaded.stages or (loaded.backbone.channels,),
            shard,
            size,
            folder,
            read,
            decode,
            source.readers,
            loaded.tell,
        )

    def __getstate__(self) -> dict[str, Any]:
        """Pickle little, as `convfe_core.ranking.score_rows.RankJob` does; features stay where they are computed."""
        return {
            "dataset": replace(self.dataset, images=PackedBoxes(self.dataset.images), skipped=()),
            "options": self.options,
            "passes": {name: replace(one, spec=from_anywhere(one.spec)) for name, one in self.passes.items()},
            "bfloat16": self.bfloat16,
            "features": None,
            "keep": False,
            "make_room": require_room_alone,
        }

    @cached_property
    def _boxes(self) -> str:
        return boxes_digest(self.dataset.images)


def folds(images: int) -> list[tuple[int, int]]:
    """Where each fold begins and ends among so many photographs, no fold empty.

    Examples
    --------
    >>> folds(7)
    [(0, 1), (1, 2), (2, 4), (4, 5), (5, 7)]
    """
    count = min(FOLDS, images)
    edges = [images * k // count for k in range(count + 1)]
    return list(pairwise(edges))


class _Trial:
    """Detectors for one backbone, each trained on the photographs of all folds but one."""

    def __init__(self, job: TrialJob, loaded: Candidate, shard: Shard, stored: StoredFeatures) -> None:
        self._images: Sequence[ImageBoxes] = [job.dataset.images[image.place] for image in shard.images]
        self._stored = stored
        self._reasons = {k: reason for k in range(len(self._images)) if (reason := stored.reason(k))}
        frames = [frame_for(image.height, image.width, loaded.backbone, job.options.size) for image in self._images]
        self._places = {
            k: cell_places(frame, cells_on_photo(frame, loaded.backbone))
            for k, frame in enumerate(frames)
            if k not in self._reasons
        }
        self._targets = {k: detector_targets(self._images[k].boxes, places) for k, places in self._places.items()}
        if not self._places:
            return
        rows, columns = np.max([places.shape for places in self._places.values()], axis=0).tolist()
        shape = rows, columns, loaded.backbone.channels
        self._detector = Detector(shape, job.options.recipe, job.options.seed, loaded.stages)

    def fold(self, members: range, tell: Callable[[], None]) -> list[Row]:
        """Search the photographs of one fold with a head that has learnt from all others."""
        held = [k for k in members if k in self._places]
        seen = [k for k in self._places if k not in members]
        if held and not seen:
            raise AnnotationError(
                "a trial needs at least 2 images with boxes that can be read, to learn from some and to be tried on "
                f"others, got {len(held)}."
            )
        rows: list[Row] = [{"reason": self._reasons.get(k)} for k in members]
        if not held:
            return rows
        examples = [Example(self._stored.values(k), self._targets[k]) for k in seen]
        self._detector.fit(examples, lambda _epoch: tell())
        photos = [
            (self._stored.values(k), self._places[k], self._images[k].height, self._images[k].width) for k in held
        ]
        for k, found in zip(held, self._detector.find(photos), strict=True):
            rows[k - members.start] |= {
                "found": np.column_stack([found.boxes, found.scores]).astype(np.float32).tobytes(),
                "without_cell": int(self._targets[k].without_cell.sum()),
                "cells": self._places[k].shape[0] * self._places[k].shape[1],
            }
        return rows
