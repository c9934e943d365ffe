"""A ranking run: every backbone over every photograph of a data set, its control beside it, its price behind it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from convfe_core.backbones.backbone import open_network, weight_path
from convfe_core.backbones.measured_cost import Cost, PeakMemory, count_flops, count_params, time_batches, warm_up
from convfe_core.backbones.precision import Precision, computes_in_bfloat16, explain_kept
from convfe_core.base.arrays import Values
from convfe_core.base.errors import AnnotationError, ConvfeError, EngineError, Skipped, SpecError
from convfe_core.base.folders import Folder
from convfe_core.base.pace import Pace
from convfe_core.catalog.memory_need import require_room, worker_mb
from convfe_core.catalog.specs import Spec, find_architecture, from_anywhere, require_different_labels
from convfe_core.datasets.boxes import Dataset
from convfe_core.graph.taps import Tap
from convfe_core.jobs.ray_engine import RayEngine, RayProgress
from convfe_core.jobs.shards import Parts, Row, Shard, ShardImage, shard_rows
from convfe_core.maps.extraction import cells_on_photo
from convfe_core.maps.input_size import frame_for
from convfe_core.model_files.saved_model_folder import model_stamp
from convfe_core.photos.letterbox import Frame
from convfe_core.ranking.passes import PassScores
from convfe_core.ranking.progress import RankPace, Stopped
from convfe_core.ranking.results import CONTROL_SEEDS, Progress, RankedResult, RankOptions, RankResult
from convfe_core.ranking.score_rows import SCHEMA, Pass, RankJob, Scorer
from convfe_core.ranking.verdict import BackboneScores, rank_backbones
from convfe_core.scoring.box_probe import NO_PROBE, plan_probe, probe_boxes
from convfe_core.scoring.box_sizes import box_sizes
from convfe_core.scoring.scoring_graph import ScoringBackbone, freeze_for_scoring
from convfe_core.scoring.separation import SIZE_GROUPS, Comparison

T = TypeVar("T")

DIAGNOSED = 200
"""Most images whose maps are put into numbers; means of more would not differ."""


def _shown(spec: Spec) -> str:
    """What a spec is called among others: paths of a user's own models are left out."""
    return spec.label if spec.own else spec.text


