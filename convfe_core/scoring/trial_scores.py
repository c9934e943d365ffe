"""What a small detector, trained on a backbone's frozen features, found in images that it had not seen."""

from __future__ import annotations

from dataclasses import dataclass

from convfe_core.base.arrays import Values
from convfe_core.scoring.bootstrap import Estimate

FEWEST_TRIAL_IMAGES = 40
"""Under so many images with boxes a trial names no winner."""


@dataclass(frozen=True, eq=False)
class TrialScores:
    """How well the trial detector of one backbone finds boxes in held-out images, whatever their classes.

    Attributes
    ----------
    ap50 : average precision at an IoU of .5 over all held-out images together, 0..1, with its interval over images
    ap : mean of the average precisions at IoUs of .5 to .95
    recall : share of the boxes that are found, 0..1
    images : with boxes, that it was tried on
    seconds : that it took
    resampled : (R,) AP50 of every resample of the images, of `convfe_core.scoring.bootstrap.image_draws` with the
        ranking's seed, so that those of two backbones on the same images are paired; ``ap50`` has its interval from
        these
    control : the same of the untrained control, None where there is none
    """

    ap50: Estimate
    ap: float
    recall: float
    images: int
    seconds: float
    resampled: Values
    control: TrialScores | None = None
