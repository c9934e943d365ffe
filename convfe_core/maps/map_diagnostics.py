"""Numbers that help to read one map without boxes. They do not rank backbones: an untrained one scores as well.

Every value is of the map scaled from its lowest to its highest cell; a constant map, which has no such scale, and a map
with values that are no numbers get 0 everywhere and a flag, never NaN.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from convfe_core.base.arrays import Values

AnyFloats = NDArray[np.floating]

LEVELS = 32
"""Grey levels that entropy is counted over; a map has tens to hundreds of cells, too few for 256."""
CAP_SHARE = 0.5
"""From this share of cells on at the highest value, a map is cut off at a cap."""
FLATNESS = 1e-6
"""A map whose range is below this share of its largest magnitude is flat: what is left is rounding."""


@dataclass(frozen=True)
class Diagnostics:
    """One map in numbers.

    Attributes
    ----------
    gini : 0 (all cells alike) to nearly 1 (one cell holds everything)
    moran : Moran's I over rook neighbours, -1 (chequered) over about 0 (noise) to 1 (smooth regions)
    clarity : ``gini * moran``
    otsu : share of the variance that the best two groups explain, 0..1
    entropy : of the values over 32 levels, 0..5 bits
    saturated : share of the cells at the highest value, 0..1; of a constant map 0
    dead : share of the channels that are 0 everywhere, 0..1
    flat : whether the map is constant
    finite : whether every value is a number
    """

    gini: float
    moran: float
    clarity: float
    otsu: float
    entropy: float
    saturated: float
    dead: float
    flat: bool
    finite: bool

    def numbers(self) -> list[float]:
        """Its `NUMBERS`, then flat and finite as 0 or 1."""
        return [float(value) for value in astuple(self)]


NUMBERS = tuple(one.name for one in fields(Diagnostics))[:-2]
"""The names of what a map's diagnostics measure."""


def diagnose_map(values: AnyFloats, dead: float = 0.0) -> Diagnostics:
    """Put one map into numbers.

    Parameters
    ----------
    values : (h, w)
    dead : share of the backbone's channels that are 0 on every cell, which the map itself cannot tell
    """
    finite = bool(np.isfinite(values).all())
    flat = finite and _is_flat(values)
    if not finite or flat:
        return Diagnostics(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, dead, flat, finite)
    scaled = scale_to_unit(values)
    gini, moran = gini_index(scaled), morans_i(scaled)
    return Diagnostics(
        gini=gini,
        moran=moran,
        clarity=gini * moran,
        otsu=otsu_separability(scaled),
        entropy=value_entropy(scaled),
        saturated=saturated_share(values),
        dead=dead,
        flat=False,
        finite=True,
    )


def map_warning(values: AnyFloats) -> str | None:
    """Say in plain words why a map cannot be trusted, or None where nothing speaks against it.

    Parameters
    ----------
    values : (h, w)
    """
    broken = 1 - float(np.isfinite(values).mean())
    if broken:
        return f"{_percent(broken)} of the cells are no numbers: the network overflowed or its weights are damaged"
    if values.size == 1:
        return "a single cell: the image is too small for this map, take a larger size"
    if _is_flat(values):
        return "flat: every cell has the same value, there is nothing to see"
    capped = saturated_share(values)
    if capped >= CAP_SHARE:
        return f"cut off: {_percent(capped)} of the cells are at the highest value, differences above it are lost"
    return None


def scale_to_unit(values: AnyFloats) -> Values:
    """Scale finite values from lowest to highest to 0..1; a constant map becomes 0."""
    exact = values.astype(np.float64)
    low, high = exact.min(), exact.max()
    # Halves keep the range of two huge values finite.
    span = high / 2 - low / 2
    return np.zeros_like(exact) if span <= 0 else (exact / 2 - low / 2) / span


def gini_index(values: AnyFloats) -> float:
    """Gini coefficient of values >= 0: half the mean absolute difference of all pairs over the mean; 0 if all are 0."""
    ordered = np.sort(values, axis=None).astype(np.float64)
    n, total = ordered.size, ordered.sum()
    if total <= 0:
        return 0.0
    places = 2 * np.arange(1, n + 1) - n - 1
    return float((places * ordered).sum() / (n * total))


def morans_i(values: AnyFloats) -> float:
    """Moran's I with rook neighbours of weight one (P. Moran, Biometrika 37, 1950); 0 for a constant map."""
    deviations = values.astype(np.float64) - values.mean(dtype=np.float64)
    variance = (deviations**2).sum()
    neighbours = 2 * values.size - values.shape[0] - values.shape[1]
    if variance <= 0 or neighbours == 0:
        return 0.0
    products = (deviations[1:] * deviations[:-1]).sum() + (deviations[:, 1:] * deviations[:, :-1]).sum()
    return float(values.size / neighbours * products / variance)


def otsu_separability(values: AnyFloats) -> float:
    """Variance between the two groups of Otsu's threshold over the whole variance (N. Otsu, 1979); 0 if constant."""
    from skimage.filters import threshold_otsu

    exact = values.astype(np.float64)
    variance = exact.var()
    if variance <= 0:
        return 0.0
    above = exact > threshold_otsu(exact)
    share = above.mean()
    if share in (0.0, 1.0):
        return 0.0
    gap = exact[above].mean() - exact[~above].mean()
    return float(share * (1 - share) * gap**2 / variance)


def value_entropy(values: AnyFloats) -> float:
    """Shannon entropy, in bits, of values in 0..1 over `LEVELS` equal levels: 0..5."""
    counts, _ = np.histogram(values, bins=LEVELS, range=(0.0, 1.0))
    from scipy.special import entr

    return float(entr(counts / counts.sum()).sum() / np.log(2))


def average_ranks(values: AnyFloats) -> Values:
    """The rank of each value, from 1 for the lowest; equal values share the average of theirs.

    As ``scipy.stats.rankdata``, which takes longer to import than the rest of a first page.

    Parameters
    ----------
    values : (n,), none of them NaN

    Returns
    -------
    (n,)
    """
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Values = np.cumsum(counts) - (counts - 1) / 2
    return ranks[places]


def saturated_share(values: AnyFloats) -> float:
    """Share of the cells that have the highest value, beyond the one that always has it; 0..1."""
    at_top = int((values == values.max()).sum())
    return at_top / values.size if at_top > 1 else 0.0


def _is_flat(values: AnyFloats) -> bool:
    low, high = float(values.min()), float(values.max())
    return high - low <= FLATNESS * max(abs(low), abs(high))


def _percent(share: float) -> str:
    return "under 1 %" if share < 0.01 else f"{share:.0%}".replace("%", " %")
