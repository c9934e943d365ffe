"""How well a map separates this image's boxes: AUROC, and what is left of it beyond where objects lie in general.

Raw AUROC rewards looking at the centre of the picture, where most objects are. Separation subtracts the AUROC of the
same map against *other* images' boxes (shuffled AUC: A. Borji et al., "Analysis of scores, datasets, and models in
visual saliency prediction", ICCV 2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from convfe_core.base.arrays import BoxArray, FloatArray, Values
from convfe_core.datasets.boxes import ImageBoxes, box_areas
from convfe_core.maps.map_diagnostics import average_ranks

COMPARISONS = 64
"""Most other images that a map is compared with."""
SEED = 0

SIZE_GROUPS = {"small": (0.0, 2.0), "medium": (2.0, 4.0), "large": (4.0, float("inf"))}
"""Boxes by the side, in cells of a map, of a square of their area: from, up to but not including."""

BoolArray = NDArray[np.bool_]


def auroc(values: NDArray[np.floating], inside: BoolArray) -> float:
    """Probability that a cell inside is higher than one outside, ties one half.

    Mann-Whitney's ``U / (n_inside * n_outside)``.

    Parameters
    ----------
    values : (h, w) or (n,), without NaN
    inside : bool, the same shape

    Returns
    -------
    0..1; NaN when no cell is inside, or none outside

    Examples
    --------
    >>> auroc(np.array([[0.1, 0.9], [0.2, 0.2]]), np.array([[False, True], [False, False]]))
    1.0
    """
    return float(aurocs(values.reshape(1, -1), inside.reshape(1, -1))[0, 0])


def aurocs(values: NDArray[np.floating], inside: BoolArray) -> Values:
    """AUROC of several maps of one grid against several masks.

    Parameters
    ----------
    values : (M, n) the cells of M maps; a map with a NaN has no order
    inside : (K, n) bool, K masks

    Returns
    -------
    (M, K) in 0..1; NaN where a mask has no cell inside or none outside, and for maps with a NaN
    """
    if values.shape[1] != inside.shape[1]:
        raise ValueError(f"Expected masks of {values.shape[1]} cells. Received: {inside.shape[1]}")
    ranks = np.full(values.shape, np.nan)
    for k in np.flatnonzero(~np.isnan(values).any(axis=1)):
        ranks[k] = average_ranks(values[k])
    n_inside = inside.sum(axis=1)
    pairs = n_inside * (inside.shape[1] - n_inside)
    wins = ranks @ inside.T.astype(np.float64) - n_inside * (n_inside + 1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(pairs > 0, wins / pairs, np.nan)


def inside_mask(boxes: BoxArray, centres_y: Values, centres_x: Values) -> BoolArray:
    """Tell which cells have their centre inside a box.

    Parameters
    ----------
    boxes : (N, 4) in image pixels; the lower bounds belong to a box, the upper ones do not
    centres_y, centres_x : (h,) and (w,) centres of the cells in image pixels

    Returns
    -------
    (h, w) bool
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    return _covered(*_spans(boxes, centres_y, centres_x))


def _spans(boxes: BoxArray, centres_y: Values, centres_x: Values) -> tuple[FloatArray, FloatArray]:
    """Which rows and which columns of cells each box has: (N, h) and (N, w) ones."""
    rows = (boxes[:, 1, None] <= centres_y) & (centres_y < boxes[:, 3, None])
    columns = (boxes[:, 0, None] <= centres_x) & (centres_x < boxes[:, 2, None])
    return rows.astype(np.float32), columns.astype(np.float32)


def _covered(rows: FloatArray, columns: FloatArray) -> BoolArray:
    """(N, h), (N, w) -> (h, w): a cell is inside when some box has its row and its column."""
    return (rows.T @ columns) > 0


@dataclass(frozen=True, eq=False)
class ImageScores:
    """The separation of the maps of one image; NaN where the image is left out.

    Attributes
    ----------
    auroc : (M,) of each map against this image's boxes
    others : (M,) mean of each map's AUROC against other images' boxes
    """

    auroc: Values
    others: Values

    @property
    def separation(self) -> Values:
        """(M,) ``auroc - others``, -1..1."""
        return self.auroc - self.others


