"""A ranking run: every backbone over every photograph of a data set, its control beside it, its price behind it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from convfe_core.backbones import open_network
from convfe_core.box_sizes import box_sizes
from convfe_core.boxes import Dataset
from convfe_core.catalog import Spec, control_of, find_architecture
from convfe_core.cost import Cost, PeakMemory, count_flops, count_params, time_batches, warm_up
from convfe_core.diagnostics import Diagnostics, diagnose_map
from convfe_core.errors import AnnotationError, ConvfeError, ImageError, SpecError
from convfe_core.extraction import cells_on_photo, frame_for
from convfe_core.filesets import Skipped
from convfe_core.footprint import require_room
from convfe_core.geometry import SpatialPath
from convfe_core.images import DEFAULT_LIMITS, Photo, read_photo
from convfe_core.maps import REDUCTIONS, Frame
from convfe_core.probe import NO_PROBE, plan_probe, probe_boxes
from convfe_core.rank_results import CONTROL_SEEDS, Progress, RankedResult, RankOptions, RankResult
from convfe_core.ranking import BackboneScores, MapScores, rank_backbones
from convfe_core.scoring import Scored, ScoringBackbone, freeze_for_scoring, score_photos
from convfe_core.separation import SIZE_GROUPS, Comparison, box_cells

Values = NDArray[np.float64]

DIAGNOSED = 200
"""Most images whose maps are put into numbers; means of more would not differ."""


def _shown(spec: Spec) -> str:
    """What a spec is called among others: paths of a user's own models are left out."""
    return spec.label if spec.own else spec.text


