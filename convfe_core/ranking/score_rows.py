"""A pass of a ranking over the photographs of a data set, by shards: what a photograph scored becomes a row.

A pass has one set of weights: a backbone's own or those of an untrained control. Its rows depend on the shard, the
data set and the options alone (see `convfe_core.jobs.shards`), so that passes can go on after a crash, or run
elsewhere.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from platformdirs import user_cache_dir

from convfe_core.backbones.backbone import open_network
from convfe_core.backbones.precision import computes_in_bfloat16, require_same_arithmetic
from convfe_core.base.arrays import BoxArray
from convfe_core.base.background import map_ahead
from convfe_core.base.errors import AnnotationError, ImageError
from convfe_core.base.memory import give_back
from convfe_core.catalog.memory_need import require_room
from convfe_core.catalog.specs import Spec, control_of
from convfe_core.datasets.boxes import Dataset
from convfe_core.datasets.packed_boxes import PackedBoxes
from convfe_core.graph.cell_geometry import SpatialPath
from convfe_core.jobs.shards import Row, Shard, ShardImage, cut_shards
from convfe_core.machine.versions import installed_version
from convfe_core.maps.feature_maps import REDUCTIONS
from convfe_core.maps.map_diagnostics import Diagnostics, diagnose_map
from convfe_core.photos.photo import DEFAULT_LIMITS, Photo, read_photo
from convfe_core.ranking.results import RankOptions
from convfe_core.scoring.scoring_graph import Scored, ScoringBackbone, freeze_for_scoring, score_windows
from convfe_core.scoring.separation import Comparison, box_cells

MONTH_SECONDS = 30 * 24 * 3600
NUMBERS = tuple(f.name for f in fields(Diagnostics) if f.name not in ("flat", "finite"))

_FLOATS = pa.list_(pa.float64())
SCHEMA = pa.schema(
    [
        ("place", pa.int64()),
        ("reason", pa.string()),
        ("tap", pa.string()),
        ("separation", _FLOATS),
        ("auroc", _FLOATS),
        ("by_size", _FLOATS),
        ("diagnostics", pa.list_(_FLOATS)),
        ("sides", pa.binary()),
        ("boxes", pa.int64()),
        ("averages", pa.binary()),
    ]
)
"""One row a photograph, ``reason`` alone when it cannot be read.

