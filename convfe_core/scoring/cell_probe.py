"""The cell probe: is a linear combination of channels enough to find the boxes?

The features of all cells are centred and whitened by PCA. Ridge regression learns from four fifths of the images which
cells have their centre in a box. What it predicts for the others is one more map, scored like the max and the mean map.
Every image weighs the same, however many cells it has. All of this follows from sums over cells, so that memory does
not grow with the images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convfe_core.backbones.backbone import Backbone
from convfe_core.base.arrays import BoxArray, FloatArray, Values
from convfe_core.machine.machine_queue import OnWait, wait_silently
from convfe_core.machine.memory import room_mb
from convfe_core.maps.cell_moments import CellMoments
from convfe_core.maps.extraction import Member, Projected, Result, project_windows
from convfe_core.maps.input_size import Size
from convfe_core.photos.photo import Photo
from convfe_core.scoring.bootstrap import SEED
from convfe_core.scoring.box_probe import FOLDS
from convfe_core.scoring.separation import inside_mask

COMPONENTS = 64
"""Most whitened components that the regression sees; all of them where the features vary in fewer directions."""
BASIS = 256
"""Components of all images' features that those of each fold are sought among: much faster than among all channels, and
no direction in which most images vary much is one in which all of them vary little."""
PENALTY = 0.01
"""Of the ridge regression, as a share of the variance of a whitened component, which is 1."""
MOST_LEARNED_FROM = 1024
"""Most images that a probe learns from; of more, so many are drawn."""

TOO_FEW = "expected two images at least, one to learn from and one to look at, whose features are numbers"
"""Why nothing is learned from fewer."""


def deal_folds(places: Sequence[int], seed: int = SEED, most: int = MOST_LEARNED_FROM) -> dict[int, int]:
    """Draw images to learn from, and deal them into `FOLDS` folds of one size, or nearly so.

    Parameters
    ----------
    places : of the images that have boxes
    seed : the same seed and places give the same folds
    most : draw no more than so many

    Returns
    -------
    the fold of every image drawn, by place, in the order of `places`
    """
    drawn = np.random.default_rng(seed).permutation(np.array(places, np.int64))[:most].tolist()
    folds = {place: number % FOLDS for number, place in enumerate(drawn)}
    return {place: folds[place] for place in places if place in folds}


@dataclass(frozen=True, eq=False)
class CellProbe:
    """What one set of weights learned.

    Attributes
    ----------
    directions : (C, F) a fold's column learned from all images but those of this fold; all 0 where these tell nothing
    folds : by place, of the images that it learned from
    reason : why it learned nothing, or None
    """

    directions: FloatArray
    folds: Mapping[int, int]
    reason: str | None = None

    def held_out(self, place: int, components: FloatArray) -> FloatArray:
        """The map of one image by what was learned from others.

        Parameters
        ----------
        place : of the image; one that nothing was learned from gets the mean of what all folds say
        components : (h, w, F) its features along `directions`

        Returns
        -------
        (h, w)
        """
        fold = self.folds.get(place)
        return components.mean(axis=-1) if fold is None else components[..., fold].copy()


def learn_probe(moments: Sequence[CellMoments], folds: Mapping[int, int]) -> CellProbe:
    """Learn, for every fold, from the images of all others.

    Parameters
    ----------
    moments : of the cells of each fold's images, the target being 1 where the cell's centre is in a box, else 0
    folds : by place, of the images in them
    """
    total = sum(moments[1:], moments[0])
    reason = _why_nothing(total)
    if reason is not None:
        return no_probe(total.channels, reason)
    basis, _ = total.principal_components(BASIS)  # of all images, which takes no box
    reduced = [own.along(basis) for own in moments]
    whole = sum(reduced[1:], reduced[0])
    directions = np.stack([basis @ _regress(whole - own) for own in reduced], axis=1)
    return CellProbe(directions.astype(np.float32), folds)


def _regress(moments: CellMoments) -> Values:
    """Ridge regression of the target on whitened components, as a direction in the space of the features.

    Whitened components are uncorrelated with variance 1, so that the weight of each is its covariance with the target,
    divided by 1 + `PENALTY`.

    Returns
    -------
    (C,), all 0 where every cell has the same target, or the same features, or where there is no cell
    """
    if not moments.channels or not moments.photographs or not 0 < moments.target_mean < 1:
        return np.zeros(moments.channels)
    components, variances = moments.principal_components(COMPONENTS)
    return np.asarray(components @ (components.T @ moments.target_covariance / (variances * (1 + PENALTY))))


def _why_nothing(total: CellMoments) -> str | None:
    if total.photographs < 2:
        return TOO_FEW
    if total.target_mean == 0:
        return "no cell of this map has its centre in a box"
    if total.target_mean == 1:
        return "every cell of this map has its centre in a box"
    return None


def learning_mb(channels: int) -> float:
    """Megabytes that a probe takes at its highest: 9.1 matrices (C, C) were measured, 5 of them those of the folds."""
    return 10 * (channels + 2) ** 2 * 8 / 2**20


def lack_of_room(channels: int) -> str | None:
    """Why the machine has no memory for a probe to learn in; None where it has."""
    need, room = learning_mb(channels), room_mb()
    return f"learning takes {need:,.0f} MB, and {max(room, 0):,.0f} MB are free" if need > room else None


def no_probe(channels: int, reason: str) -> CellProbe:
    """A probe that learned nothing, and why."""
    return CellProbe(np.zeros((channels, FOLDS), np.float32), {}, reason)


class FoldMoments:
    """The sums of every fold, gathered image by image.

    Parameters
    ----------
    channels : features of each cell, C
    folds : by place, of all images that may come
    """

    def __init__(self, channels: int, folds: Mapping[int, int]) -> None:
        self._folds = folds
        self._moments = [CellMoments(channels) for _ in range(FOLDS)]
        self._taken: dict[int, int] = {}

    def add(self, place: int, features: FloatArray, inside: NDArray[np.bool_]) -> None:
        """Take an image.

        Parameters
        ----------
        features : (h, w, C) of its cells, all finite
        inside : (h, w) which cells have their centre in a box
        """
        fold = self._taken[place] = self._folds[place]
        self._moments[fold].add(features.reshape(-1, features.shape[-1]), inside.ravel())

    def learn(self) -> CellProbe:
        """What the images teach that were taken."""
        return learn_probe(self._moments, self._taken)


class BoxLearner:
    """A cell probe that learns from the boxes of some photographs, and gives each the map that the others taught.

    Parameters
    ----------
    channels : features of each cell, C
    boxes : (N, 4) of every photograph in its pixels; from those without a box nothing is learned
    """

    def __init__(self, channels: int, boxes: Sequence[BoxArray]) -> None:
        self._boxes = boxes
        self._folds = deal_folds([number for number, own in enumerate(boxes) if len(own)])
        self._sums = FoldMoments(channels, self._folds)

    def take(self, number: int, features: Projected) -> None:
        """Learn from the whole features of one of the photographs, unless they are no numbers."""
        maps = features.maps
        if number in self._folds and np.isfinite(maps.mean).all():
            inside = inside_mask(self._boxes[number], maps.centres_y, maps.centres_x)
            self._sums.add(number, features.components, inside)

    def learn(self) -> CellProbe:
        """What the photographs teach that were taken."""
        return self._sums.learn()


def held_out_maps(features: Sequence[Projected], boxes: Sequence[BoxArray]) -> tuple[list[FloatArray], str | None]:
    """Give each photograph the map by what the cell probe learned from the others: the picture of what it learned.

    Parameters
    ----------
    features : whole ones, of at least one photograph
    boxes : as of `BoxLearner`

    Returns
    -------
    the probe's map of each, (h, w), and why there are none, or None
    """
    learner = BoxLearner(features[0].components.shape[-1], boxes)
    for number, found in enumerate(features):
        learner.take(number, found)
    probe = learner.learn()
    if probe.reason is not None:
        return [], probe.reason
    return [probe.held_out(number, found.components @ probe.directions) for number, found in enumerate(features)], None


def run_held_out_maps(
    backbone: Backbone,
    photos: Sequence[Photo],
    boxes: Sequence[BoxArray],
    size: Size,
    on_wait: OnWait = wait_silently,
    tell: Callable[[int], None] = lambda _done: None,
) -> tuple[list[FloatArray], str | None]:
    """As `held_out_maps` of photographs whose features are too many for memory: a backbone runs over them twice.

    Parameters
    ----------
    photos : each one that `convfe_core.maps.extraction.require_cells` takes
    size : how large they enter
    on_wait : as in `convfe_core.maps.extraction.run_windows`
    tell : called with how many photographs were run, each of them twice
    """
    learner, done = BoxLearner(backbone.channels, boxes), 0

    def run(directions: FloatArray, keep: Callable[[int, Projected], Result]) -> list[Result]:
        def hand_over(one: Member[int], found: Projected) -> Result:
            nonlocal done
            done += 1
            tell(done)
            return keep(one.key, found)

        with closing(project_windows(backbone, enumerate(photos), size, directions, hand_over, on_wait)) as windows:
            return [kept for window in windows for kept in window]

    run(backbone.all_directions, learner.take)
    probe = learner.learn()
    if probe.reason is not None:
        return [], probe.reason
    return run(probe.directions, lambda number, found: probe.held_out(number, found.components)), None
