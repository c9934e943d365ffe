"""From scores per image to an order of backbones: intervals, ties, controls, and who leads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from convfe_core.base.arrays import Values
from convfe_core.ranking.sentence import FEWEST_IMAGES, Answer, Verdict, decide
from convfe_core.scoring.bootstrap import SEED, Estimate, estimate, holm_intervals, interval, resampled_means
from convfe_core.scoring.trial_scores import FEWEST_TRIAL_IMAGES, TrialScores


@dataclass(frozen=True, eq=False)
class MapScores:
    """What one kind of map (max, mean or cell probe) of a backbone scored; NaN where an image is left out.

    Attributes
    ----------
    separation, auroc : (N,) one value an image of the data set
    control : (N,) separation of the untrained control, averaged over its seeds; None without a control
    """

    separation: Values
    auroc: Values
    control: Values | None = None

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(N,) whether an image has a score, and its control one."""
        own = np.isfinite(self.separation)
        return own if self.control is None else own & np.isfinite(self.control)


@dataclass(frozen=True, eq=False)
class BackboneScores:
    """What one backbone scored.

    Attributes
    ----------
    label : its spec
    maps : by reduction, ``max`` and ``mean``
    by_size : (N,) separation of small, medium and large boxes alone, of the map that ranks
    trained : whether it makes sense to ask what its weights add to the architecture
    cell_probe : of the map that the cell probe predicts; None without one
    trial : of the trial detector; None without one
    """

    label: str
    maps: Mapping[str, MapScores]
    by_size: Mapping[str, Values]
    trained: bool = True
    cell_probe: MapScores | None = None
    trial: TrialScores | None = None

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(N,) whether an image could be scored, with max and mean map and with the control."""
        usable: NDArray[np.bool_] = np.all([one.usable for one in self.maps.values()], axis=0)
        return usable


@dataclass(frozen=True)
class Separation:
    """Dataset separation of one kind of map.

    Attributes
    ----------
    S : mean over the usable images
    auroc : mean raw AUROC over the same images
    control : the untrained control's S, or None
    gain : S less the control's, image by image, or None
    beats_control : whether S is above its control's beyond doubt, never for untrained weights; None without a control,
        or under `FEWEST_IMAGES`, of which a bootstrap is too sure
    """

    S: Estimate
    auroc: float
    control: Estimate | None
    gain: Estimate | None
    beats_control: bool | None


@dataclass(frozen=True)
class SizeScore:
    """Separation of the boxes of one size: over how many images, and how much (None where there are none)."""

    images: int
    S: Estimate | None


@dataclass(frozen=True)
class RankedBackbone:
    """One line of a ranking.

    Attributes
    ----------
    label : its spec
    usable : images that this backbone alone could be scored on
    separation : by reduction; empty when no image is usable
    by_size : small, medium and large boxes
    beats_control : that of the map that ranks, see `Separation`
    cell_probe : of the map that the cell probe predicts; None where there is none
    trial : of the trial detector; None where there is none
    trial_beats_control : whether its AP50 is above its control's, as `Separation.beats_control`
    """

    label: str
    usable: int
    separation: Mapping[str, Separation]
    by_size: Mapping[str, SizeScore]
    beats_control: bool | None
    cell_probe: Separation | None = None
    trial: TrialScores | None = None
    trial_beats_control: bool | None = None


@dataclass(frozen=True)
class Difference:
    """How much higher a number of `first` is than that of `second`, with its Holm-adjusted interval."""

    first: str
    second: str
    value: Estimate
    tied: bool


@dataclass(frozen=True)
class Ranking:
    """The order of the backbones on one data set.

    Attributes
    ----------
    usable : images that every backbone (with any usable image) could be scored on; S is over these
    reduction : the map that ranks
    backbones : the best first, by the trial where it decides, else by S
    differences : of S, of every pair, the higher first
    probe_differences, trial_differences : the same of the cell probe's S, and of AP50
    """

    usable: int
    reduction: str
    backbones: tuple[RankedBackbone, ...]
    differences: tuple[Difference, ...]
    probe_differences: tuple[Difference, ...]
    trial_differences: tuple[Difference, ...]
    verdict: Verdict


def rank_backbones(scores: Sequence[BackboneScores], reduction: str = "mean", seed: int = SEED) -> Ranking:
    """Order backbones by the trial of a detector where it decides, else by the separation of one kind of map.

    Parameters
    ----------
    scores : at least one backbone, all on the same images
    reduction : ``max`` or ``mean``
    seed : of the resamples, which all backbones share
    """
    if not scores:
        raise ValueError("Expected at least one backbone. Received: none")
    usable = usable_by_all([s.usable for s in scores])
    probes = {s.label: s.cell_probe for s in scores if s.cell_probe is not None}
    probed = usable_by_all([usable, *(usable & one.usable for one in probes.values())])
    trials = {s.label: s.trial for s in scores if s.trial is not None}
    ranked = [_rank_one(s, usable, probed, reduction, seed) for s in scores]

    by_maps = {r.label: r.separation[reduction].S for r in ranked if r.separation}
    differences = _differences(by_maps, {s.label: s.maps[reduction].separation[usable] for s in scores}, seed)
    by_probe = {r.label: r.cell_probe.S for r in ranked if r.cell_probe}
    probe_differences = _differences(by_probe, {label: one.separation[probed] for label, one in probes.items()}, seed)
    by_trial = {label: one.ap50 for label, one in trials.items()}
    trial_differences = _trial_differences(by_trial, trials)

    asked = [r for r, s in zip(ranked, scores, strict=True) if s.trained]
    probe_beats = {r.label: r.cell_probe.beats_control for r in asked if r.cell_probe}
    count, tried = int(usable.sum()), min((one.images for one in trials.values()), default=0)
    verdict = decide(
        _answer(by_maps, differences, {r.label: r.beats_control for r in asked}, count),
        _answer(by_probe, probe_differences, probe_beats, int(probed.sum())),
        _answer(by_trial, trial_differences, {r.label: r.trial_beats_control for r in asked}, tried),
        {r.label: r.beats_control for r in ranked if r.beats_control is not None},
    )
    order = by_trial if verdict.decided_by == "trial" else by_maps
    ranked.sort(key=lambda r: order[r.label].value if r.label in order else -np.inf, reverse=True)
    return Ranking(count, reduction, tuple(ranked), differences, probe_differences, trial_differences, verdict)


def usable_by_all(each: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """(N,) whether an image is usable for all that can use any image; for none of them where there is no such."""
    some = [one for one in each if one.any()]
    return np.logical_and.reduce(some) if some else np.zeros_like(each[0])


def _rank_one(
    scores: BackboneScores, usable: NDArray[np.bool_], probed: NDArray[np.bool_], reduction: str, seed: int
) -> RankedBackbone:
    """Everything of one backbone, over the images that all can use with their maps, and with their probes."""
    own, trial = scores.usable, scores.trial
    beaten = None if trial is None else _trial_beats_control(trial, scores.trained)
    if not (own & usable).any():
        return RankedBackbone(scores.label, int(own.sum()), {}, {}, None, None, trial, beaten)
    separation = {name: _separation(m, usable, scores.trained, seed) for name, m in scores.maps.items()}
    probe = scores.cell_probe
    if probe is not None and not (probe.usable & probed).any():
        probe = None
    return RankedBackbone(
        label=scores.label,
        usable=int(own.sum()),
        separation=separation,
        by_size={name: _size_score(values[usable], seed) for name, values in scores.by_size.items()},
        beats_control=separation[reduction].beats_control,
        cell_probe=None if probe is None else _separation(probe, probed, scores.trained, seed),
        trial=trial,
        trial_beats_control=beaten,
    )


def _separation(scores: MapScores, usable: NDArray[np.bool_], trained: bool, seed: int) -> Separation:
    own = scores.separation[usable]
    columns = [own]
    if scores.control is not None:
        columns += [scores.control[usable], own - scores.control[usable]]
    means = resampled_means(np.stack(columns, axis=1), seed)
    estimates = [estimate(column, means[:, k]) for k, column in enumerate(columns)]
    gain = estimates[2] if len(estimates) > 1 else None
    return Separation(
        S=estimates[0],
        auroc=float(scores.auroc[usable].mean()),
        control=estimates[1] if len(estimates) > 1 else None,
        gain=gain,
        beats_control=None if gain is None or len(own) < FEWEST_IMAGES else gain.above_zero and trained,
    )


def _trial_beats_control(trial: TrialScores, trained: bool) -> bool | None:
    if trial.control is None or trial.images < FEWEST_TRIAL_IMAGES:
        return None
    low, _ = interval(trial.resampled - trial.control.resampled)
    return low > 0 and trained


def _size_score(values: Values, seed: int) -> SizeScore:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return SizeScore(0, None)
    return SizeScore(len(finite), estimate(finite, resampled_means(finite[:, None], seed)[:, 0]))


def _best_first(estimates: Mapping[str, Estimate]) -> list[str]:
    return sorted(estimates, key=lambda label: estimates[label].value, reverse=True)


def _differences(estimates: Mapping[str, Estimate], values: Mapping[str, Values], seed: int) -> tuple[Difference, ...]:
    """Of every pair of backbones, by (N,) values of the images that they share."""
    order = _best_first(estimates)
    if len(order) < 2:
        return ()
    means = resampled_means(np.stack([values[label] for label in order], axis=1), seed)
    resampled = {label: means[:, k] for k, label in enumerate(order)}
    return _compare(order, resampled, lambda a, b: float((values[a] - values[b]).mean()))


def _trial_differences(estimates: Mapping[str, Estimate], trials: Mapping[str, TrialScores]) -> tuple[Difference, ...]:
    resampled = {label: trial.resampled for label, trial in trials.items()}
    return _compare(_best_first(estimates), resampled, lambda a, b: estimates[a].value - estimates[b].value)


def _compare(
    order: Sequence[str], resampled: Mapping[str, Values], difference: Callable[[str, str], float]
) -> tuple[Difference, ...]:
    """Of every pair, the one before it in the order first, by (R,) numbers of the resamples that all share."""
    pairs = list(combinations(order, 2))
    if not pairs:
        return ()
    adjusted = holm_intervals(np.stack([resampled[a] - resampled[b] for a, b in pairs], axis=1))
    return tuple(
        Difference(a, b, Estimate(difference(a, b), low, high), tied=not differs)
        for (a, b), (low, high, differs) in zip(pairs, adjusted, strict=True)
    )


def _answer(
    estimates: Mapping[str, Estimate], differences: Sequence[Difference], beats: Mapping[str, bool | None], images: int
) -> Answer | None:
    """What one number says; None where no backbone has it."""
    if not estimates:
        return None
    tied = {frozenset((d.first, d.second)) for d in differences if d.tied}
    return Answer(
        groups=_group_ties(_best_first(estimates), tied),
        finds=any(one.above_zero for one in estimates.values()),
        beats={label: found for label, found in beats.items() if found is not None and label in estimates},
        images=images,
    )


def _group_ties(order: Sequence[str], tied: set[frozenset[str]]) -> tuple[tuple[str, ...], ...]:
    """Backbones, best first, each group being those that are tied with its first."""
    left = list(order)
    groups = []
    while left:
        first = left[0]
        group = tuple(label for label in left if label == first or frozenset((first, label)) in tied)
        groups.append(group)
        left = [label for label in left if label not in group]
    return tuple(groups)
