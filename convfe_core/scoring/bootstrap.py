"""How sure a mean over images is: whole images are drawn again, with replacement, and the mean is taken anew.

Percentile intervals (B. Efron and R. Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13); several
comparisons at once are adjusted after S. Holm, "A simple sequentially rejective multiple test procedure", 1979.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convfe_core.base.arrays import Values

RESAMPLES = 2000
CONFIDENCE = 0.95
SEED = 0
_BLOCK = 4_000_000
"""Numbers held at once while resampling."""


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval is."""
        return self.low > 0


def image_draws(
    images: int, seed: int = SEED, resamples: int = RESAMPLES, columns: int = 1
) -> Iterator[NDArray[np.int64]]:
    """Draw images with replacement; the same seed and number of images give the same draws.

    Parameters
    ----------
    images : how many there are, at least one
    columns : how many numbers a caller holds for each image, so that blocks stay small

    Yields
    ------
    (R, images) places of the images drawn, in blocks that add up to `resamples` rows
    """
    if images < 1:
        raise ValueError(f"Expected at least one image. Received: {images}")
    random = np.random.default_rng(seed)
    # The block's rows do not change the draws: the generator is asked for them one after the other.
    rows = max(1, _BLOCK // (images * columns))
    for start in range(0, resamples, rows):
        yield random.integers(0, images, (min(rows, resamples - start), images))


def resampled_means(scores: Values, seed: int = SEED, resamples: int = RESAMPLES) -> Values:
    """Mean of every column over every draw of images.

    Parameters
    ----------
    scores : (N, K) one row an image, without NaN; columns share the draws, so their differences are paired

    Returns
    -------
    (resamples, K)
    """
    draws = image_draws(len(scores), seed, resamples, scores.shape[1])
    return np.concatenate([scores[draw].mean(axis=1) for draw in draws])


def interval(means: Values, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Percentile interval of resampled means, (R,) -> (low, high)."""
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def estimate(scores: Values, means: Values) -> Estimate:
    """The mean of (N,) scores with the interval of its (R,) resampled means."""
    return Estimate(float(scores.mean()), *interval(means))


def holm_intervals(means: Values, confidence: float = CONFIDENCE) -> list[tuple[float, float, bool]]:
    """Intervals of several differences, adjusted so that the chance of any false finding stays below 5 %.

    The clearest difference is held to ``1 - alpha / m``, the next to ``1 - alpha / (m - 1)`` and so on; after the first
    one that includes 0, none counts.

    Parameters
    ----------
    means : (R, m) resampled means of m differences

    Returns
    -------
    for each difference (low, high, differs)
    """
    resamples, count = means.shape
    tail = np.minimum((means <= 0).sum(axis=0), (means >= 0).sum(axis=0)) / max(resamples, 1)
    spread = means.std(axis=0)
    clear = np.abs(means.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    found: list[tuple[float, float, bool]] = [(0.0, 0.0, False)] * count
    differs = True
    for step, place in enumerate(np.lexsort((-clear, tail))):
        low, high = interval(means[:, place], 1 - (1 - confidence) / (count - step))
        differs = differs and not low <= 0 <= high
        found[place] = (low, high, differs)
    return found
