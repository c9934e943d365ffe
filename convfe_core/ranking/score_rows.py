"""Shards of a ranking: what each photograph of a data set scored under one set of weights becomes a row.

A backbone is run under its own weights and under those of untrained controls. First its cell probe learns from some of
the photographs, which is a shard of its own, then all are scored. Rows depend on their shard, the data set and the
options alone (see `convfe_core.jobs.shards`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import pyarrow as pa

from convfe_core.backbones.backbone import Traced
from convfe_core.backbones.measured_cost import Cost, PeakMemory, time_batches
from convfe_core.backbones.network import Network
from convfe_core.backbones.precision import explain_kept, require_same_arithmetic
from convfe_core.base.arrays import BoxArray, FloatArray
from convfe_core.base.errors import ConvfeError
from convfe_core.catalog.memory_need import require_room, require_room_alone, worker_mb
from convfe_core.catalog.specs import Spec, from_anywhere
from convfe_core.datasets.boxed_photos import boxes_digest, open_boxed
from convfe_core.datasets.boxes import Dataset
from convfe_core.datasets.packed_boxes import PackedBoxes
from convfe_core.jobs.shards import KeptPhotos, Row, Shard, ShardImage, cut_shards, remark, rows_of_shard
from convfe_core.jobs.weight_pass import Pass, my_turn, shown
from convfe_core.machine.versions import installed_version
from convfe_core.maps.extraction import cells_on_photo, require_cells
from convfe_core.maps.feature_maps import PROBE, REDUCTIONS
from convfe_core.maps.input_size import frame_for
from convfe_core.maps.map_diagnostics import diagnose_map
from convfe_core.photos.letterbox import Frame
from convfe_core.photos.photo import DEFAULT_LIMITS, Photo
from convfe_core.ranking.first_pass import FirstPass
from convfe_core.ranking.results import RankOptions
from convfe_core.scoring.box_probe import NO_PROBE, ProbePlan, plan_probe
from convfe_core.scoring.cell_probe import CellProbe, FoldMoments, deal_folds, lack_of_room, no_probe
from convfe_core.scoring.kept_maps import KEPT, packed_maps
from convfe_core.scoring.scoring_graph import Scored, ScoringBackbone, freeze_for_scoring, score_windows
from convfe_core.scoring.separation import Comparison, box_cells, inside_mask

DIAGNOSED = 200
"""About how many photographs' maps are put into numbers, and kept; means of more would not differ."""
SCORED = (*REDUCTIONS, PROBE)
"""The maps that are scored: max, mean, and what the cell probe predicts."""

_FLOATS = pa.list_(pa.float64())
SCHEMA = pa.schema(
    [
        ("reason", pa.string()),
        ("weights", pa.string()),
        ("tap", pa.string()),
        ("stride", pa.int64()),
        ("precision", pa.string()),
        ("separation", _FLOATS),
        ("auroc", _FLOATS),
        ("by_size", _FLOATS),
        ("diagnostics", pa.list_(_FLOATS)),
        ("sides", pa.binary()),
        ("boxes", pa.int64()),
        ("averages", pa.binary()),
        ("fold", pa.int64()),
        ("directions", pa.binary()),
        ("untaught", pa.string()),
        ("maps", KEPT),
    ]
)
"""One row a photograph, ``reason`` alone when it cannot be read.

``weights``, ``tap``, ``stride`` and ``precision`` of the backbone; ``separation`` and ``auroc`` by `SCORED`;
``by_size`` by `SIZE_GROUPS`; ``diagnostics`` (if it is one of those diagnosed) by reduction: `NUMBERS`, then flat and
finite as 0 or 1; ``sides`` float32, the boxes' sides in cells; ``averages`` float32 (``boxes``, channels), the probe's
features; ``maps`` (if it is one of those diagnosed) its maps, to be drawn in a report. Controls have no ``by_size``,
``sides``, ``boxes``, ``averages`` and ``maps``.

Where a cell probe learns there are ``fold`` alone, unless the photograph's features are no numbers, and in the last row
``directions``, float32 (channels, `FOLDS`), or in ``untaught`` why it learned nothing.
"""
LEARNING = "cell probe"
"""The task of shards in which one learns."""