class Comparison:
    """Scores maps against the boxes of a data set.

    Which images an image is compared with depends on its place in the data set and on nothing else, so that every
    backbone, control and rerun is scored alike.

    Parameters
    ----------
    images : the data set; images without boxes count for nothing
    most : compare with all other images if there are no more than this, else with so many, drawn with `seed`
    seed : of the draw
    """

    def __init__(self, images: Sequence[ImageBoxes], most: int = COMPARISONS, seed: int = SEED) -> None:
        self.images = images
        self.most = most
        self.seed = seed
        self._boxed = np.array([k for k, image in enumerate(self.images) if len(image.boxes)], np.int64)

    def others(self, index: int) -> NDArray[np.int64]:
        """Places of the images that image `index` is compared with."""
        candidates: NDArray[np.int64] = self._boxed[self._boxed != index]
        if len(candidates) <= self.most:
            return candidates
        draw = np.random.default_rng([self.seed, index])
        return np.sort(draw.choice(candidates, self.most, replace=False))

    def score(self, index: int, values: NDArray[np.floating], centres_y: Values, centres_x: Values) -> ImageScores:
        """Score the maps of one image.

        Other images whose boxes, stretched to this image's frame, have no cell inside or none outside are left out of
        the mean.

        Parameters
        ----------
        index : the image's place in the data set
        values : (M, h, w) its maps
        centres_y, centres_x : (h,) and (w,) centres of the cells in image pixels
        """
        masks = self._stretched(index).masks(centres_y, centres_x)
        scores = aurocs(_cells(values, centres_y, centres_x), masks)
        return ImageScores(scores[:, 0], _mean_of_finite(scores[:, 1:]))

    def score_sizes(
        self, index: int, values: NDArray[np.floating], centres_y: Values, centres_x: Values
    ) -> dict[str, Values]:
        """Separation of the boxes of each of `SIZE_GROUPS` alone.

        Cells in boxes of another size count neither inside nor outside; other images enter with their boxes of that
        size.

        Parameters
        ----------
        index, values, centres_y, centres_x : as in `score`

        Returns
        -------
        for each group (M,) separations; NaN where the image has no such box, or none that holds a cell
        """
        candidates = self._stretched(index)
        cells = _cells(values, centres_y, centres_x)
        outside = ~candidates.masks(centres_y, centres_x)
        sides = box_cells(candidates.boxes, centres_y, centres_x)
        separation = {}
        for group, (low, high) in SIZE_GROUPS.items():
            inside = candidates.where((low <= sides) & (sides < high)).masks(centres_y, centres_x)
            scores = _aurocs_of_some(cells, inside, outside)
            separation[group] = scores[:, 0] - _mean_of_finite(scores[:, 1:])
        return separation

    def _stretched(self, index: int) -> _BoxSets:
        """This image's boxes, then those of the images it is compared with in this image's frame."""
        own = self.images[index]
        images = [own, *(self.images[k] for k in self.others(index))]
        counts = [len(one.boxes) for one in images]
        factors = np.array([[own.width / one.width, own.height / one.height] * 2 for one in images])
        boxes = np.concatenate([one.boxes for one in images]) * np.repeat(factors, counts, axis=0)
        return _BoxSets(boxes, np.cumsum([0, *counts]))


@dataclass(frozen=True, eq=False)
class _BoxSets:
    """The boxes of several images, one set behind the other: images have few, and each step for itself takes longer.

    Attributes
    ----------
    boxes : (N, 4) in pixels of one image
    edges : (K + 1,) where each of K sets begins, and where the last one ends
    """

    boxes: BoxArray
    edges: NDArray[np.int64]

    def where(self, wanted: BoolArray) -> _BoxSets:
        """The same sets with some of the boxes, (N,) bool."""
        return _BoxSets(self.boxes[wanted], np.append(0, np.cumsum(wanted))[self.edges])

    def masks(self, centres_y: Values, centres_x: Values) -> BoolArray:
        """(K, h * w) `inside_mask` of each set."""
        rows, columns = _spans(self.boxes, centres_y, centres_x)
        return np.stack([_covered(rows[a:b], columns[a:b]).ravel() for a, b in pairwise(self.edges.tolist())])


def _cells(values: NDArray[np.floating], centres_y: Values, centres_x: Values) -> Values:
    """(M, h, w) -> (M, h * w), checked against the grid."""
    if values.shape[1:] != (len(centres_y), len(centres_x)):
        raise ValueError(f"Expected maps of {len(centres_y)} x {len(centres_x)} cells. Received: {values.shape[1:]}")
    return values.reshape(len(values), -1).astype(np.float64)


def box_cells(boxes: BoxArray, centres_y: Values, centres_x: Values) -> Values:
    """(N, 4) boxes -> (N,) the side, in cells, of a square of their area."""
    cell_area = _spacing(centres_y) * _spacing(centres_x)
    return np.sqrt(box_areas(boxes) / cell_area)


def _spacing(centres: Values) -> float:
    """Image pixels from one cell to the next; a single cell covers twice what is before its centre."""
    return float(centres[1] - centres[0]) if len(centres) > 1 else max(2 * float(centres[0]), 1.0)


def _aurocs_of_some(values: Values, inside: BoolArray, outside: BoolArray) -> Values:
    """As `aurocs`, for masks that leave cells out: (M, n), (K, n), (K, n) -> (M, K).

    A cell inside wins against the outside cells below it and half of those level with it.
    """
    result = np.empty((len(values), len(inside)))
    pairs = inside.sum(axis=1) * outside.sum(axis=1)
    for row, cells in enumerate(values):
        order = np.argsort(cells, kind="stable")
        ordered = cells[order]
        starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))  # of each run of equal cells
        if np.isnan(cells).any():
            result[row] = np.nan
            continue
        n_inside = np.add.reduceat(inside[:, order], starts, axis=1, dtype=np.int64)
        n_outside = np.add.reduceat(outside[:, order], starts, axis=1, dtype=np.int64)
        below = np.cumsum(n_outside, axis=1) - n_outside / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            result[row] = np.where(pairs > 0, (n_inside * below).sum(axis=1) / pairs, np.nan)
    return result


def _mean_of_finite(scores: Values) -> Values:
    """(M, K) -> (M,) mean over the scores that are numbers; NaN where none is."""
    finite = np.isfinite(scores)
    count = finite.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count > 0, np.where(finite, scores, 0.0).sum(axis=1) / count, np.nan)
