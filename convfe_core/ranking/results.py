"""What a ranking run is asked, and what it found."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from convfe_core.backbones.measured_cost import Cost
from convfe_core.backbones.precision import Precision, explain_kept
from convfe_core.base.errors import Skipped
from convfe_core.base.wording import counted
from convfe_core.catalog.specs import Spec
from convfe_core.datasets.boxes import Dataset
from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.maps.input_size import Size
from convfe_core.maps.map_diagnostics import Diagnostics
from convfe_core.ranking.verdict import BackboneScores, Ranking
from convfe_core.scoring.box_probe import ProbeResult
from convfe_core.scoring.box_sizes import BoxSizes
from convfe_core.scoring.cell_probe import CellProbe
from convfe_core.trial.trial_job import TRIAL_IMAGES
from convfe_core.trial.trial_run import Tried

CONTROL_SEEDS = (0, 1, 2)
"""Of the untrained controls, whose scores are averaged."""
REPORTED = 3
"""Best, and worst, images that a report shows."""


@dataclass(frozen=True)
class RankOptions:
    """How to rank.

    Attributes
    ----------
    size : how large photographs enter
    tap : ``auto``, ``output``, a stage or a layer
    probe, control, cost : whether to do the two probes, to run the untrained controls, to measure time and memory
    reduction : which map the verdict goes by
    seed : of everything that is drawn
    precision : ``float32``, or ``fast`` for bfloat16 where the processor has it
    trial : whether a small detector is tried on each backbone
    trial_images : most images that it is tried on
    trial_stages : try it at each stage, too, and at all of them added up
    keep_features : leave its features beside the parts of the run
    """

    size: Size = field(default_factory=lambda: Size("own"))
    tap: str = "auto"
    probe: bool = True
    control: bool = True
    cost: bool = True
    reduction: str = "mean"
    seed: int = 0
    precision: Precision = "float32"
    trial: bool = False
    trial_images: int = TRIAL_IMAGES
    trial_stages: bool = False
    keep_features: bool = False


@dataclass(frozen=True, eq=False)
class RankedResult:
    """Everything that a run found out about one backbone.

    Attributes
    ----------
    spec, label, weights, tap, stride : which it is
    precision : that it computed with, which is float32 also where bfloat16 would move its maps too far
    scores : per image, on which rankings are computed
    sizes : the boxes measured in its cells
    diagnostics, control_diagnostics : means over images, by reduction
    probe, learned, cost : the box probe, what the cell probe learned, time and memory; None where not asked for
    tried : what a small detector found; None where none was tried, or could not be
    trial_failed : why it could not
    by_stage : what one found at each stage, where that was asked
    top1 : published ImageNet accuracy in percent, of ImageNet weights
    maps : by name, of the images that a report may show
    """

    spec: Spec
    label: str
    weights: str
    tap: str
    stride: int
    precision: Precision
    scores: BackboneScores
    sizes: BoxSizes
    diagnostics: Mapping[str, Diagnostics]
    control_diagnostics: Mapping[str, Diagnostics]
    probe: ProbeResult | None
    learned: CellProbe | None
    cost: Cost | None
    top1: float | None
    maps: Mapping[str, FeatureMaps] = field(default_factory=dict)
    tried: Tried | None = None
    trial_failed: str | None = None
    by_stage: Mapping[str, Tried] = field(default_factory=dict)

    @property
    def broken(self) -> str | None:
        """Why its maps cannot be scored, where they hold values that are no numbers."""
        if all(found.finite for found in self.diagnostics.values()):
            return None
        return "its maps hold values that are no numbers: the network overflowed or its weights are damaged"

    @property
    def without_probe(self) -> str | None:
        """Why it has no cell probe, where one was asked for."""
        found = self.learned
        return None if found is None or found.reason is None else f"no cell probe: {found.reason}"

    @property
    def of_trial(self) -> tuple[str, ...]:
        """What to know about its trial, each a phrase."""
        failed = () if self.trial_failed is None else (f"no detector could be tried: {self.trial_failed}",)
        stages = (f"{name} {one.scores.ap50.value:.2f}" for name, one in self.by_stage.items())
        by_stage = (f"AP50 of the trial by stage: {', '.join(stages)}",) if self.by_stage else ()
        return (*failed, *by_stage, *(self.tried.notes if self.tried else ()))


@dataclass(frozen=True, eq=False)
class RankResult:
    """A finished or stopped run.

    Attributes
    ----------
    results : the backbones that were finished, in the order they were given
    failed : backbones that could not be run, and why
    skipped : what of the data set was not used, and why
    missing : images that an engine could not run under a backbone, and why; the numbers are without them
    """

    dataset: Dataset
    options: RankOptions
    ranking: Ranking
    results: tuple[RankedResult, ...]
    failed: tuple[Skipped, ...]
    skipped: tuple[Skipped, ...]
    missing: tuple[Skipped, ...] = ()

    def result(self, label: str) -> RankedResult:
        """What was found out about one backbone."""
        return next(r for r in self.results if r.label == label)

    @property
    def remarks(self) -> list[tuple[str, str]]:
        """Remarks on backbones besides their numbers, each a label and a phrase."""
        said = []
        for one in self.results:
            kept = explain_kept(self.options.precision, one.precision, not one.spec.in_onnx)
            said += [(one.label, told) for told in (one.sizes.text, one.broken, kept, one.without_probe, *one.of_trial)]
        return [(label, phrase) for label, phrase in said if phrase]

    @property
    def extent(self) -> str:
        """``coco128: 80 images, 640 boxes, 61 classes (COCO); 73 images usable``."""
        dataset = self.dataset
        return f"{dataset.name}: {dataset.in_words}; {counted(self.ranking.usable, 'image')} usable"

    def wins_and_losses(self, first: str, second: str | None = None) -> list[tuple[str, float]]:
        """Images by how much further `first` separates than `second`, the clearest win first.

        Parameters
        ----------
        first, second : labels of backbones; without a second one, the images by the first one's own S

        Returns
        -------
        (image, difference of S) for every image that both were scored on
        """
        values = self.result(first).scores.maps[self.options.reduction].separation
        if second is not None:
            values = values - self.result(second).scores.maps[self.options.reduction].separation
        order = np.argsort(-values, kind="stable")
        return [(self.dataset.images[k].image, float(values[k])) for k in order.tolist() if np.isfinite(values[k])]

    def best_and_worst(self, rows: int = REPORTED, among: Container[str] | None = None) -> tuple[list[str], list[str]]:
        """Names of the images on which the first backbone of the ranking separates best, and worst.

        Parameters
        ----------
        among : leave out all others
        """
        ranked = self.wins_and_losses(self.ranking.backbones[0].label)
        names = [name for name, _ in ranked if among is None or name in among]
        best = names[:rows]
        return best, [name for name in names[::-1][:rows] if name not in best]

    @property
    def reported(self) -> tuple[list[str], list[str]]:
        """The best and the worst of those images whose maps were kept."""
        return self.best_and_worst(among=self.result(self.ranking.backbones[0].label).maps)

    def with_reported_maps(self) -> RankResult:
        """The same with no more maps than a report shows."""
        best, worst = self.reported
        names = [*best, *worst]
        kept = (replace(one, maps={name: one.maps[name] for name in names if name in one.maps}) for one in self.results)
        return replace(self, results=tuple(kept))