@dataclass(frozen=True, eq=False)
class RankJob:
    """What scoring photographs needs to know besides a shard, see `convfe_core.jobs.shards.Job`.

    Attributes
    ----------
    passes : by name, as shards name them
    bfloat16 : whether the machine that asks computes in it; all must
    make_room : called before a backbone is loaded; raises MemoryLimitError where it does not fit
    alone : nobody else computes in this process, so that a control need not wait for its turn to be loaded
    costs : filled with what the backbones cost that this process loads, if the options ask for it
    learned : by pass, what its cell probe learned; filled with what is learned in this process
    first_passes : by pass, what a small data set gave while its probe learned; of one pass at most, until it is scored
    photos : of a small data set, which are decoded once for all passes
    failed : backbones that cannot be loaded here, and why; their controls need not be tried
    traced : of the backbone that was loaded last, for its controls
    """

    dataset: Dataset
    options: RankOptions
    passes: Mapping[str, Pass]
    bfloat16: bool
    make_room: Callable[[Spec], None] = require_room
    alone: bool = False
    costs: dict[str, Cost] = field(default_factory=dict)
    learned: dict[str, CellProbe] = field(default_factory=dict)
    first_passes: dict[str, FirstPass] = field(default_factory=dict)
    photos: KeptPhotos = field(default_factory=KeptPhotos)
    failed: dict[Spec, ConvfeError] = field(default_factory=dict)
    traced: dict[Spec, Traced] = field(default_factory=dict)
    schema = SCHEMA

    @cached_property
    def places(self) -> list[int]:
        """Of the photographs that have boxes."""
        return [place for place, image in enumerate(self.dataset.images) if len(image.boxes)]

    @cached_property
    def comparison(self) -> Comparison:
        """Each photograph's boxes against those of others."""
        return Comparison(self.dataset.images, seed=self.options.seed)

    @cached_property
    def probe(self) -> ProbePlan:
        """The boxes whose features the probe wants."""
        return plan_probe(self.dataset.images, self.places, self.options.seed) if self.options.probe else NO_PROBE

    @cached_property
    def folds(self) -> dict[int, int]:
        """By place, the fold of every photograph that the cell probes learn from."""
        return deal_folds(self.places, self.options.seed) if self.options.probe else {}

    @cached_property
    def diagnosed(self) -> frozenset[int]:
        """Places of the photographs whose maps are put into numbers, and kept."""
        return frozenset(self.places[:: max(1, len(self.places) // DIAGNOSED)])

    @property
    def megabytes(self) -> float:
        """Memory of a process of its own."""
        return worker_mb(one.spec for one in self.passes.values())

    def called(self, backbone: str) -> tuple[str, str]:
        """The backbone, and which of its controls is run, if any."""
        one = self.passes[backbone]
        controls = [other for other in self.passes.values() if other.spec == one.spec and other.seed is not None]
        doing = f"untrained control {controls.index(one) + 1} of {len(controls)}" if one in controls else ""
        return shown(one.spec), doing

    def shards(self, one: Pass) -> list[Shard]:
        """Cut a pass into shards, first the one in which its cell probe learns, if any."""
        request = {**self._request, "pass": one.stamp}
        teachers = [image for image in self._images if image.place in self.folds]
        learning = cut_shards(teachers, [one.name], request, SCHEMA, len(teachers), LEARNING)
        taught = [shard.digest for shard in learning]
        return [*learning, *cut_shards(self._images, [one.name], {**request, "taught": taught}, SCHEMA)]

    def load(self, backbone: str, tell: Callable[[str], None]) -> ScoringBackbone:
        """Load the weights of a pass, errors as in `convfe_core.backbones.backbone.open_network`."""
        one, options = self.passes[backbone], self.options
        require_same_arithmetic(options.precision, self.bfloat16)
        if one.spec in self.failed:
            raise self.failed[one.spec]
        if one.seed is None:
            self.traced.clear()
        traced = self.traced.get(one.spec)
        untrained = None if traced is None else traced.untrained
        make = partial(freeze_for_scoring, precision=options.precision, fold="spend", traced=traced)
        try:
            if one.seed is None and options.cost:
                loaded = self._load_with_cost(one, make, tell)
            else:
                loaded = one.load(make, options.tap, self.make_room, tell, alone=self.alone, untrained=untrained)
        except ConvfeError as error:
            if one.seed is None:
                self.failed[one.spec] = error
            raise
        if loaded.traced is not None and loaded.traced.untrained is not None:
            self.traced[one.spec] = loaded.traced
        return loaded

    def cost(self, one: Pass, tell: Callable[[str], None]) -> Cost | None:
        """What a backbone costs here, measured unless it is known; None unless the options ask for it."""
        if self.options.cost and one.name not in self.costs:
            self.load(one.name, tell)
        return self.costs.get(one.name)

    def remark(self, loaded: ScoringBackbone) -> str | None:
        """What to know about its maps, and why it computes in float32 though bfloat16 was asked for."""
        return remark(loaded.notes, explain_kept(self.options.precision, loaded.precision, loaded.takes_bfloat16))

    def rows(self, loaded: ScoringBackbone, shard: Shard, first: int) -> Iterator[tuple[int, list[Row]]]:
        """Learn from or score the photographs of a shard, window by window; see `convfe_core.jobs.shards.ComputeRows`.

        What is learned cannot be taken up in the middle: photographs before `first` are run again, without a row. What
        the probe of a small data set learned from is scored without being run again.
        """
        learns = shard.task == LEARNING
        seen = None if learns else self.first_passes.pop(shard.backbone, None)
        if seen is not None and first == 0 and seen.covers(shard.images):
            yield len(shard.images), [self._row_of_first_pass(loaded, shard, image, seen) for image in shard.images]
            return
        process = partial(self._learn if learns else self._score, loaded, shard)

        def decode(image: ShardImage, data: bytes) -> Photo:
            photo = self._photo(image, data)
            require_cells(loaded, photo, self.options.size)
            return photo

        readers = self.dataset.source.readers
        for after, rows in rows_of_shard(shard, 0 if learns else first, self._read, decode, process, readers):
            if learns:
                self.first_passes[shard.backbone].note_unreadable(shard.images[after - len(rows) : after], rows)
            if after > first:
                yield after, rows

    def _learn(
        self, loaded: ScoringBackbone, shard: Shard, photos: Iterator[tuple[int, Photo]]
    ) -> Generator[list[tuple[int, Row]], None, None]:
        lack = lack_of_room(loaded.channels)
        sums = FoldMoments(loaded.channels, self.folds) if lack is None else None
        seen = FirstPass(len(self.places))
        self.first_passes.clear()
        self.first_passes[shard.backbone] = seen

        def take(k: int, scored: Scored) -> Row:
            place, maps = shard.images[k].place, scored.maps
            seen.keep(place, scored)
            if sums is None or not np.isfinite(maps.mean).all():
                return {}
            boxes = self.dataset.images[place].boxes
            sums.add(place, scored.components, inside_mask(boxes, maps.centres_y, maps.centres_x))
            return {"fold": self.folds[place]}

        whole = loaded.no_directions if sums is None else loaded.all_directions
        window: list[tuple[int, Row]] = []
        boxes = self._probed_boxes(shard) if seen.room else {}
        with closing(score_windows(loaded, photos, self.options.size, boxes, whole, take)) as windows:
            for following in windows:
                if window:
                    yield window
                window = following
        learned = sums.learn() if sums is not None else no_probe(loaded.channels, str(lack))
        self.learned[shard.backbone] = learned
        if window:
            window[-1][1].update(directions=learned.directions.tobytes(), untaught=learned.reason)
            yield window

    def _score(
        self, loaded: ScoringBackbone, shard: Shard, photos: Iterator[tuple[int, Photo]]
    ) -> Generator[list[tuple[int, Row]], None, None]:
        directions = loaded.no_directions if self._taught(shard) is None else loaded.all_directions

        def keep(k: int, scored: Scored) -> Row:
            return self._scored_row(loaded, shard, shard.images[k].place, scored)

        yield from score_windows(loaded, photos, self.options.size, self._probed_boxes(shard), directions, keep)

    def _row_of_first_pass(self, loaded: ScoringBackbone, shard: Shard, image: ShardImage, seen: FirstPass) -> Row:
        reason = seen.unreadable.get(image.place)
        if reason is not None:
            return {"reason": reason}
        return self._scored_row(loaded, shard, image.place, seen.scored[image.place])

    def _scored_row(self, loaded: ScoringBackbone, shard: Shard, place: int, scored: Scored) -> Row:
        """The row of a photograph, whose components are its features where a cell probe learned."""
        taught = self._taught(shard)
        probe = None if taught is None else taught.held_out(place, scored.components @ taught.directions)
        return self._row(loaded, place, scored, probe, self._is_control(shard))

    def _taught(self, shard: Shard) -> CellProbe | None:
        """The cell probe of a shard's pass if it learned anything."""
        learned = self.learned.get(shard.backbone)
        return None if learned is None or learned.reason else learned

    def _probed_boxes(self, shard: Shard) -> dict[int, BoxArray]:
        """The boxes whose features the box probe wants, by the photograph's place in a shard; none of a control."""
        boxes = {} if self._is_control(shard) else self.probe.boxes
        return {k: boxes[image.place] for k, image in enumerate(shard.images) if image.place in boxes}

    def _is_control(self, shard: Shard) -> bool:
        return self.passes[shard.backbone].seed is not None

    def _load_with_cost(
        self, one: Pass, make: Callable[[Network], ScoringBackbone], tell: Callable[[str], None]
    ) -> ScoringBackbone:
        memory = PeakMemory()
        with ExitStack() as watched:

            def make_room(spec: Spec) -> None:
                self.make_room(spec)
                watched.enter_context(memory)

            def make_and_count(network: Network) -> tuple[ScoringBackbone, Frame, int, int]:
                made = make(network)
                frame = frame_for(*self.dataset.usual_size, network, self.options.size)
                layers = None if made.traced is None else made.traced.layers
                flops = network.count_flops(frame.input_height, frame.input_width, layers)
                return made, frame, network.count_params(), flops

            backbone, frame, params, flops = one.load(make_and_count, self.options.tap, make_room, tell)
            height, width = frame.input_height, frame.input_width
            turn = partial(my_turn, tell, "measuring its cost")
            latency = time_batches(backbone.run_blank, height, width, turn=turn)
        grid, added = cells_on_photo(frame, backbone), memory.added_mb
        self.costs[one.name] = Cost(params, flops, height, width, grid.rows * grid.columns, latency, added)
        return backbone

    def decode_early(self) -> None:
        """Decode photographs of this machine until there are too many to be kept."""
        if self.dataset.source.readers == 1:
            self.photos.decode_early(self._images, lambda image: self._photo(image, self._read(image)))

    def _read(self, image: ShardImage) -> bytes:
        return self.dataset.source.read(image.path, DEFAULT_LIMITS.max_bytes)

    def _photo(self, image: ShardImage, data: bytes) -> Photo:
        return self.photos.get(image.place, partial(open_boxed, self.dataset.images[image.place], image.path, data))

    def _row(
        self, backbone: ScoringBackbone, place: int, scored: Scored, probe: FloatArray | None, control: bool
    ) -> Row:
        maps = scored.maps
        centres = maps.centres_y, maps.centres_x
        values = np.stack([maps.max, maps.mean, np.full_like(maps.mean, np.nan) if probe is None else probe])
        scores = self.comparison.score(place, values, *centres)
        row: Row = {
            "weights": backbone.weights,
            "tap": maps.tap,
            "stride": backbone.tap.stride,
            "precision": backbone.precision,
            "separation": scores.separation.tolist(),
            "auroc": scores.auroc.tolist(),
        }
        if place in self.diagnosed:
            row["diagnostics"] = [diagnose_map(one, scored.dead).numbers() for one in (maps.max, maps.mean)]
        if not control:
            ranking_map = values[REDUCTIONS.index(self.options.reduction)][None]
            row["by_size"] = [float(g[0]) for g in self.comparison.score_sizes(place, ranking_map, *centres).values()]
            row["sides"] = box_cells(self.dataset.images[place].boxes, *centres).astype(np.float32).tobytes()
            row["boxes"], row["averages"] = len(scored.averages), scored.averages.tobytes()
            row["maps"] = packed_maps(maps) if place in self.diagnosed else None
        return row

    def __getstate__(self) -> dict[str, Any]:
        """Pickle little: a data set may have millions of photographs, and every worker gets all of their boxes.

        Costs are left out: they are those of the machine that asks.
        """
        images = PackedBoxes(self.dataset.images)
        comparison = copy.copy(self.comparison)
        comparison.images = images
        return {
            "dataset": replace(self.dataset, images=images, skipped=()),
            "options": replace(self.options, cost=False),
            "passes": {name: replace(one, spec=from_anywhere(one.spec)) for name, one in self.passes.items()},
            "bfloat16": self.bfloat16,
            "make_room": require_room_alone,
            "alone": True,
            "costs": {},
            "photos": self.photos,
            "failed": {},
            "traced": {},
            "comparison": comparison,
            "learned": self.learned,
            "first_passes": {},
            "folds": self.folds,
            "probe": ProbePlan(self.probe.boxes, {}),
            "diagnosed": self.diagnosed,
        }

    @cached_property
    def _images(self) -> tuple[ShardImage, ...]:
        """The photographs that have boxes, looked at once: files may change while a run lasts."""
        images, source = self.dataset.images, self.dataset.source
        return tuple(ShardImage(images[k].image, k, stamp=source.stamp(images[k].image)) for k in self.places)

    @cached_property
    def _request(self) -> dict[str, Any]:
        """What rows depend on besides photographs and weights: the options, and every box of the data set."""
        options = self.options
        return {
            "version": installed_version("convfe"),
            "source": self.dataset.source.label,
            "boxes": boxes_digest(self.dataset.images),
            "size": options.size.name,
            "tap": options.tap,
            "bfloat16": self.bfloat16,
            "probe": options.probe,
            "reduction": options.reduction,
            "seed": options.seed,
        }
