"""Mean and covariance of features over the cells of many photographs, in memory that does not grow with them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convfe_core.base.arrays import FloatArray
from convfe_core.machine.one_blas_thread import one_blas_thread

Moments64 = NDArray[np.float64]

NO_VARIANCE = 1e-10
"""A component with less than this share of the cells' mean square is rounding: features of float32 hold no more."""


class CellMoments:
    """Running sums over the cells of photographs, every photograph weighing the same however many cells it has.

    Sums of several sets of photographs can be added, and those of a part subtracted, as folds of a cross-validation do.

    Parameters
    ----------
    channels : features of each cell, C
    """

    def __init__(self, channels: int) -> None:
        # The product of the columns (features, target, 1) with themselves holds every sum that is needed. It is
        # symmetric: below its diagonal there are zeros, which half the work, and Fortran's order has BLAS add in place.
        self._upper: Moments64 = np.zeros((channels + 2, channels + 2), order="F")

    def add(self, cells: FloatArray, targets: NDArray[np.generic] | None = None) -> None:
        """Add one photograph.

        Parameters
        ----------
        cells : (n, C) finite features of its cells, n >= 1
        targets : (n,) what each cell should be told apart by, such as whether it lies in a box; None for 0
        """
        if not len(cells):
            raise ValueError("Expected at least one cell. Received: none")
        from scipy.linalg.blas import dsyrk

        columns = np.ones((len(cells), len(self._upper)))
        columns[:, :-2] = cells
        columns[:, -2] = 0 if targets is None else targets
        with one_blas_thread():
            self._upper = dsyrk(1 / len(cells), columns.T, beta=1.0, c=self._upper, overwrite_c=True)

    def __add__(self, other: CellMoments) -> CellMoments:
        return self._with(self._upper + other._upper)

    def __sub__(self, other: CellMoments) -> CellMoments:
        return self._with(self._upper - other._upper)

    def _with(self, upper: Moments64) -> CellMoments:
        made = CellMoments(len(upper) - 2)
        made._upper = np.asfortranarray(upper)
        return made

    def along(self, directions: Moments64) -> CellMoments:
        """The sums of the features' components along (C, k) directions, with the same targets."""
        from scipy.linalg.blas import dsymm

        lift = np.zeros((len(self._upper), directions.shape[1] + 2), order="F")
        lift[:-2, :-2] = directions
        lift[-2:, -2:] = np.eye(2)
        with one_blas_thread():
            return self._with(np.triu(lift.T @ dsymm(1, self._upper, lift)))

    @property
    def channels(self) -> int:
        """Features of each cell, C."""
        return len(self._upper) - 2

    @property
    def photographs(self) -> int:
        """How many were added."""
        return round(float(self._upper[-1, -1]))

    @property
    def mean(self) -> Moments64:
        """(C,) mean of the features."""
        return self._means[:-1]

    @property
    def covariance(self) -> Moments64:
        """(C, C) covariance of the features."""
        return self._covariances[:-1, :-1]

    @property
    def target_mean(self) -> float:
        """Mean of the targets."""
        return float(self._means[-1])

    @property
    def target_covariance(self) -> Moments64:
        """(C,) covariance of the features with the target."""
        return self._covariances[:-1, -1]

    def principal_components(self, count: int) -> tuple[Moments64, Moments64]:
        """Find the directions in which the features vary most, the sign of each such that its largest loading is > 0.

        Parameters
        ----------
        count : how many, at most; there are fewer where the features vary in fewer directions

        Returns
        -------
        (C, k) orthonormal directions, and the (k,) variances along them, the largest first
        """
        with one_blas_thread():
            directions, variances = _largest_eigenvectors(self.covariance, min(count, self.channels))
        strong = variances > NO_VARIANCE * (variances[0] + self.mean @ self.mean)
        directions, variances = directions[:, strong], variances[strong]
        largest = np.abs(directions).argmax(axis=0)
        return directions * np.sign(directions[largest, np.arange(len(variances))]), variances

    @property
    def _means(self) -> Moments64:
        """(C + 1,), the target last."""
        if not self.photographs:
            raise ValueError("Expected moments of at least one photograph. Received: of none")
        return self._upper[:-1, -1] / self.photographs

    @property
    def _covariances(self) -> Moments64:
        """(C + 1, C + 1), the target last."""
        means = self._means
        return _symmetric(self._upper[:-1, :-1]) / self.photographs - np.outer(means, means)


def _symmetric(upper: Moments64) -> Moments64:
    """The symmetric matrix of which this is the part on and above the diagonal."""
    return upper + np.triu(upper, 1).T


def _largest_eigenvectors(matrix: Moments64, count: int) -> tuple[Moments64, Moments64]:
    """Columns of eigenvectors, and their values, the largest first; few of many by ARPACK, ten times as fast."""
    from scipy.linalg import eigh
    from scipy.sparse.linalg import eigsh

    size = len(matrix)
    if 10 * count < size and np.trace(matrix) > 0:
        values, vectors = eigsh(matrix, count, v0=np.ones(size))
    else:
        values, vectors = eigh(matrix, subset_by_index=(size - count, size - 1))
    return vectors[:, ::-1], values[::-1]
