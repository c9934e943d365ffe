"""The learned picture of Compare: what a cell probe predicts on a photograph that learned from the boxes of others.

Whole features are kept where they are few enough, so that the picture follows the boxes and no backbone runs again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from convfe_core.base.arrays import BoxArray, FloatArray
from convfe_core.base.errors import ConvfeError
from convfe_core.base.wording import in_words
from convfe_core.catalog.specs import Spec
from convfe_core.machine.machine_queue import MACHINE
from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.marks.marked_photos import boxes_on, with_names_of_their_own
from convfe_core.photos.photo import Photo
from convfe_core.scoring.cell_probe import held_out_maps, lack_of_room, run_held_out_maps
from pages.app.compute_maps import Work
from pages.app.session import LEARNED
from pages.app.words import plain, told
from pages.marks.kept_marks import marks_of

FEWEST_MARKED = 3
"""Photographs with boxes from which on a probe may learn from the others."""


@dataclass(frozen=True, eq=False)
class Learned:
    """What a cell probe predicts under one backbone.

    Attributes
    ----------
    asked : all that it depends on
    maps : (h, w) each, by digest of the photograph
    reason : why there are none, or None
    """

    asked: object
    maps: Mapping[str, FloatArray]
    reason: str | None = None


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a probe learns from, and where.

    Attributes
    ----------
    photos : those with boxes in the order of their names, as a ranking has them, then the others that are shown
    boxes : (N, 4) of each in its pixels
    marks : what the boxes were made of
    """

    photos: tuple[Photo, ...]
    boxes: tuple[BoxArray, ...]
    marks: tuple[object, ...]

    def under(self, work: Work, spec: Spec) -> object:
        """All that the maps under a backbone depend on."""
        return [work.key(photo, spec) for photo in self.photos], self.marks

    def of(self, digests: Collection[str]) -> Lesson:
        """The part of it that is about some photographs."""
        part = [(photo, boxes) for photo, boxes in zip(self.photos, self.boxes, strict=True) if photo.digest in digests]
        photos, boxes = zip(*part, strict=True) if part else ((), ())
        return replace(self, photos=photos, boxes=boxes)


def can_learn(photos: Sequence[Photo]) -> bool:
    """Whether enough photographs have boxes."""
    return sum(len(marks_of(photo).boxes) > 0 for photo in photos) >= FEWEST_MARKED


def learn_maps(photos: Sequence[Photo], work: Work, place: DeltaGenerator) -> dict[str, Learned]:
    """Learn under every backbone; what was learned from the same boxes is not learned again.

    Parameters
    ----------
    photos : all that are chosen
    place : for what there is to say, and for the button where a backbone would have to run at each change of a box

    Returns
    -------
    by label of the backbone
    """
    lesson, learned = _lesson(photos, work), LEARNED.get()
    _forget_others(work, lesson)
    large = [spec for spec in work.specs if spec not in learned and not _learn_from_kept(work, spec, lesson)]
    if large:
        notice = place.empty()
        if _asked_to_run(large, notice.container()):
            for spec in large:
                _learn_by_running(work, spec, lesson)
            notice.empty()
    for spec, one in learned.items():
        if one.reason is not None:
            place.caption(f":material/info: **{plain(spec.label)}** has no probe map: {plain(one.reason)}.")
    return {spec.label: one for spec, one in learned.items()}


def join_probe(found: Sequence[FeatureMaps], learned: Mapping[str, Learned]) -> list[FeatureMaps]:
    """Maps of a photograph with the probe's beside them, which is 0 everywhere where it learned nothing."""
    return [
        replace(maps, probe=values if values is not None else np.zeros_like(maps.mean))
        for maps in found
        for values in [learned[maps.label].maps.get(maps.digest) if maps.label in learned else None]
    ]


def _forget_others(work: Work, lesson: Lesson) -> None:
    """Drop what was learned from other boxes or for other backbones."""
    learned = LEARNED.get()
    for spec in list(learned):
        if spec not in work.specs or learned[spec].asked != lesson.under(work, spec):
            del learned[spec]


def _lesson(photos: Sequence[Photo], work: Work) -> Lesson:
    marks = {photo.digest: one for photo in photos if len((one := marks_of(photo)).boxes)}
    names = with_names_of_their_own(marks)
    marked = sorted((photo for photo in photos if photo.digest in marks), key=lambda photo: names[photo.digest].image)
    others = [photo for photo in work.together or work.photos if photo.digest not in marks]
    boxes = [boxes_on(photo, marks[photo.digest]) for photo in marked]
    return Lesson(
        (*marked, *others),
        (*boxes, *(np.empty((0, 4)) for _ in others)),
        tuple(marks[photo.digest] for photo in marked),
    )


def _learn_from_kept(work: Work, spec: Spec, lesson: Lesson) -> bool:
    """Learn from features in memory; whether there is room for them."""
    features = work.features(spec, lesson.photos)
    if features is None:
        return False
    asked, lesson = lesson.under(work, spec), lesson.of({*features})
    if features:
        work.slot.progress(1.0, text=f"{plain(spec.label)}: learning from boxes")
        with MACHINE.passing(partial(work.wait, spec)):
            found = [features[photo.digest] for photo in lesson.photos]
            lack = lack_of_room(found[0].components.shape[-1])
            maps, reason = ([], lack) if lack else held_out_maps(found, lesson.boxes)
        _keep(spec, asked, lesson, maps, reason)
    return True


def _learn_by_running(work: Work, spec: Spec, lesson: Lesson) -> None:
    """Learn while a backbone runs over the photographs, twice."""
    asked, backbone = lesson.under(work, spec), work.load(spec)
    if backbone is None:
        return
    lesson = lesson.of({photo.digest for photo in lesson.photos if work.fits(backbone, spec, photo)})
    count = len(lesson.photos)

    def tell(done: int) -> None:
        text = f"{plain(spec.label)}: learning from boxes, image {(done - 1) % count + 1} of {count}"
        work.slot.progress(done / (2 * count), text=text)

    lack = lack_of_room(backbone.channels)
    if lack or not count:
        _keep(spec, asked, lesson, [], lack or "no photograph can be run")
        return
    try:
        maps, reason = run_held_out_maps(
            backbone, lesson.photos, lesson.boxes, work.size, partial(work.wait, spec), tell
        )
    except ConvfeError as error:
        work.failed[spec.label, ""] = told(error)
        return
    _keep(spec, asked, lesson, maps, reason)


def _keep(spec: Spec, asked: object, lesson: Lesson, maps: Sequence[FloatArray], reason: str | None) -> None:
    by_digest = {photo.digest: values for photo, values in zip(lesson.photos, maps, strict=reason is None)}
    LEARNED.get()[spec] = Learned(asked, by_digest, reason)


def _asked_to_run(specs: Sequence[Spec], place: DeltaGenerator) -> bool:
    """Offer to run backbones whose features are too many to be kept."""
    with place:
        st.caption(
            f":material/info: Under {plain(in_words([spec.label for spec in specs]))} the photographs have more "
            "features than are kept in memory, so that the probe's maps do not follow the boxes by themselves."
        )
        return st.button(
            "Learn from the boxes",
            key="probe-learn",
            icon=":material/school:",
            help="Runs these backbones twice over every photograph with boxes and all that are shown.",
        )
