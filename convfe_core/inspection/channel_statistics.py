"""What a network's channels do over several photographs, gathered one photograph at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convfe_core.base.arrays import FloatArray, Values
from convfe_core.scoring.separation import auroc

POOLED = 4
"""Side of the grid on which maps of different photographs are compared."""
CELLS = 512
"""Most cells that the effective rank is computed of, drawn evenly over the photographs."""
SAME = 1e-3
"""A channel ignores the image when its maps differ between images by less than this share of their magnitude."""
LEAST_FOR_BORDER = 5
"""A map needs so many rows and columns to have a border and an inside."""


@dataclass(frozen=True, eq=False)
class ChannelStatistics:
    """What channels do over all photographs.

    Attributes
    ----------
    images, cells : how many were seen
    dead : channels that are never above zero
    ignoring : channels that are alive and whose map is the same for every photograph; empty for one photograph
    image_share : how much the mean map differs between photographs, as a share of its magnitude; NaN for one
    saturated : share of the values that are at the largest value there is
    not_finite : share of the values that are NaN or infinite
    rank : effective number of different channels, RankMe (see `effective_rank`)
    most_rank : what the rank could be at most
    border : how often a cell on the border of the mean map is stronger than one inside, the mean over photographs of
        `border_lead`; NaN where maps are too small or constant
    """

    images: int
    cells: int
    channels: int
    dead: NDArray[np.intp]
    ignoring: NDArray[np.intp]
    image_share: float
    saturated: float
    not_finite: float
    rank: float
    most_rank: int
    border: float


class ChannelGatherer:
    """Takes feature maps one by one, keeping little of each."""

    def __init__(self, photographs: int) -> None:
        self._each = max(1, CELLS // max(1, photographs))
        self._pooled: list[Values] = []
        self._means: list[Values] = []
        self._sample: list[FloatArray] = []
        self._highest: list[FloatArray] = []
        self._top: list[tuple[float, int]] = []
        self._borders: list[float] = []
        self._cells = self._bad = 0

    def add(self, values: FloatArray) -> None:
        """Take the (h, w, C) feature map of one photograph."""
        finite = np.isfinite(values)
        self._bad += int(values.size - finite.sum())
        values = values if finite.all() else np.where(finite, values, 0).astype(np.float32)
        height, width, channels = values.shape
        self._cells += height * width
        flat = values.reshape(-1, channels)
        places = np.linspace(0, len(flat) - 1, min(self._each, len(flat))).astype(int)
        self._sample.append(flat[places])
        self._pooled.append(_pool(values))
        self._highest.append(flat.max(axis=0))
        top = float(values.max())
        self._top.append((top, int((values == top).sum())))
        mean = values.mean(axis=-1)
        self._means.append(_pool(mean[..., None]))
        if min(height, width) >= LEAST_FOR_BORDER and np.ptp(mean) > 0:
            self._borders.append(border_lead(mean))

    def finish(self) -> ChannelStatistics:
        """Say what was seen; at least one photograph must have been."""
        pooled, highest = np.stack(self._pooled), np.stack(self._highest).max(axis=0)
        dead = np.flatnonzero(highest <= 0)
        several = len(pooled) > 1
        magnitude = np.abs(pooled).max(axis=(0, 1))
        change = np.ptp(pooled, axis=0).max(axis=0)
        same = (change <= SAME * magnitude) & (highest > 0)
        sample = np.concatenate(self._sample)
        top = max(value for value, _ in self._top)
        at_top = sum(count for value, count in self._top if value == top)
        means = np.stack(self._means)
        total = self._cells * len(highest)
        return ChannelStatistics(
            images=len(pooled),
            cells=self._cells,
            channels=len(highest),
            dead=dead,
            ignoring=np.flatnonzero(same) if several else np.empty(0, np.intp),
            image_share=float(np.ptp(means, axis=0).max() / max(np.abs(means).max(), 1e-30)) if several else np.nan,
            saturated=at_top / total if at_top > 1 and top > 0 else 0.0,
            not_finite=self._bad / total,
            rank=effective_rank(sample),
            most_rank=min(sample.shape),
            border=float(np.mean(self._borders)) if self._borders else np.nan,
        )


def _pool(values: FloatArray) -> Values:
    """(h, w, C) to (POOLED * POOLED, C): means over an even grid, so that maps of different sizes compare."""
    rows = np.array_split(np.arange(values.shape[0]), min(POOLED, values.shape[0]))
    columns = np.array_split(np.arange(values.shape[1]), min(POOLED, values.shape[1]))
    down = np.stack([values[part].mean(axis=0, dtype=np.float64) for part in rows])
    cells = np.stack([down[:, part].mean(axis=1) for part in columns], axis=1)
    grown = cells.repeat(-(-POOLED // len(rows)), axis=0)[:POOLED].repeat(-(-POOLED // len(columns)), axis=1)
    return grown[:, :POOLED].reshape(POOLED * POOLED, -1)


def effective_rank(features: FloatArray) -> float:
    """RankMe: the exponential of the entropy of the singular values, each divided by their sum.

    Parameters
    ----------
    features : (N, C), one row a cell

    Returns
    -------
    between 1 (all rows are multiples of one) and min(N, C); 0 where everything is zero

    References
    ----------
    Garrido et al. 2023, https://arxiv.org/abs/2210.02885

    Examples
    --------
    >>> effective_rank(np.eye(4, dtype=np.float32))
    4.0
    """
    values = np.linalg.svd(features.astype(np.float64), compute_uv=False)
    if not values.sum() > 0:
        return 0.0
    shares = values / values.sum()
    shares = shares[shares > 1e-12]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def border_lead(values: FloatArray) -> float:
    """The probability that a cell on a map's outermost ring is stronger than one inside, ties one half.

    Parameters
    ----------
    values : (h, w), at least 3 each

    Returns
    -------
    0..1; 0.5 by chance, whatever the map's size

    Examples
    --------
    >>> border_lead(np.pad(np.zeros((8, 8), np.float32), 1, constant_values=1))
    1.0
    """
    ring = np.ones(values.shape, bool)
    ring[1:-1, 1:-1] = False
    return auroc(values, ring)
