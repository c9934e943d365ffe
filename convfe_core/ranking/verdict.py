"""From scores per image to an order of backbones: intervals, ties, controls, and the sentence a person would say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from convfe_core.base.arrays import Values
from convfe_core.base.wording import counted, in_words
from convfe_core.scoring.bootstrap import SEED, Estimate, estimate, holm_intervals, resampled_means

FEWEST_IMAGES = 20
"""Under so many usable images no winner is named, among backbones or between one and its control."""


@dataclass(frozen=True, eq=False)
class MapScores:
    """What one kind of map (max or mean) of a backbone scored; NaN where an image is left out.

    Attributes
    ----------
    separation, auroc : (N,) one value an image of the data set
    control : (N,) separation of the untrained control, averaged over its seeds; None without a control
    """

    separation: Values
    auroc: Values
    control: Values | None = None


@dataclass(frozen=True, eq=False)
class BackboneScores:
    """What one backbone scored.

    Attributes
    ----------
    label : its spec
    maps : by reduction, ``max`` and ``mean``
    by_size : (N,) separation of small, medium and large boxes alone, of the map that ranks
    trained : whether it makes sense to ask what its weights add to the architecture
    """

    label: str
    maps: Mapping[str, MapScores]
    by_size: Mapping[str, Values]
    trained: bool = True

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(N,) whether an image could be scored, with every map and with the control."""
        columns = [m.separation for m in self.maps.values()]
        columns += [m.control for m in self.maps.values() if m.control is not None]
        return np.asarray(np.isfinite(np.stack(columns)).all(axis=0))