``separation`` and ``auroc`` by `REDUCTIONS`; ``by_size`` by `SIZE_GROUPS`; ``diagnostics`` (if it is one of those
diagnosed) by reduction: `NUMBERS`, then flat and finite as 0 or 1; ``sides`` float32, the boxes' sides in cells;
``averages`` float32 (``boxes``, channels), the probe's features.
"""


@dataclass(frozen=True, eq=False)
class Scorer:
    """What scoring needs to know besides a backbone and a shard.

    Attributes
    ----------
    probe_boxes : by place, the boxes whose features the probe wants
    diagnosed : places of the photographs whose maps are put into numbers
    """

    dataset: Dataset
    options: RankOptions
    comparison: Comparison
    probe_boxes: Mapping[int, BoxArray]
    diagnosed: frozenset[int]

    def images(self, places: Iterable[int]) -> tuple[ShardImage, ...]:
        """Photographs as shards name them."""
        images, source = self.dataset.images, self.dataset.source
        return tuple(ShardImage(images[k].image, k, stamp=source.stamp(images[k].image)) for k in places)

    def shards(self, name: str, weights: str, images: Sequence[ShardImage]) -> list[Shard]:
        """Cut a pass over some photographs into shards.

        Parameters
        ----------
        name : of the pass
        weights : tells weights of the same name apart
        """
        return cut_shards(images, [name], {**self._request, "weights": weights})

    def rows(
        self,
        backbone: ScoringBackbone,
        shard: Shard,
        first: int,
        *,
        control: bool = False,
        check: Callable[[], None] = lambda: None,
    ) -> Iterator[tuple[int, list[Row]]]:
        """Score the photographs of a shard window by window; see `convfe_core.jobs.shards.ComputeRows`.

        Parameters
        ----------
        control : leave out what is asked of trained weights alone
        check : called before each photograph; may raise to end it all
        """
        unreadable: dict[int, str] = {}

        def photos() -> Iterator[tuple[int, Photo]]:
            places = [image.place for image in shard.images[first:]]
            with closing(map_ahead(self._read, places, self.dataset.source.readers)) as files:
                yield from decoded(files)

        def decoded(files: Iterator[bytes | AnnotationError]) -> Iterator[tuple[int, Photo]]:
            for position in range(first, len(shard.images)):
                check()
                try:
                    yield position, self._photo(shard.images[position].place, next(files))
                except (ImageError, AnnotationError) as error:
                    unreadable[position] = str(error)

        wanted = {k: self.probe_boxes[i.place] for k, i in enumerate(shard.images) if i.place in self.probe_boxes}
        start = first
        with closing(score_windows(backbone, photos(), self.options.size, {} if control else wanted)) as windows:
            for window in windows:
                rows = {k: self._row(shard.images[k].place, scored, control) for k, scored in window}
                after = max(rows) + 1
                yield after, [rows.get(k) or self._unread(shard, k, unreadable) for k in range(start, after)]
                start = after
        if start < len(shard.images):
            yield len(shard.images), [self._unread(shard, k, unreadable) for k in range(start, len(shard.images))]

    def _read(self, place: int) -> bytes | AnnotationError:
        try:
            return self.dataset.source.read(self.dataset.images[place].image, DEFAULT_LIMITS.max_bytes)
        except AnnotationError as error:
            return error

    def _photo(self, place: int, data: bytes | AnnotationError) -> Photo:
        if isinstance(data, AnnotationError):
            raise data
        image = self.dataset.images[place]
        photo = read_photo(data, image.image)
        if (photo.height, photo.width) != (image.height, image.width):
            came = f"{photo.width} x {photo.height}"
            raise ImageError(f"its header says {image.width} x {image.height} pixels, it has {came}")
        return photo

    def _row(self, place: int, scored: Scored, control: bool) -> Row:
        maps = scored.maps
        centres = maps.centres_y, maps.centres_x
        values = np.stack([maps.max, maps.mean])
        scores = self.comparison.score(place, values, *centres)
        row: Row = {
            "place": place,
            "tap": maps.tap,
            "separation": scores.separation.tolist(),
            "auroc": scores.auroc.tolist(),
        }
        if place in self.diagnosed:
            row["diagnostics"] = [_numbers(diagnose_map(one, scored.dead)) for one in values]
        if not control:
            ranking_map = values[REDUCTIONS.index(self.options.reduction)][None]
            row["by_size"] = [float(g[0]) for g in self.comparison.score_sizes(place, ranking_map, *centres).values()]
            row["sides"] = box_cells(self.dataset.images[place].boxes, *centres).astype(np.float32).tobytes()
            row["boxes"], row["averages"] = len(scored.averages), scored.averages.tobytes()
        return row

    def _unread(self, shard: Shard, position: int, unreadable: Mapping[int, str]) -> Row:
        return {"place": shard.images[position].place, "reason": unreadable[position]}

    def __getstate__(self) -> dict[str, Any]:
        """Travel light: a data set may have millions of photographs, and every worker gets all of their boxes."""
        images = PackedBoxes(self.dataset.images)
        comparison = copy.copy(self.comparison)
        comparison.images = images
        return {
            **self.__dict__,
            "dataset": replace(self.dataset, images=images, skipped=()),
            "comparison": comparison,
        }

    @cached_property
    def _request(self) -> dict[str, Any]:
        """What rows depend on besides photographs and weights: the options, and every box of the data set."""
        boxes = hashlib.sha256()
        for image in self.dataset.images:
            boxes.update(json.dumps([image.image, image.height, image.width, list(image.labels)]).encode())
            boxes.update(np.ascontiguousarray(image.boxes).tobytes())
        options = self.options
        return {
            "version": installed_version("convfe"),
            "source": self.dataset.source.label,
            "boxes": boxes.hexdigest(),
            "size": options.size.name,
            "tap": options.tap,
            "bfloat16": computes_in_bfloat16(options.precision),
            "probe": options.probe,
            "reduction": options.reduction,
            "seed": options.seed,
        }


@dataclass(frozen=True)
class Pass:
    """One set of weights that photographs are scored under.

    Attributes
    ----------
    spec : whose weights; of a control the backbone's own spec
    seed : of an untrained control, None for the backbone itself
    path : where the cells of a control lie, those of its backbone; None for where they lie by themselves
    stamp : tells weights of the same name apart
    """

    spec: Spec
    seed: int | None = None
    path: SpatialPath | None = None
    stamp: str = ""

    @property
    def name(self) -> str:
        """What shards name it by."""
        if self.path is None:
            return self.spec.text
        return f"{control_of(self.spec).text}@{self.seed} {','.join(f'{one:g}' for one in self.path.shift)}"

    @property
    def weights(self) -> str:
        """Tells passes of the same name apart."""
        return self.stamp if self.path is None else f"{self.path.shift} {self.stamp}"

    def load(self, options: RankOptions) -> ScoringBackbone:
        """Open the network and freeze it, errors as in `convfe_core.backbones.backbone.open_network`."""
        give_back()
        require_room(self.spec)
        if self.seed is None:
            network = open_network(self.spec, options.tap)
        else:
            network = open_network(control_of(self.spec), options.tap, seed=self.seed)
        backbone = freeze_for_scoring(network, options.precision, "spend")
        return backbone if self.path is None else replace(backbone, path=self.path)


@dataclass(frozen=True, eq=False)
class RankJob:
    """The passes of a ranking as an engine maps them over shards, see `convfe_core.jobs.shards.Job`.

    Attributes
    ----------
    passes : by name
    bfloat16 : whether the machine that asks computes in it; all must
    """

    scorer: Scorer
    passes: Mapping[str, Pass]
    bfloat16: bool

    @property
    def schema(self) -> pa.Schema:
        """Of the rows."""
        return SCHEMA

    def load(self, backbone: str) -> ScoringBackbone:
        """Load the weights of a pass."""
        options = self.scorer.options
        require_same_arithmetic(options.precision, self.bfloat16)
        return self.passes[backbone].load(options)

    def rows(self, loaded: ScoringBackbone, shard: Shard, first: int) -> Iterator[tuple[int, list[Row]]]:
        """Score a shard."""
        return self.scorer.rows(loaded, shard, first, control=self.passes[shard.backbone].seed is not None)


def work_folder(options: RankOptions, dataset: Dataset, specs: Sequence[Spec], cache: Path | None = None) -> Path:
    """Where a run keeps its parts, the same for the same call; folders that nobody went back to for a month go.

    Where nothing can be written there it is a folder among the system's temporary ones, another one for each call.

    Parameters
    ----------
    cache : the folder for such folders; None for the one that the system has for caches
    """
    root = (cache or Path(user_cache_dir("convfe"))) / "rank"
    for old in root.glob("*") if root.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):  # another run may just have removed its own
            if time.time() - old.stat().st_mtime > MONTH_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
    facts = [dataset.source.label, len(dataset.images), astuple(options), [spec.text for spec in specs]]
    folder = root / hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # as for a user without a home, or in a container that must not write
        return Path(tempfile.mkdtemp(prefix="convfe-rank-"))
    return folder


def _numbers(found: Diagnostics) -> list[float]:
    return [*(float(getattr(found, name)) for name in NUMBERS), float(found.flat), float(found.finite)]
