"""LogME, a number that is to tell from features and labels how well a model transfers.

The logarithm of the evidence of a Bayesian linear model of the features, maximised over the precisions of its prior and
its noise, averaged over classes and samples (K. You et al., "LogME: Practical Assessment of Pre-trained Models for
Transfer Learning", arXiv 2102.11005, section 4; the fixed-point iteration of section 4.3).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convfe_core.base.arrays import Values

_ROUNDS, _CLOSE, _TINY = 100, 1e-4, 1e-10


def logme(features: Values, labels: Sequence[str]) -> float:
    """How well features explain labels; more is better.

    Parameters
    ----------
    features : (N, D)
    labels : N classes, two or more of them
    """
    vectors, lengths, _ = np.linalg.svd(np.asarray(features, np.float64), full_matrices=False)
    names = np.asarray(labels)
    return float(
        np.mean([_evidence(vectors, lengths**2, features.shape[1], names == name) for name in np.unique(names)])
    )


def _evidence(vectors: Values, strengths: Values, width: int, members: Values) -> float:
    """Of one class against the others, per sample."""
    target = np.asarray(members, np.float64)
    samples = len(target)
    along = (vectors.T @ target) ** 2
    beside = max(float(target @ target - along.sum()), 0.0)
    prior, noise = 1.0, 1.0
    for _ in range(_ROUNDS):
        ratio = prior / noise
        used = float((strengths / (strengths + ratio)).sum())
        weight = float((strengths * along / (strengths + ratio) ** 2).sum())
        error = float((along * (ratio / (strengths + ratio)) ** 2).sum()) + beside
        prior, noise = used / (weight + _TINY), (samples - used) / (error + _TINY)
        if abs(prior / noise - ratio) <= _CLOSE * ratio:
            break
    spread = float(np.log(prior + noise * strengths).sum()) + (width - len(strengths)) * np.log(prior)
    fit = noise * error + prior * weight
    return float((width * np.log(prior) + samples * np.log(noise / (2 * np.pi)) - spread - fit) / (2 * samples))
