"""Maps of photographs under backbones, and whole networks: what is there already, and progress for the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from convfe_core.backbones.backbone import Backbone
from convfe_core.backbones.precision import Precision
from convfe_core.base.errors import ConvfeError, ImageError, MemoryLimitError
from convfe_core.catalog.specs import Spec
from convfe_core.machine.machine_queue import waiting_words
from convfe_core.maps.every_layer import EveryLayer
from convfe_core.maps.extraction import Member, Projected, cells_on_photo, extract_maps, project_windows, require_cells
from convfe_core.maps.feature_maps import REDUCTIONS, FeatureMaps
from convfe_core.maps.input_size import Size, check_pass, frame_for
from convfe_core.maps.pca_colours import colour_features, extract_coloured
from convfe_core.photos.photo import Photo
from convfe_core.serving.map_cache import MapStore
from convfe_core.serving.map_key import MapKey
from pages.app.process import backbone_pool
from pages.app.session import FEATURES, MAPS
from pages.app.visitor import allowance
from pages.app.words import plain, told


@dataclass
class Work:
    """What one run of a page has to compute, and where it tells of it.

    Attributes
    ----------
    pictures : what will be drawn, of `convfe_core.maps.feature_maps.WITHOUT_BOXES`
    together : photographs whose cells PCA colours are of; those of `photos` where it is empty
    taught : further photographs whose features are kept, for a probe to learn from
    whole : features that are kept, so that another basis or other boxes run no backbone again
    """

    photos: Sequence[Photo]
    specs: Sequence[Spec]
    size: Size
    slot: DeltaGenerator
    precision: Precision = "float32"
    tap: str = "auto"
    pictures: Sequence[str] = REDUCTIONS
    together: Sequence[Photo] = ()
    taught: Sequence[Photo] = ()
    store: MapStore = field(default_factory=MAPS.get)
    whole: dict[MapKey, Projected] = field(default_factory=FEATURES.get)
    failed: dict[tuple[str, str], str] = field(default_factory=dict)  # by backbone, and photograph where it is one's
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    done: int = 0
    _coloured: dict[MapKey, FeatureMaps] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Drop the features that nothing is made of any more."""
        wanted = {self.key(photo, spec) for photo in (*self._of_basis, *self.taught) for spec in self.specs}
        for key in self.whole.keys() - wanted:
            del self.whole[key]

    def rows(self) -> Iterator[tuple[Photo, list[FeatureMaps]]]:
        """Yield every photograph with its maps as soon as they are there; backbones that fail are left out.

        PCA colours have one basis for all photographs, so that with them no row is there before all of them are.
        """
        missing = [spec for spec in self.specs if any(self._kept(photo, spec) is None for photo in self.photos)]
        total = max(1, sum(self._kept(photo, spec) is None for photo in self.photos for spec in self.specs))
        backbones = {spec: backbone for spec in missing if (backbone := self.load(spec)) is not None}
        if self._needs_colours:
            for spec in list(backbones):
                self._colour(backbones.pop(spec), spec)
        for number, photo in enumerate(self.photos, start=1):
            found = []
            for spec in self.specs:
                maps = self._kept(photo, spec)
                if maps is None and spec in backbones:
                    place = f"image {number} of {len(self.photos)}"
                    self.slot.progress(min(self.done / total, 1.0), text=f"{plain(spec.label)}: {place}")
                    maps = self._run(backbones[spec], spec, photo)
                    self.done += 1
                if maps is not None:
                    found.append(maps)
            self.notes |= {maps.label: maps.notes for maps in found if maps.notes}
            yield photo, found
        self.slot.empty()

    def there(self, photo: Photo) -> list[FeatureMaps]:
        """The max and mean maps of a photograph that need not be computed any more."""
        found = (self._kept(photo, spec) or self.store.get(self.key(photo, spec)) for spec in self.specs)
        return [maps for maps in found if maps is not None]

    def features(self, spec: Spec, photos: Sequence[Photo]) -> dict[str, Projected] | None:
        """The whole features of photographs, computed where they are not kept.

        Returns
        -------
        by digest, without those that the backbone cannot be run over; None where they are too many to be kept
        """
        if any(self.key(photo, spec) not in self.whole for photo in photos):
            backbone = self.load(spec)
            photos = [photo for photo in photos if backbone is not None and self.fits(backbone, spec, photo)]
            if backbone is not None and not self._keep_features(backbone, spec, photos):
                return None
        keys = {photo.digest: self.key(photo, spec) for photo in photos}
        return {digest: self.whole[key] for digest, key in keys.items() if key in self.whole}

    def _keep_features(self, backbone: Backbone, spec: Spec, photos: Sequence[Photo]) -> bool:
        """Compute the features that are not there; whether all of them may be kept."""
        grids = [cells_on_photo(frame_for(one.height, one.width, backbone, self.size), backbone) for one in photos]
        cells = sum(grid.rows * grid.columns for grid in grids)
        if cells * backbone.channels * np.float32().nbytes > allowance().features_mb * 2**20 / len(self.specs):
            return False
        missing = [photo for photo in photos if self.key(photo, spec) not in self.whole]
        done = 0

        def keep(one: Member[None], found: Projected) -> None:
            nonlocal done
            done += 1
            text = f"{plain(spec.label)}: features, image {done} of {len(missing)}"
            self.slot.progress(done / len(missing), text=text)
            key = self.key(one.photo, spec)
            self.whole[key] = replace(found, components=found.components.copy())  # else its whole batch would stay
            if self.store.get(key) is None:
                self.store.put(key, found.maps)

        named, wait = ((None, photo) for photo in missing), partial(self.wait, spec)
        try:
            for _ in project_windows(backbone, named, self.size, backbone.all_directions, keep, wait):
                pass
        except ConvfeError as error:  # its layers do not run on such a picture
            self.failed[spec.label, ""] = told(error)
        return True

    @property
    def _needs_colours(self) -> bool:
        return "pca" in self.pictures

    @property
    def _of_basis(self) -> Sequence[Photo]:
        return self.together or self.photos

    def key(self, photo: Photo, spec: Spec) -> MapKey:
        """What the max and mean maps of a photograph depend on."""
        return MapKey(photo.digest, spec, self.tap, self.size, self.precision)

    def _coloured_key(self, photo: Photo, spec: Spec) -> MapKey:
        return replace(self.key(photo, spec), together=tuple(one.digest for one in self._of_basis))

    def _kept(self, photo: Photo, spec: Spec) -> FeatureMaps | None:
        if not self._needs_colours:
            return self.store.get(self.key(photo, spec))
        key = self._coloured_key(photo, spec)
        return self._coloured.get(key) or self.store.get(key)

    def _run(self, backbone: Backbone, spec: Spec, photo: Photo) -> FeatureMaps | None:
        if not self.fits(backbone, spec, photo):
            return None
        try:
            maps = next(iter(extract_maps(backbone, [photo], self.size, partial(self.wait, spec))))
        except ConvfeError as error:  # its layers do not run on such a picture
            self.failed[spec.label, ""] = told(error)
            return None
        self.store.put(self.key(photo, spec), maps)
        return maps

    def _colour(self, backbone: Backbone, spec: Spec) -> None:
        """Make the maps and PCA colours of all photographs that share a basis."""
        features = self.features(spec, self._of_basis)
        if features is None:
            found = self._colour_in_two_passes(backbone, spec)
        else:
            found = colour_features(list(features.values())) if features else []
        photos = {photo.digest: photo for photo in self._of_basis}
        for maps in found:
            photo = photos[maps.digest]
            if self.store.get(self.key(photo, spec)) is None:
                self.store.put(self.key(photo, spec), replace(maps, pca=None))
            self.store.put(self._coloured_key(photo, spec), maps)
            self._coloured[self._coloured_key(photo, spec)] = maps  # the store may be too small for all of them

    def _colour_in_two_passes(self, backbone: Backbone, spec: Spec) -> list[FeatureMaps]:
        photos = [photo for photo in self._of_basis if self.fits(backbone, spec, photo)]

        def tell(done: int) -> None:
            place = f"PCA colours, image {(done - 1) % len(photos) + 1} of {len(photos)}"
            self.slot.progress(done / (2 * len(photos)), text=f"{plain(spec.label)}: {place}")

        try:
            return extract_coloured(backbone, photos, self.size, partial(self.wait, spec), tell) if photos else []
        except ConvfeError as error:
            self.failed[spec.label, ""] = told(error)
            return []

    def fits(self, backbone: Backbone, spec: Spec, photo: Photo) -> bool:
        """Whether a backbone can be run over a photograph; why not is noted."""
        try:
            require_cells(backbone, photo, self.size)
            check_pass(backbone, photo, self.size)
        except (ImageError, MemoryLimitError) as error:
            if photo in self.photos:
                self.failed[spec.label, photo.name] = told(error)
            return False
        return True

    def wait(self, spec: Spec, before: int) -> None:
        """Write something, which lets Streamlit end this run when its visitor has left."""
        self.slot.progress(0.0, text=f"{plain(spec.label)}: {waiting_words(before)}")

    def load(self, spec: Spec) -> Backbone | None:
        """A backbone from the pool; None where it cannot be loaded, which is noted."""
        pool = backbone_pool()

        def report(phrase: str, share: float | None) -> None:
            self.slot.progress(share or 0.0, text=f"{plain(spec.label)}: {phrase}")

        try:
            if not pool.ready(spec, self.tap, self.precision):
                report("loading", None)
            return pool.get(spec, self.tap, self.precision, on_progress=report)
        except ConvfeError as error:
            self.failed[spec.label, ""] = told(error)
            return None


def show_outcome(work: Work) -> None:
    """Say in one sentence each which backbones could not be shown and why, and what to know about those that are."""
    for (label, photo), reason in work.failed.items():
        where = f" for **{plain(photo)}**" if photo else ""
        st.error(f"**{plain(label)}** is not shown{where}. {plain(reason)}", icon=":material/error:")
    show_notes(work.notes)


def show_notes(notes: Mapping[str, Sequence[str]]) -> None:
    """Say what to know about the maps of some backbones, by their labels."""
    for label, sentences in notes.items():
        for sentence in sentences:
            st.caption(f":material/info: **{plain(label)}**: {plain(sentence)}")


def load_network(spec: Spec) -> EveryLayer:
    """A network with all its layers; errors as in `convfe_core.serving.backbone_pool.BackbonePool.get`."""
    slot = st.empty()

    def report(phrase: str, share: float | None) -> None:
        slot.progress(share or 0.0, text=f"{plain(spec.label)}: {phrase}")

    network = backbone_pool().every_layer(spec, report)
    slot.empty()
    return network
