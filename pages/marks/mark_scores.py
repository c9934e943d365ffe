"""What marks say of maps that were computed already; no backbone runs here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from convfe_core.drawing.map_traces import Look
from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.marks.first_look import FirstLook, first_look, marked_maps
from convfe_core.marks.marked_photos import with_names_of_their_own
from convfe_core.photos.photo import Photo
from pages.app.compute_maps import Work
from pages.app.session import LAST_LOOK
from pages.marks.kept_marks import marks_of
from pages.marks.learned_maps import Learned, join_probe


@dataclass(frozen=True)
class RowScores:
    """What is said on the panels of a row.

    Attributes
    ----------
    notes : by name of the map, its AUROC
    outlined : the name of the best map, if there is one
    """

    notes: dict[str, str] = field(default_factory=dict)
    outlined: tuple[str, ...] = ()


WIDE = 160
"""Pixels across a panel that has room for a word before the number above it."""


def score_row(photo: Photo, found: Sequence[FeatureMaps], look: Look) -> RowScores:
    """Score the maps that are shown of one photograph against its marks."""
    image = marks_of(photo)
    scored = first_look([image], {image.image: [marked_maps(maps, image) for maps in found]})
    best = scored.best(image.image, look.reductions)
    form = "AUROC {:.2f}" if look.panel_width >= WIDE else "{:.2f}"
    notes = {
        f"{label} {name}": form.format(auroc)
        for (_, label, name), auroc in scored.aurocs.items()
        if name in look.reductions
    }
    return RowScores(notes, () if best is None else (" ".join(best),))


def score_all(photos: Sequence[Photo], work: Work, learned: Mapping[str, Learned] | None) -> FirstLook:
    """Score all marked photographs whose maps are there, on whatever page of rows they are.

    It is done anew only for other marks or other maps: for a hundred photographs it takes seconds.
    """
    marks = {photo.digest: one for photo in photos if len((one := marks_of(photo)).boxes)}
    there = {photo.digest: work.there(photo) for photo in photos if photo.digest in marks}
    asked, scored = (marks, there, learned), LAST_LOOK.get()
    if scored is None or scored[0] != asked:  # these compare by identity: none is ever changed
        named = with_names_of_their_own(marks)
        every = there if learned is None else {key: join_probe(found, learned) for key, found in there.items()}
        found = {one.image: [marked_maps(maps, one) for maps in every[digest]] for digest, one in named.items()}
        scored = asked, first_look(list(named.values()), found)
        LAST_LOOK.set(scored)
    return scored[1]
