"""How far the statistics that a BatchNormalization keeps are from those of what enters it."""

from __future__ import annotations

from typing import Any

import numpy as np

from convfe_core.base.arrays import Values


def is_initial(layer: Any) -> bool:
    """Whether a BatchNormalization was never trained: its statistics, its gain and its shift have their first values.

    One whose gain or shift moved while its statistics did not was trained, and is broken.
    """
    gains = [np.asarray(gain) for gain in (layer.gamma,) if gain is not None]
    zeros = [np.asarray(shift) for shift in (layer.moving_mean, layer.beta) if shift is not None]
    ones = [np.asarray(layer.moving_variance), *gains]
    return not any(values.any() for values in zeros) and all(bool((values == 1).all()) for values in ones)


def stored_statistics(layer: Any) -> tuple[Values, Values]:
    """The mean and the variance that a BatchNormalization keeps, (C,) each."""
    return np.asarray(layer.moving_mean, np.float64), np.asarray(layer.moving_variance, np.float64)


def norm_divergence(mean: Values, variance: Values, stored: tuple[Values, Values]) -> tuple[float, float]:
    """Compare what enters a BatchNormalization with what it keeps.

    Parameters
    ----------
    mean, variance : (C,) of what enters
    stored : from `stored_statistics`

    Returns
    -------
    the Kullback-Leibler divergence of normal distributions, in nats, and the ratio of spreads, medians over channels
    """
    stored_mean, stored_variance = stored
    # Channels that hardly vary in training or are dead say nothing about the scale of what enters.
    floor = 1e-3 * max(float(np.median(stored_variance)), 1e-12)
    theirs, ours = stored_variance + floor, variance + floor
    divergence = 0.5 * (np.log(theirs / ours) + (ours + (mean - stored_mean) ** 2) / theirs - 1)
    return float(np.median(divergence)), float(np.median(np.sqrt(ours / theirs)))
