"""Names for the arrays that pass between modules; shapes stand where each is used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PixelArray = NDArray[np.uint8]
"""Pixels, 0 to 255; usually (H, W, 3) RGB."""

FloatArray = NDArray[np.float32]
"""What networks compute: feature maps, features."""

Values = NDArray[np.float64]
"""What is computed from those: scores, intervals, statistics."""

BoxArray = NDArray[np.float64]
"""(N, 4) boxes as x_min, y_min, x_max, y_max, in pixels."""