class _Stopped(Exception):  # noqa: N818 - a wish, not an error
    """The user wants no more."""


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
    """

    def __init__(
        self,
        dataset: Dataset,
        specs: Sequence[Spec],
        options: RankOptions,
        on_progress: Callable[[Progress], None] = lambda _progress: None,
        should_stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for spec in specs:
            if spec.architecture is not None:
                find_architecture(spec.name)
        self.dataset = dataset
        self.specs = tuple(dict.fromkeys(specs))
        self.options = options
        self.results: list[RankedResult] = []
        self.failed: list[Skipped] = []
        self._unreadable: dict[str, str] = {}
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._clock = clock
        self._start = clock()
        self._comparison = Comparison(dataset.images, seed=options.seed)
        self._places = [k for k, image in enumerate(dataset.images) if len(image.boxes)]
        self._diagnosed = set(self._places[:: max(1, len(self._places) // DIAGNOSED)])
        self._probe = plan_probe(dataset.images, self._places, options.seed) if options.probe else NO_PROBE
        self._controls: dict[tuple[Spec, tuple[float, float]], _Accumulator] = {}
        self._at = (0, 0)  # backbones begun, passes done of the one at work

    def run(self) -> RankResult:
        """Run every backbone, or as many as are finished when the user stops.

        Raises
        ------
        SpecError : a layer that does not exist
        AnnotationError : no photograph of the data set can be read
        ConvfeError : what the only or every backbone failed with
        """
        errors: list[ConvfeError] = []
        if self.options.cost:
            warm_up()  # or the first backbone would be charged for TensorFlow itself
        try:
            for number, spec in enumerate(self.specs):
                self._at = (number, 0)
                try:
                    self.results.append(self._run_backbone(spec))
                except SpecError:
                    raise
                except ConvfeError as error:
                    errors.append(error)
                    self.failed.append(Skipped(_shown(spec), str(error)))
        except _Stopped:
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
        )

    def _run_backbone(self, spec: Spec) -> RankedResult:
        self._tell(spec, "loading")
        cost: Cost | None = None
        require_room(spec)
        with PeakMemory() as memory:
            network = open_network(spec, self.options.tap, on_progress=lambda phrase, _share: self._tell(spec, phrase))
            backbone = freeze_for_scoring(network)
            if self.options.cost:
                self._tell(spec, "measuring its cost")
                frame = self._usual_frame(backbone)
                height, width = frame.input_height, frame.input_width
                params, flops = count_params(network), count_flops(network, height, width)
                del network
                latency = time_batches(backbone.run_blank, height, width)
        if self.options.cost:
            grid = cells_on_photo(frame, backbone.path.grid(height, width))
            cost = Cost(params, flops, height, width, grid.rows * grid.columns, latency, memory.added_mb)
        own, features, sides = self._run_photos(spec, backbone)
        path = backbone.path
        if not own.seen:
            raise AnnotationError(f"{self.dataset.source.label}: expected pictures that can be read, got none.")
        probe = None
        if self.options.probe:
            self._tell(spec, "box probe")
            probe = probe_boxes(*features, seed=self.options.seed)
        del backbone
        control = self._run_controls(spec, path) if self.options.control else None
        imagenet = spec.weights == "imagenet" and spec.architecture is not None
        return RankedResult(
            spec=spec,
            label=_shown(spec),
            weights=own.weights,
            tap=own.tap,
            stride=own.stride,
            scores=BackboneScores(
                label=_shown(spec),
                maps={
                    name: MapScores(
                        own.separation[:, k], own.auroc[:, k], None if control is None else control.separation[:, k]
                    )
                    for k, name in enumerate(REDUCTIONS)
                },
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
        self, spec: Spec, backbone: ScoringBackbone
    ) -> tuple[_Accumulator, tuple[NDArray[np.float32], NDArray[np.str_], NDArray[np.int64]], Values]:
        """Scores of every photograph, the probe's features, labels and images, and the sides of all boxes in cells."""
        own = _Accumulator(len(self.dataset.images))
        which = REDUCTIONS.index(self.options.reduction)
        features, places, sides = [], [], []
        labels: list[str] = []
        for number, (place, scored) in enumerate(
            score_photos(backbone, self._photos(), self.options.size, self._probe.boxes), 1
        ):
            maps = scored.maps
            self._score(own, place, scored)
            centres = maps.centres_y, maps.centres_x
            ranking_map = (maps.max, maps.mean)[which][None]
            own.by_size[place] = [g[0] for g in self._comparison.score_sizes(place, ranking_map, *centres).values()]
            sides.append(box_cells(self.dataset.images[place].boxes, *centres).astype(np.float32))
            features.append(scored.averages)
            labels += self._probe.labels.get(place, ())
            places += [place] * len(scored.averages)
            self._tell(spec, f"image {number} of {len(self._places)}", number / len(self._places))
        own.weights, own.stride = backbone.weights, backbone.tap.stride
        self._next_pass()
        if not own.seen:
            return own, (np.empty((0, 1), np.float32), np.array([], np.str_), np.array([], np.int64)), np.array([])
        found = np.concatenate(features), np.array(labels, np.str_), np.array(places, np.int64)
        return own, found, np.concatenate(sides).astype(np.float64)

    def _run_controls(self, spec: Spec, path: SpatialPath) -> _Accumulator:
        """Scores of the same architecture with untrained weights, averaged over `CONTROL_SEEDS`.

        They are scored on the very cells of the backbone, so that the two differ in nothing but their weights.
        """
        key = control_of(spec), path.shift
        if key not in self._controls:
            total = _Accumulator(len(self.dataset.images))
            for number, seed in enumerate(CONTROL_SEEDS, 1):
                doing = f"untrained control {number} of {len(CONTROL_SEEDS)}"
                self._tell(spec, doing)
                require_room(spec)
                network = open_network(control_of(spec), self.options.tap, seed=seed)
                untrained = replace(freeze_for_scoring(network), path=path)
                del network
                one = _Accumulator(len(self.dataset.images))
                scored = score_photos(untrained, self._photos(), self.options.size, {})
                for done, (place, found) in enumerate(scored, 1):
                    self._score(one, place, found)
                    self._tell(spec, f"{doing}, image {done} of {len(self._places)}", done / len(self._places))
                total.add(one, 1 / len(CONTROL_SEEDS))
                del untrained
                self._next_pass()
            self._controls[key] = total
        return self._controls[key]

    def _score(self, into: _Accumulator, place: int, scored: Scored) -> None:
        maps = scored.maps
        values = np.stack([maps.max, maps.mean])
        scores = self._comparison.score(place, values, maps.centres_y, maps.centres_x)
        into.separation[place], into.auroc[place] = scores.separation, scores.auroc
        into.tap = maps.tap
        into.seen += 1
        if place in self._diagnosed:
            into.add_diagnostics([diagnose_map(one, scored.dead) for one in values])

    def _photos(self) -> Iterator[tuple[int, Photo]]:
        """Photographs that have boxes, each with its place; those that cannot be read are noted once."""
        for place in self._places:
            image = self.dataset.images[place]
            if self._should_stop():
                raise _Stopped
            if image.image in self._unreadable:
                continue
            try:
                data = self.dataset.source.read(image.image, DEFAULT_LIMITS.max_bytes)
                photo = read_photo(data, image.image)
            except (ImageError, AnnotationError) as error:
                self._unreadable[image.image] = str(error)
                continue
            if (photo.height, photo.width) == (image.height, image.width):
                yield place, photo
            else:
                came = f"{photo.width} x {photo.height}"
                self._unreadable[image.image] = f"its header says {image.width} x {image.height} pixels, it has {came}"

    def _usual_frame(self, backbone: ScoringBackbone) -> Frame:
        """Where photographs of the most frequent size lie on the input: the size that costs are stated for."""
        sizes = Counter((self.dataset.images[k].height, self.dataset.images[k].width) for k in self._places)
        (height, width), _ = sizes.most_common(1)[0]
        return frame_for(height, width, backbone, self.options.size)

    def _next_pass(self) -> None:
        self._at = (self._at[0], self._at[1] + 1)

    def _tell(self, spec: Spec, doing: str, share_of_pass: float = 0.0) -> None:
        if self._should_stop():
            raise _Stopped
        passes = 1 + len(CONTROL_SEEDS) * self.options.control
        share = (self._at[0] + (self._at[1] + share_of_pass) / passes) / max(len(self.specs), 1)
        elapsed = self._clock() - self._start
        left = elapsed * (1 - share) / share if share > 0.02 else None
        self._on_progress(Progress(_shown(spec), doing, min(share, 1.0), left))


