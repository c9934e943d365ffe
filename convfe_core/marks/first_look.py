"""What a few marked photographs say of maps that are there already: AUROC of each map, S, and a careful sentence.

The numbers are those of a ranking run on the same boxes: the same comparison, resamples and verdict.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from convfe_core.base.arrays import FloatArray, Values
from convfe_core.base.wording import counted
from convfe_core.datasets.boxes import ImageBoxes
from convfe_core.maps.feature_maps import PICTURES, PROBE, REDUCTIONS, FeatureMaps
from convfe_core.ranking.sentence import FEWEST_IMAGES
from convfe_core.ranking.verdict import BackboneScores, MapScores, Ranking, rank_backbones, usable_by_all
from convfe_core.scoring.bootstrap import SEED
from convfe_core.scoring.separation import Comparison

FEWEST_FOR_S = 3
"""Marked photographs from which S is shown: two would be compared with each other alone."""


@dataclass(frozen=True, eq=False)
class MarkedMaps:
    """The maps of one marked photograph under one backbone.

    Attributes
    ----------
    label : of the backbone
    values : (h, w) each, by what the maps are called, such as ``max`` and ``mean``
    centres_y, centres_x : (h,) and (w,) centres of their cells, in the pixels that the marks are in
    """

    label: str
    values: Mapping[str, FloatArray]
    centres_y: Values
    centres_x: Values


def marked_maps(maps: FeatureMaps, image: ImageBoxes) -> MarkedMaps:
    """The maps of a photograph that was marked, whatever its size then; without a probe's that tells nothing."""
    down, across = image.height / maps.frame.image_height, image.width / maps.frame.image_width
    values = {name: own for name, own in maps.scalars.items() if name != PROBE or np.ptp(own) > 0}
    return MarkedMaps(maps.label, values, maps.centres_y * down, maps.centres_x * across)


@dataclass(frozen=True, eq=False)
class FirstLook:
    """What marks say so far.

    Attributes
    ----------
    aurocs : by name of the photograph, backbone and map; left out where no cell is inside a box, or none outside
    usable : marked photographs that S is over
    ranking : S of every backbone and map with its interval; None under `FEWEST_FOR_S` usable photographs
    text : one sentence
    """

    aurocs: Mapping[tuple[str, str, str], float]
    usable: int
    ranking: Ranking | None
    text: str

    def best(self, image: str, names: Collection[str] = REDUCTIONS) -> tuple[str, str] | None:
        """Backbone and map with the highest AUROC on a photograph; None where there are not two to choose from.

        Parameters
        ----------
        image : the photograph's name
        names : of the maps to choose from
        """
        found = {key[1:]: auroc for key, auroc in self.aurocs.items() if key[0] == image and key[2] in names}
        return max(found, key=lambda key: found[key]) if len(found) > 1 else None


def first_look(
    images: Sequence[ImageBoxes],
    found: Mapping[str, Sequence[MarkedMaps]],
    reduction: str = "mean",
    seed: int = SEED,
) -> FirstLook:
    """Score maps against marks.

    Parameters
    ----------
    images : the marked photographs, each under a name of its own
    found : by the name of the photograph its maps, of which those are scored that there are of every one; photographs
        that are left out here are compared with all the same
    reduction : the map that the sentence goes by
    seed : of all that is drawn

    Notes
    -----
    Images are taken in the order of their names, as a data set that was read from files has them: what is drawn
    depends on it.
    """
    images = sorted((image for image in images if len(image.boxes)), key=lambda image: image.image)
    comparison = Comparison(images, seed=seed)
    labels = list(dict.fromkeys(maps.label for image in images for maps in found.get(image.image, ())))
    every = [maps.values for image in images for maps in found.get(image.image, ())]
    names = [name for name in PICTURES if every and all(name in values for values in every)]
    auroc = np.full((len(labels), len(names), len(images)), np.nan)
    separation = auroc.copy()
    for place, image in enumerate(images):
        for maps in found.get(image.image, ()):
            row, values = labels.index(maps.label), np.stack([maps.values[name] for name in names])
            scores = comparison.score(place, values, maps.centres_y, maps.centres_x)
            auroc[row, :, place], separation[row, :, place] = scores.auroc, scores.separation
    scored = [
        BackboneScores(
            label, {name: MapScores(separation[row, k], auroc[row, k]) for k, name in enumerate(names)}, by_size={}
        )
        for row, label in enumerate(labels)
    ]
    usable = int(usable_by_all([one.usable for one in scored]).sum()) if scored else 0
    ranking = rank_backbones(scored, reduction, seed) if usable >= FEWEST_FOR_S else None
    return FirstLook(
        aurocs={
            (image.image, label, name): float(auroc[row, k, place])
            for place, image in enumerate(images)
            for row, label in enumerate(labels)
            for k, name in enumerate(names)
            if np.isfinite(auroc[row, k, place])
        },
        usable=usable,
        ranking=ranking,
        text=_in_words(len(images), usable, ranking),
    )


def _in_words(marked: int, usable: int, ranking: Ranking | None) -> str:
    if ranking is not None and usable >= FEWEST_IMAGES:
        return ranking.verdict.text
    if usable >= FEWEST_FOR_S:
        return (
            f"{counted(usable, 'image')}: a first look, no winner. One is named from {FEWEST_IMAGES} marked "
            "photographs on; with so few, intervals look surer than they are."
        )
    if marked >= FEWEST_FOR_S:
        return (
            f"{counted(marked, 'photograph')} marked, {usable} of them scored under every backbone: for S it takes "
            f"{FEWEST_FOR_S} with maps that are there, and boxes that hold some cells of a map and leave others out."
        )
    if marked:
        return (
            f"{counted(marked, 'photograph')} marked. S, which compares photographs with each other, is shown from "
            f"{FEWEST_FOR_S} on."
        )
    return "Draw boxes around your objects: every map gets its number at once."
