"""The numbers in a weight file: how many, whose, and whether a disk spoiled them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from convfe_core.catalog.architectures import ARCHITECTURES, Architecture

HUGE = 1e6
"""No trained weight is as large as this."""
LOST_NUMBERS = 16_384
"""More zeros than this in a row (64 kB of a file) are a hole in it."""


@contextmanager
def open_arrays(path: Path) -> Iterator[list[Any]]:
    """Open a weight file and list its arrays as HDF5 datasets, the optimizer's left out.

    A ``.keras`` file is an archive with an HDF5 file inside.
    """
    import h5py

    with zipfile.ZipFile(path) if zipfile.is_zipfile(path) else nullcontext() as archive:
        whole = path if archive is None else io.BytesIO(archive.read("model.weights.h5"))
        with h5py.File(whole, "r") as file:
            found: list[Any] = []

            def visit(name: str, node: Any) -> None:
                if isinstance(node, h5py.Dataset) and not name.startswith("optimizer"):
                    found.append(node)

            file.visititems(visit)
            yield found


def count_numbers(path: Path) -> int | None:
    """How many numbers the weights in a file are; None if it cannot be read."""
    try:
        with open_arrays(path) as arrays:
            return sum(int(array.size) for array in arrays)
    except (OSError, RuntimeError, KeyError, zipfile.BadZipFile):
        return None


def identify_weights(path: Path) -> Architecture | None:
    """Guess by the count of its numbers which architecture a file of weights alone belongs to."""
    count = count_numbers(path)
    return next((architecture for architecture in ARCHITECTURES if architecture.parameters == count), None)


def look_spoiled(path: Path) -> bool:
    """Whether some number is not finite or huge, or a long stretch of them is missing.

    For files without a digest. Keras has none for MobileNet V1 and V2, and their bytes differ where their numbers do
    not: the 0.35 wide V2 is about as a file of 2,019,640 bytes and as one of 2,028,672. What a disk spoils becomes
    zeros or noise. Of floats made of noise two in five are huge; trained weights and statistics stay below some
    thousands, and a dead channel has fewer zeros in a row than `LOST_NUMBERS`.
    """
    try:
        with open_arrays(path) as arrays:
            for array in arrays:
                values = np.ravel(array[()])
                ends = np.flatnonzero(np.concatenate([[True], values != 0, [True]]))
                if not np.all(np.abs(values) < HUGE) or np.diff(ends).max() > LOST_NUMBERS:  # NaN is not below it
                    return True
    except OSError:
        return True
    return False
