"""What one map says about itself: whether it can be trusted at all."""

from __future__ import annotations

import numpy as np

from convfe_core.maps import FloatArray

SATURATED_SHARE = 0.5
"""From this share of cells at the highest value on, a map counts as saturated."""


def map_warning(values: FloatArray) -> str | None:
    """Why a map cannot be trusted, in a few plain words; None when nothing is wrong.

    Parameters
    ----------
    values : (h, w) float32

    Examples
    --------
    >>> map_warning(np.zeros((2, 2), np.float32))
    'flat: every cell is 0'
    """
    finite = np.isfinite(values)
    if not finite.all():
        return f"not a number in {np.mean(~finite):.0%} of the cells"
    if values.size and np.ptp(values) <= 1e-6 * float(np.abs(values).max()):
        return f"flat: every cell is {float(values.flat[0]):.3g}"
    capped = float(np.mean(values >= values.max()))
    if capped >= SATURATED_SHARE:
        return f"saturated: {capped:.0%} of the cells are at {float(values.max()):.3g}"
    return None