class _Accumulator:
    """Scores of every image under one set of weights, NaN where there is none."""

    def __init__(self, images: int) -> None:
        self.separation = np.full((images, len(REDUCTIONS)), np.nan)
        self.auroc = np.full((images, len(REDUCTIONS)), np.nan)
        self.by_size = np.full((images, len(SIZE_GROUPS)), np.nan)
        self.seen = 0
        self.weights = self.tap = ""
        self.stride = 0
        self._sums = np.zeros((len(REDUCTIONS), len(_NUMBERS)))
        self._diagnosed = 0.0
        self._flags = np.zeros((len(REDUCTIONS), 2), bool)  # some map was flat, some was not finite

    def map_scores(self, control: _Accumulator | None) -> dict[str, MapScores]:
        """Scores by reduction, beside a control's."""
        return {
            name: MapScores(
                self.separation[:, k], self.auroc[:, k], None if control is None else control.separation[:, k]
            )
            for k, name in enumerate(REDUCTIONS)
        }

    def add_diagnostics(self, found: Sequence[Diagnostics]) -> None:
        """Take the diagnostics of one image's maps."""
        self._sums += [[getattr(one, name) for name in _NUMBERS] for one in found]
        self._flags |= np.array([[one.flat, not one.finite] for one in found])
        self._diagnosed += 1

    def diagnostics(self) -> dict[str, Diagnostics]:
        """Means over the images, by reduction; flagged when any map was."""
        means = self._sums / max(self._diagnosed, 1)
        return {
            name: Diagnostics(
                **dict(zip(_NUMBERS, means[k].tolist(), strict=True)),
                flat=bool(self._flags[k, 0]),
                finite=not self._flags[k, 1],
            )
            for k, name in enumerate(REDUCTIONS)
        }

    def add(self, other: _Accumulator, share: float) -> None:
        """Add a share of other scores, so that shares which add up to one give an average."""
        for name in ("separation", "auroc"):
            mine, theirs = getattr(self, name), getattr(other, name)
            setattr(self, name, (np.where(self.seen, mine, 0.0) + share * theirs))
        self.seen += other.seen
        self._sums = self._sums + other._sums
        self._flags |= other._flags
        self._diagnosed += other._diagnosed


_NUMBERS = tuple(f.name for f in fields(Diagnostics) if f.name not in ("flat", "finite"))
