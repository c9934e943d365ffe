"""A ranking run: scores backbones and their untrained controls on a data set, and measures what each backbone costs."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import astuple, replace
from functools import cached_property, partial
from pathlib import Path

from platformdirs import user_cache_dir

from convfe_core.backbones.measured_cost import Cost, warm_up
from convfe_core.backbones.precision import computes_in_bfloat16
from convfe_core.base.errors import AnnotationError, ConvfeError, EngineError, Skipped, SpecError
from convfe_core.base.folders import Folder
from convfe_core.base.pace import Progress, Tell, tell_nobody
from convfe_core.catalog.memory_need import require_room
from convfe_core.catalog.specs import Spec, control_of, find_architecture, require_different_labels
from convfe_core.datasets.boxes import Dataset
from convfe_core.jobs.local_engine import LocalEngine
from convfe_core.jobs.parts import Parts
from convfe_core.jobs.shards import Engine
from convfe_core.jobs.weight_pass import Pass, shown
from convfe_core.maps.feature_maps import PROBE, REDUCTIONS, FeatureMaps
from convfe_core.ranking.passes import PassRuns, PassScores, average
from convfe_core.ranking.results import CONTROL_SEEDS, RankedResult, RankOptions, RankResult
from convfe_core.ranking.score_rows import SCHEMA, RankJob
from convfe_core.ranking.verdict import BackboneScores, rank_backbones
from convfe_core.scoring.box_sizes import box_sizes
from convfe_core.scoring.kept_maps import unpacked_maps
from convfe_core.scoring.separation import SIZE_GROUPS
from convfe_core.trial.trial_job import TrialOptions
from convfe_core.trial.trial_run import TrialRun, Tried

MONTH_SECONDS = 30 * 24 * 3600


class Stopped(Exception):  # noqa: N818 - a wish, not an error
    """The user stopped the run."""


class RankRun:
    """One run; `results` holds what is finished at any time.

    Parameters
    ----------
    dataset : photographs with boxes
    specs : the backbones
    options : how to rank
    on_progress : told what is happening
    should_stop : asked whenever something is told; once true, the run ends with the backbones that are finished
    clock : seconds
    work : folder for finished parts of the run, from which a run that was killed resumes; None keeps nothing
    engine : computes the parts; None for this process
    make_room : called before a backbone is loaded here; raises MemoryLimitError where it does not fit
    explain : says in a sentence why a backbone could not be ranked
    alone : nobody else computes in this process: controls are loaded while others run
    """

    def __init__(
        self,
        dataset: Dataset,
        specs: Sequence[Spec],
        options: RankOptions,
        on_progress: Tell = tell_nobody,
        should_stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        work: Folder | str | Path | None = None,
        engine: Engine | None = None,
        make_room: Callable[[Spec], None] = require_room,
        explain: Callable[[ConvfeError], str] = str,
        *,
        alone: bool = False,
    ) -> None:
        self.dataset = dataset
        self.specs = tuple(dict.fromkeys(specs))
        self.options = options
        self.results: list[RankedResult] = []
        self._errors: dict[Spec, ConvfeError] = {}
        self._explain = explain

        def tell(progress: Progress) -> None:
            if should_stop():
                raise Stopped
            on_progress(progress)

        self._tell = tell
        self._passes = {spec: _passes_of(spec, options) for spec in self.specs}
        every = [one for passes in self._passes.values() for one in passes]
        by_name = {one.name: one for one in every}
        self._job = RankJob(dataset, options, by_name, computes_in_bfloat16(options.precision), make_room, alone)
        controls = {one.name: control_of(one.spec) for one in every if one.seed is not None and alone}
        local, parts = LocalEngine(early=controls), Parts(work, SCHEMA)
        self._open = partial(PassRuns, self._job, every, engine or local, parts, tell, clock)
        self._trial: TrialRun | None = None
        if options.trial:
            tried = TrialOptions(options.size, options.tap, options.precision, options.seed, options.trial_images)
            self._trial = TrialRun(
                dataset,
                self.specs,
                tried,
                control=options.control,
                work=work,
                keep_features=options.keep_features,
                engine=engine,
                on_progress=self._tell_of_trial,
                clock=clock,
                make_room=make_room,
            )

    @cached_property
    def _runs(self) -> PassRuns:
        return self._open()  # it looks at every photograph's file, which may fail: not while this object is made

    def run(self) -> RankResult:
        """Run every backbone, or as many as are finished when the user stops.

        Raises
        ------
        SpecError : a layer that does not exist, or two backbones that go by one name
        AnnotationError : no photograph of the data set can be read
        ConvfeError : what the only or every backbone failed with
        """
        require_different_labels(self.specs)
        if self.options.cost:
            warm_up()  # so that importing TensorFlow does not count as a cost of the first backbone
        runs, end = self._runs, 0
        trials = {spec: self._trial.work(spec) if self._trial else 0 for spec in self.specs}
        runs.pace.total += sum(trials.values())
        with suppress(Stopped):
            if runs.elsewhere:
                self._run_elsewhere()
            for spec, passes in self._passes.items():
                if spec not in self._errors:
                    with self._noting(spec):
                        self._run_backbone(spec)
                end += sum(map(runs.images, passes)) + trials[spec]
                runs.pace.skip(max(0, end - runs.pace.done))  # its trial, and passes that failed
        if self._errors and not self.results:
            raise next(iter(self._errors.values()))
        return self.finish()

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Decode the photographs of a small data set in a thread meanwhile, which has ended when the block has."""
        with ThreadPoolExecutor(1, thread_name_prefix="convfe-decode") as thread:
            decoded = None if self._runs.elsewhere else thread.submit(self._job.decode_early)
            yield
        if decoded is not None:
            decoded.result()

    def finish(self) -> RankResult:
        """Rank the backbones that are finished.

        Raises
        ------
        ConvfeError : none is
        """
        if not self.results:
            raise ConvfeError("Stopped before the first backbone was finished: there is nothing to rank.")
        unreadable = (Skipped(name, reason) for name, reason in self._runs.unreadable.items())
        result = RankResult(
            dataset=self.dataset,
            options=self.options,
            ranking=rank_backbones([r.scores for r in self.results], self.options.reduction, self.options.seed),
            results=tuple(self.results),
            failed=tuple(Skipped(shown(spec), self._explain(error)) for spec, error in self._errors.items()),
            skipped=(*self.dataset.skipped, *unreadable),
            missing=tuple(self._runs.missing.values()),
        )
        return result.with_reported_maps()

    @contextmanager
    def _noting(self, spec: Spec) -> Iterator[None]:
        """Note that a backbone cannot be ranked; the others still can. A call that cannot be right ends the run."""
        try:
            yield
        except SpecError:
            raise
        except ConvfeError as error:
            self._errors[spec] = error

    def _run_elsewhere(self) -> None:
        """Let the engine compute every pass; before that, measure costs, which are stated for this machine."""
        wanted: dict[str, Pass] = {}
        for spec in self.specs:
            with self._noting(spec):
                self._cost(spec)
                wanted |= {one.name: one for one in self._passes[spec]}
        self._runs.finish(wanted.values())
        if self._trial:
            self._trial.compute([spec for spec in self.specs if spec not in self._errors])

    def _run_backbone(self, spec: Spec) -> None:
        if not self._runs.elsewhere:
            self._runs.finish(self._passes[spec])
        self.results.append(self._result(spec))
        self._runs.spend(self._passes[spec][0])

    def _result(self, spec: Spec) -> RankedResult:
        """Put together what is known of a backbone whose passes are finished."""
        own, *controls = (self._runs.scores(one) for one in self._passes[spec])
        missing = next(iter(self._runs.missing.values()), None)
        if not own.seen and missing is not None:
            raise EngineError(f"none of its images could be run: {missing.reason}")
        if not own.seen:
            raise AnnotationError(f"{self.dataset.source.label}: expected pictures that can be read, got none.")
        probe = None
        if self.options.probe:
            self._say(spec, "box probe")
            probe = own.probe(self._job.probe.labels, self.options.seed)
        control = average(controls) if controls and all(one.seen for one in controls) else None
        tried, by_stage, trial_failed = self._try(spec)
        imagenet = spec.weights == "imagenet" and spec.architecture is not None
        return RankedResult(
            spec=spec,
            label=shown(spec),
            weights=own.weights,
            tap=own.tap,
            stride=own.stride,
            precision=own.precision,
            scores=BackboneScores(
                label=shown(spec),
                maps={name: own.map_scores(name, control) for name in REDUCTIONS},
                by_size={name: own.by_size[:, k] for k, name in enumerate(SIZE_GROUPS)},
                trained=spec.trained,
                cell_probe=own.map_scores(PROBE, control) if self.options.probe else None,
                trial=tried.scores if tried else None,
            ),
            sizes=box_sizes(own.sides, own.stride),
            diagnostics=own.diagnostics(),
            control_diagnostics={} if control is None else control.diagnostics(),
            probe=probe,
            learned=self._job.learned.get(spec.text),
            cost=self._cost(spec),
            top1=find_architecture(spec.name).top1 if imagenet else None,
            maps=self._maps(spec, own),
            tried=tried,
            trial_failed=trial_failed,
            by_stage=by_stage,
        )

    def _maps(self, spec: Spec, own: PassScores) -> dict[str, FeatureMaps]:
        """The maps that were kept of a backbone, by image."""
        images = {place: self.dataset.images[place].image for place in own.kept}
        return {
            image: unpacked_maps(own.kept[place], image, spec.label, own.weights, own.tap)
            for place, image in images.items()
        }

    def _try(self, spec: Spec) -> tuple[Tried | None, dict[str, Tried], str | None]:
        """What a small detector found, or why none could be tried; the maps' numbers stand without it."""
        if self._trial is None:
            return None, {}, None
        try:
            tried = self._trial.result(spec)
            return tried, self._trial.by_stage(spec) if self.options.trial_stages else {}, None
        except SpecError:
            raise
        except ConvfeError as error:
            return None, {}, self._explain(error)

    def _cost(self, spec: Spec) -> Cost | None:
        return self._job.cost(self._passes[spec][0], partial(self._say, spec))

    def _tell_of_trial(self, progress: Progress) -> None:
        """A trial counts its own images, which take far longer: the time left is theirs, the share this run's."""
        self._tell(replace(progress, share=self._runs.pace.share))

    def _say(self, spec: Spec, doing: str) -> None:
        self._tell(self._runs.pace.progress(shown(spec), doing))


def _passes_of(spec: Spec, options: RankOptions) -> list[Pass]:
    """A backbone's own pass, and those of its controls."""
    return [Pass(spec), *(Pass(spec, seed) for seed in CONTROL_SEEDS if options.control)]


def work_folder(options: RankOptions, dataset: Dataset, specs: Sequence[Spec], cache: Path | None = None) -> Path:
    """Where a run keeps its parts, the same for the same call; folders that were not used for a month are removed.

    Where nothing can be written there it is a folder among the system's temporary ones, another one for each call.

    Parameters
    ----------
    cache : the folder for such folders; None for the one that the system has for caches
    """
    root = (cache or Path(user_cache_dir("convfe"))) / "rank"
    for old in root.glob("*") if root.is_dir() else ():
        with suppress(FileNotFoundError):  # another run may just have removed its own
            if time.time() - old.stat().st_mtime > MONTH_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
    facts = [dataset.source.label, len(dataset.images), astuple(options), [spec.text for spec in specs]]
    folder = root / hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # as for a user without a home, or in a container that must not write
        return Path(tempfile.mkdtemp(prefix="convfe-rank-"))
    return folder