class RankRun:
    """One run; `results` holds what is finished at any time.

    Parameters
    ----------
    dataset : photographs with boxes
    specs : the backbones
    options : how to rank
    on_progress : told what is happening
    should_stop : asked often; once true, the run ends with the backbones that are finished
    clock : seconds
    work : folder for finished parts of the run, from which a run that was killed goes on; None keeps nothing
    engine : computes the parts elsewhere; needs `work`
    make_room : called before a backbone is loaded; raises MemoryLimitError where it does not fit
    explain : says in a sentence why a backbone could not be ranked
    """

    def __init__(
        self,
        dataset: Dataset,
        specs: Sequence[Spec],
        options: RankOptions,
        on_progress: Callable[[Progress], None] = lambda _progress: None,
        should_stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        work: Folder | str | Path | None = None,
        engine: RayEngine | None = None,
        make_room: Callable[[Spec], None] = require_room,
        explain: Callable[[ConvfeError], str] = str,
    ) -> None:
        self.dataset = dataset
        self.specs = tuple(dict.fromkeys(specs))
        self.options = options
        self.results: list[RankedResult] = []
        self.failed: list[Skipped] = []
        self._unreadable: dict[str, str] = {}
        passes = 1 + len(CONTROL_SEEDS) * options.control
        self._pace = RankPace(len(self.specs), passes, on_progress, should_stop, clock)
        self._places = [k for k, image in enumerate(dataset.images) if len(image.boxes)]
        self._probe = plan_probe(dataset.images, self._places, options.seed) if options.probe else NO_PROBE
        self._scorer = Scorer(
            dataset=dataset,
            options=options,
            comparison=Comparison(dataset.images, seed=options.seed),
            probe_boxes=self._probe.boxes,
            diagnosed=frozenset(self._places[:: max(1, len(self._places) // DIAGNOSED)]),
        )
        self._parts = None if work is None else Parts(work, SCHEMA)
        self._engine = engine
        self._make_room = make_room
        self._explain = explain
        self._opened: dict[Spec, _Opened] = {}
        self._missing: dict[str, Skipped] = {}  # by shard
        self._images: tuple[ShardImage, ...] = ()
        self._cut: dict[str, list[Shard]] = {}  # by the name of a pass
        self._controls: dict[tuple[str, str], PassScores] = {}

    def run(self) -> RankResult:
        """Run every backbone, or as many as are finished when the user stops.

        Raises
        ------
        SpecError : a layer that does not exist, or two backbones that go by one name
        AnnotationError : no photograph of the data set can be read
        ConvfeError : what the only or every backbone failed with
        """
        require_different_labels(self.specs)
        errors: list[ConvfeError] = []
        if self.options.cost:
            warm_up()  # or the first backbone would be charged for TensorFlow itself
        try:
            if self._engine is not None:
                self._opened = dict(self._each(self._open, errors))
                self._run_elsewhere(self._engine)
            for _, result in self._each(self._run_backbone, errors):
                self.results.append(result)
        except Stopped:
            pass
        if errors and not self.results:
            raise errors[0]
        return self.finish()

    def finish(self) -> RankResult:
        """Rank the backbones that are finished.

        Raises
        ------
        ConvfeError : none is
        """
        if not self.results:
            raise ConvfeError("Stopped before the first backbone was finished: there is nothing to rank.")
        unreadable = tuple(Skipped(name, reason) for name, reason in self._unreadable.items())
        return RankResult(
            dataset=self.dataset,
            options=self.options,
            ranking=rank_backbones([r.scores for r in self.results], self.options.reduction, self.options.seed),
            results=tuple(self.results),
            failed=tuple(self.failed),
            skipped=(*self.dataset.skipped, *unreadable),
            missing=tuple(self._missing.values()),
        )

    def _each(self, work: Callable[[Spec], T], errors: list[ConvfeError]) -> Iterator[tuple[Spec, T]]:
        """Do something with every backbone that has not failed yet; what fails now is noted."""
        failed = {one.file for one in self.failed}
        for number, spec in enumerate(self.specs):
            self._pace.begin(number)
            if _shown(spec) in failed:
                continue
            try:
                found = work(spec)
            except SpecError:
                raise
            except ConvfeError as error:
                errors.append(error)
                self.failed.append(Skipped(_shown(spec), self._explain(error)))
            else:
                yield spec, found

    def _open(self, spec: Spec) -> _Opened:
        """Open a backbone and measure its cost."""
        cost: Cost | None = None

        def tell(phrase: str, _share: float | None) -> None:
            self._pace.tell(_shown(spec), phrase)

        weight_path(spec, tell)  # a slow download must keep nobody else from computing
        with ExitStack() as watched:
            with self._pace.my_turn(_shown(spec), "loading"):
                self._make_room(spec)
                memory = watched.enter_context(PeakMemory())
                network = open_network(spec, self.options.tap, on_progress=tell)
                backbone = freeze_for_scoring(network, self.options.precision)
            for note in network.notes:
                self._pace.tell(_shown(spec), note)
            if kept := explain_kept(self.options.precision, backbone.precision):
                self._pace.tell(_shown(spec), kept)
            if self.options.cost:
                frame = self._usual_frame(backbone)
                height, width = frame.input_height, frame.input_width
                params, flops = count_params(network), count_flops(network, height, width)
                del network
                turn = partial(self._pace.my_turn, _shown(spec), "measuring its cost")
                latency = time_batches(backbone.run_blank, height, width, turn=turn)
        if self.options.cost:
            grid = cells_on_photo(frame, backbone.grid(height, width))
            cost = Cost(params, flops, height, width, grid.rows * grid.columns, latency, memory.added_mb)
        stamp = "" if spec.path is None else model_stamp(spec.path)
        seeds = CONTROL_SEEDS if self.options.control else ()
        return _Opened(
            weights=backbone.weights,
            tap=backbone.tap,
            precision=backbone.precision,
            cost=cost,
            own=Pass(spec, stamp=stamp),
            controls=tuple(Pass(spec, seed, backbone.path, stamp) for seed in seeds),
            backbone=None if self._engine else backbone,
        )

    def _run_elsewhere(self, engine: RayEngine) -> None:
        """Let an engine finish what is missing, and note what it could not."""
        assert self._parts is not None
        passes = {one.name: one for opened in self._opened.values() for one in (opened.own, *opened.controls)}
        shards = [shard for one in passes.values() for shard in self._shards(one)]
        finished = self._parts.finished(shards)
        missing = [shard for shard in shards if shard.name not in finished]

        def tell(progress: RayProgress) -> None:
            share = progress.shards / progress.of
            self._pace.report(Progress("ray", progress.words, share, progress.seconds_left, step=share))

        abroad = {name: replace(one, spec=from_anywhere(one.spec)) for name, one in passes.items()}
        job = RankJob(self._scorer, abroad, computes_in_bfloat16(self.options.precision))
        reasons = engine.finish(job, missing, self._parts, worker_mb(self._opened), tell)
        for shard in missing:
            if shard.name in reasons:
                self._missing[shard.name] = Skipped(shard.words, reasons[shard.name])

    def _run_backbone(self, spec: Spec) -> RankedResult:
        opened = self._opened.pop(spec, None) or self._open(spec)
        cost, controls, precision = opened.cost, opened.controls, opened.precision
        own, features, sides = self._run_photos(opened)
        if not own.seen and self._missing:
            raise EngineError(f"none of its images could be run: {next(iter(self._missing.values())).reason}")
        if not own.seen:
            raise AnnotationError(f"{self.dataset.source.label}: expected pictures that can be read, got none.")
        probe = None
        if self.options.probe:
            self._pace.tell(_shown(spec), "box probe")
            probe = probe_boxes(*features, seed=self.options.seed)
        del opened
        control = self._run_controls(controls) if controls else None
        imagenet = spec.weights == "imagenet" and spec.architecture is not None
        return RankedResult(
            spec=spec,
            label=_shown(spec),
            weights=own.weights,
            tap=own.tap,
            stride=own.stride,
            precision=precision,
            scores=BackboneScores(
                label=_shown(spec),
                maps=own.map_scores(control),
                by_size={name: own.by_size[:, k] for k, name in enumerate(SIZE_GROUPS)},
                trained=spec.weights not in ("untrained", "control"),
            ),
            sizes=box_sizes(sides, own.stride),
            diagnostics=own.diagnostics(),
            control_diagnostics={} if control is None else control.diagnostics(),
            probe=probe,
            cost=cost,
            top1=find_architecture(spec.name).top1 if imagenet else None,
        )

    def _run_photos(
        self, opened: _Opened
    ) -> tuple[PassScores, tuple[NDArray[np.float32], NDArray[np.str_], NDArray[np.int64]], Values]:
        """Scores of every photograph, the probe's features, labels and images, and the sides of all boxes in cells."""
        own = PassScores(len(self.dataset.images))
        features, places, sides = [], [], []
        labels: list[str] = []
        for row in self._pass(opened.own, opened.backbone):
            place, boxes = row["place"], row["boxes"]
            own.add_row(row)
            own.by_size[place] = row["by_size"]
            sides.append(np.frombuffer(row["sides"], np.float32))
            features.append(np.frombuffer(row["averages"], np.float32).reshape(boxes, opened.tap.channels))
            labels += self._probe.labels.get(place, ())
            places += [place] * boxes
        own.weights, own.stride = opened.weights, opened.tap.stride
        self._pace.next_pass()
        if not own.seen:
            return own, (np.empty((0, 1), np.float32), np.array([], np.str_), np.array([], np.int64)), np.array([])
        found = np.concatenate(features), np.array(labels, np.str_), np.array(places, np.int64)
        return own, found, np.concatenate(sides).astype(np.float64)

    def _run_controls(self, controls: Sequence[Pass]) -> PassScores | None:
        """Scores of the same architecture with untrained weights, averaged over `CONTROL_SEEDS`.

        They are scored on the very cells of the backbone, so that the two differ in nothing but their weights. None
        when an engine could run one of them on no image at all.
        """
        key = controls[0].name, controls[0].weights
        if key not in self._controls:
            total = PassScores(len(self.dataset.images))
            for number, control in enumerate(controls, 1):
                doing = f"untrained control {number} of {len(controls)}"
                self._pace.tell(_shown(control.spec), doing)
                one = PassScores(len(self.dataset.images))
                for row in self._pass(control, doing=doing):
                    one.add_row(row)
                total.add(one, 1 / len(controls))
                total.complete = total.complete and one.seen > 0
                self._pace.next_pass()
            self._controls[key] = total
        return self._controls[key] if self._controls[key].complete else None

    def _pass(self, one: Pass, backbone: ScoringBackbone | None = None, doing: str = "") -> Iterator[Row]:
        """Yield the rows of all photographs that could be read; what is finished is not computed again.

        Parameters
        ----------
        backbone : the pass's, where it is open already
        doing : what to tell besides the image
        """
        loaded = [backbone] if backbone else []
        images = len(self._places)
        pace = Pace(images, self._pace.clock)

        def skip(found: int) -> None:
            pace.skip(found)
            self._pace.skip(found / images)

        def compute(shard: Shard, first: int) -> Iterator[tuple[int, list[Row]]]:
            skip(first)
            if not loaded:
                with self._pace.my_turn(_shown(one.spec), doing or "loading"):
                    self._make_room(one.spec)
                    loaded.append(one.load(self.options))
                pace.restart()
            control = one.seed is not None
            scored = self._scorer.rows(loaded[0], shard, first, control=control, check=self._pace.stop_if_asked)
            for after, rows in scored:
                yield after, rows
                pace.count(len(rows))
                words = f"image {pace.done} of {images}"
                self._pace.tell(_shown(one.spec), f"{doing}, {words}" if doing else words, pace)

        for shard in self._shards(one):
            after = pace.done + len(shard.images)
            for row in () if shard.name in self._missing else shard_rows(shard, compute, self._parts):
                if row.get("reason"):
                    self._unreadable[self.dataset.images[row["place"]].image] = row["reason"]
                else:
                    yield row
            skip(after - pace.done)

    def _shards(self, one: Pass) -> list[Shard]:
        """A pass cut into shards, once: files may change while it runs."""
        if one.name not in self._cut:
            self._images = self._images or self._scorer.images(self._places)
            self._cut[one.name] = self._scorer.shards(one.name, one.weights, self._images)
        return self._cut[one.name]

    def _usual_frame(self, backbone: ScoringBackbone) -> Frame:
        """Where photographs of the most frequent size lie on the input: the size that costs are stated for."""
        sizes = Counter((self.dataset.images[k].height, self.dataset.images[k].width) for k in self._places)
        (height, width), _ = sizes.most_common(1)[0]
        return frame_for(height, width, backbone, self.options.size)


@dataclass(frozen=True, eq=False)
class _Opened:
    """What is known of a backbone before it runs; its passes; and itself, where it is to run here."""

    weights: str
    tap: Tap
    precision: Precision
    cost: Cost | None
    own: Pass
    controls: tuple[Pass, ...]
    backbone: ScoringBackbone | None