@dataclass(frozen=True)
class Separation:
    """Dataset separation of one kind of map.

    Attributes
    ----------
    S : mean over the usable images
    auroc : mean raw AUROC over the same images
    control : the untrained control's S, or None
    gain : S less the control's, image by image, or None
    """

    S: Estimate
    auroc: float
    control: Estimate | None
    gain: Estimate | None


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
    beats_control : whether its S is above its control's beyond doubt, never for untrained weights; None without a
        control, or under `FEWEST_IMAGES`, of which a bootstrap is too sure
    """

    label: str
    usable: int
    separation: Mapping[str, Separation]
    by_size: Mapping[str, SizeScore]
    beats_control: bool | None


@dataclass(frozen=True)
class Difference:
    """How much further `first` separates than `second`, with its Holm-adjusted interval."""

    first: str
    second: str
    S: Estimate
    tied: bool


@dataclass(frozen=True)
class Verdict:
    """Who leads.

    Attributes
    ----------
    text : one sentence
    leader : the backbone with the highest S, or None when no winner is named
    tied : those that cannot be told from the leader
    beats_control : by backbone
    """

    text: str
    leader: str | None
    tied: tuple[str, ...]
    beats_control: Mapping[str, bool]


@dataclass(frozen=True)
class Ranking:
    """The order of the backbones on one data set.

    Attributes
    ----------
    usable : images that every backbone (with any usable image) could be scored on; all numbers are over these
    reduction : the map that ranks
    backbones : highest S first
    differences : of every pair, the higher S first
    """

    usable: int
    reduction: str
    backbones: tuple[RankedBackbone, ...]
    differences: tuple[Difference, ...]
    verdict: Verdict


def rank_backbones(scores: Sequence[BackboneScores], reduction: str = "mean", seed: int = SEED) -> Ranking:
    """Order backbones by the separation of one kind of map.

    Parameters
    ----------
    scores : at least one backbone, all on the same images
    reduction : ``max`` or ``mean``
    seed : of the resamples, which all backbones share
    """
    if not scores:
        raise ValueError("Expected at least one backbone. Received: none")
    scored = [s for s in scores if s.usable.any()]
    usable = np.logical_and.reduce([s.usable for s in scored]) if scored else np.zeros(0, bool)
    ranked = [_rank_one(s, usable if s in scored else None, reduction, seed) for s in scores]
    ranked.sort(key=lambda r: r.separation[reduction].S.value if r.separation else -np.inf, reverse=True)
    by_label = {s.label: s.maps[reduction].separation for s in scored}
    order = [r.label for r in ranked if r.separation]
    differences = _differences(order, {label: by_label[label][usable] for label in order}, seed)
    count = int(usable.sum())
    untrained = {s.label for s in scores if not s.trained}
    return Ranking(
        usable=count,
        reduction=reduction,
        backbones=tuple(ranked),
        differences=differences,
        verdict=_verdict(ranked, differences, count, reduction, untrained),
    )


def _rank_one(scores: BackboneScores, usable: NDArray[np.bool_] | None, reduction: str, seed: int) -> RankedBackbone:
    alone = int(scores.usable.sum())
    if usable is None or not usable.any():
        return RankedBackbone(scores.label, alone, {}, {}, None)
    separation = {name: _separation(m, usable, seed) for name, m in scores.maps.items()}
    gain = separation[reduction].gain if usable.sum() >= FEWEST_IMAGES else None
    return RankedBackbone(
        label=scores.label,
        usable=alone,
        separation=separation,
        by_size={name: _size_score(values[usable], seed) for name, values in scores.by_size.items()},
        beats_control=None if gain is None else gain.above_zero and scores.trained,
    )


def _separation(scores: MapScores, usable: NDArray[np.bool_], seed: int) -> Separation:
    own = scores.separation[usable]
    columns = [own]
    if scores.control is not None:
        columns += [scores.control[usable], own - scores.control[usable]]
    means = resampled_means(np.stack(columns, axis=1), seed)
    estimates = [estimate(column, means[:, k]) for k, column in enumerate(columns)]
    return Separation(
        S=estimates[0],
        auroc=float(scores.auroc[usable].mean()),
        control=estimates[1] if len(estimates) > 1 else None,
        gain=estimates[2] if len(estimates) > 1 else None,
    )


def _size_score(values: Values, seed: int) -> SizeScore:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return SizeScore(0, None)
    return SizeScore(len(finite), estimate(finite, resampled_means(finite[:, None], seed)[:, 0]))


def _differences(order: Sequence[str], values: Mapping[str, Values], seed: int) -> tuple[Difference, ...]:
    pairs = list(combinations(order, 2))
    if not pairs or not len(values[order[0]]):
        return ()
    means = resampled_means(np.stack([values[label] for label in order], axis=1), seed)
    column = {label: means[:, k] for k, label in enumerate(order)}
    adjusted = holm_intervals(np.stack([column[a] - column[b] for a, b in pairs], axis=1))
    return tuple(
        Difference(a, b, Estimate(float((values[a] - values[b]).mean()), low, high), tied=not differs)
        for (a, b), (low, high, differs) in zip(pairs, adjusted, strict=True)
    )


def _verdict(
    ranked: Sequence[RankedBackbone],
    differences: Sequence[Difference],
    usable: int,
    reduction: str,
    untrained: set[str],
) -> Verdict:
    beats = {r.label: r.beats_control for r in ranked if r.beats_control is not None}
    order = [r.label for r in ranked if r.separation]
    if usable < FEWEST_IMAGES:
        return Verdict(_too_few(usable), None, (), beats)
    tied_pairs = {frozenset((d.first, d.second)) for d in differences if d.tied}
    groups = _group_ties(order, tied_pairs)
    finds = any(r.separation[reduction].S.above_zero for r in ranked if r.separation)
    if len(order) == 1 and finds:
        clauses = [f"{order[0]} separates your objects from the rest"]
    elif len(order) == 1:
        clauses = [f"{order[0]} does not separate your objects: other images' boxes fit its map as well"]
    else:
        clauses = [_order_clause(groups)]
        if not finds:
            clauses.append("none of them separates your objects: other images' boxes fit their maps as well")
    asked = {label: found for label, found in beats.items() if label not in untrained}
    if asked:
        clauses.append(_control_clause(asked))
    return Verdict("; ".join(clauses) + ".", order[0], tuple(groups[0][1:]), beats)


def _too_few(usable: int) -> str:
    missing = FEWEST_IMAGES - usable
    said = f"No winner is named: {counted(usable, 'image')} can be scored, {FEWEST_IMAGES} are needed"
    if not usable:  # then it is the maps or the boxes that keep images from being scored, and more would be no help
        return f"{said}."
    return f"{said}, so {counted(missing, 'more image')} with boxes {'is' if missing == 1 else 'are'} missing."


def _group_ties(order: Sequence[str], tied: set[frozenset[str]]) -> list[list[str]]:
    """Backbones, best first, each group being those that are tied with its first."""
    left = list(order)
    groups = []
    while left:
        first = left[0]
        group = [label for label in left if label == first or frozenset((first, label)) in tied]
        groups.append(group)
        left = [label for label in left if label not in group]
    return groups


def _order_clause(groups: Sequence[Sequence[str]]) -> str:
    front, *behind = groups
    if not behind:
        return f"{in_words(front)} are tied: these images do not tell them apart"
    if len(front) == 1:
        first, whom = f"{front[0]} leads", "it"
    else:
        first, whom = f"{in_words(front)} are tied in front", "them"
    second = f"{in_words(behind[0])} {'are tied' if len(behind[0]) > 1 else 'is'} behind {whom}"
    rest = [f"then {in_words(group)}{' (tied)' if len(group) > 1 else ''}" for group in behind[1:]]
    return f"{first}; {', '.join([second, *rest])}"


def _control_clause(beats: Mapping[str, bool]) -> str:
    winning = [label for label, found in beats.items() if found]
    losing = [label for label, found in beats.items() if not found]
    so = "on these images, so pretraining does not help here"
    own = "own untrained control"
    if len(beats) == 1:
        return f"it beats its {own}" if winning else f"it does not beat its {own} {so}"
    both = len(beats) == 2
    if not losing:
        return f"both beat their {own}s" if both else f"each of them beats its {own}"
    if not winning:
        return f"{'neither' if both else 'none'} of them beats its {own} {so}"
    beat = f"beats its {own}" if len(winning) == 1 else f"beat their {own}s"
    return f"{in_words(winning)} {beat}, {in_words(losing)} {'does' if len(losing) == 1 else 'do'} not"
