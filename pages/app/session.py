"""All that one visitor's session holds: what the pages keep in it, and the keys of what they draw.

No other module names a key of ``st.session_state``. Widgets keep their own values there, under the keys listed below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import streamlit as st

from convfe_core.photos.letterbox import thumbnail_data_uri
from convfe_core.photos.photo import Photo
from convfe_core.serving.map_cache import MapStore
from convfe_core.serving.map_key import MapKey
from pages.app.process import sample_maps
from pages.app.visitor import allowance

if TYPE_CHECKING:
    from convfe_core.catalog.specs import Spec
    from convfe_core.datasets.boxes import Dataset, ImageBoxes
    from convfe_core.inspection.doctor import Finding
    from convfe_core.inspection.health_report import HealthReport
    from convfe_core.maps.extraction import Projected
    from convfe_core.marks.first_look import FirstLook
    from convfe_core.ranking.results import RankResult
    from convfe_core.ranking.run import RankRun
    from convfe_core.trial.found_boxes import FoundBoxes
    from pages.marks.learned_maps import Learned
    from pages.sidebar.model_shelf import ModelShelf
    from pages.sidebar.own_models import OpenedFile

T = TypeVar("T")


@dataclass(frozen=True)
class Kept(Generic[T]):
    """One thing that pages keep for a visitor; it goes when the session goes.

    Attributes
    ----------
    name : its key
    set_by : the module that sets or fills it
    first : makes what it is before that
    """

    name: str
    set_by: str
    first: Callable[[], T]

    def get(self) -> T:
        """What is kept now."""
        if self.name not in st.session_state:
            st.session_state[self.name] = self.first()
        return cast(T, st.session_state[self.name])

    def set(self, value: T) -> None:
        """Keep this instead."""
        st.session_state[self.name] = value

    def take(self) -> T:
        """What is kept now, and no longer."""
        value = self.get()
        del st.session_state[self.name]
        return value


def _nothing() -> None:
    """Stand for what was never set."""


ENTERED: Kept[bool] = Kept("entered", "dashboard", bool)
"""The page runs below ``st.navigation``."""
DRAWN: Kept[bool] = Kept("drawn", "dashboard", bool)
"""The page's last run came to its end: nobody stopped it."""
MAPS: Kept[MapStore] = Kept("map_store", "app.compute_maps", lambda: MapStore(allowance().maps_mb, sample_maps()))
"""Every map that was computed for this visitor, within their allowance."""
THUMBNAILS: Kept[dict[str, str]] = Kept("thumbnails", "app.session", dict)
"""Photographs as data URIs, by digest."""
DECODED: Kept[dict[str, Photo | str]] = Kept("decoded", "sidebar.choose_images", dict)
"""By file: its photograph, or the sentence that says why there is none."""
EARLIER_UPLOADS: Kept[dict[str, list[str]]] = Kept("earlier_uploads", "sidebar.uploads", dict)
"""By uploader: files of earlier visits to pages with it."""
SHOWN_UPLOADS: Kept[dict[str, list[str]]] = Kept("shown_uploads", "sidebar.uploads", dict)
"""By uploader: files that it showed when a page last ran."""
BACKBONE_LABELS: Kept[dict[str, str]] = Kept("backbone_labels", "sidebar.choose_backbones", dict)
"""Choices and their labels; fixed for a session so that a choice keeps its label when its weights arrive."""
MODEL_SHELF: Kept[ModelShelf | None] = Kept("model_shelf", "sidebar.own_models", _nothing)
"""The visitor's uploaded model files."""
MODEL_CARDS: Kept[dict[Any, OpenedFile]] = Kept("model_cards", "sidebar.own_models", dict)
"""By spec: what is known of a model file that was opened."""
DATASETS: Kept[dict[tuple[object, ...], Dataset | str]] = Kept("datasets", "sidebar.choose_dataset", dict)
"""By folder or uploads: the data set, or the sentence that says why there is none."""
RANK_RUN: Kept[RankRun | None] = Kept("rank_run", "rank", _nothing)
"""A ranking that runs, or that was stopped before it ended."""
RANKED: Kept[RankResult | None] = Kept("ranked", "rank", _nothing)
"""What the last ranking found."""
RANKED_AS: Kept[object] = Kept("ranked_as", "rank", _nothing)
"""Data set, backbones and options of that ranking."""
OPENED: Kept[list[Photo]] = Kept("opened", "views.opened", list)
"""Photographs that another page sent to Compare."""
BOXES: Kept[dict[str, ImageBoxes]] = Kept("boxes", "views.opened", dict)
"""Their boxes in the data set that they are from, by digest."""
MARKS: Kept[dict[str, ImageBoxes]] = Kept("marks", "marks.kept_marks", dict)
"""Boxes that were drawn, corrected or loaded on Compare, by digest; these take the place of those in a data set."""
MARKS_SAID: Kept[tuple[str, ...]] = Kept("marks_said", "marks.kept_marks", tuple)
"""What there is to say of the boxes that came last, such as that one was cut."""
LOADED_MARKS: Kept[set[str]] = Kept("loaded_marks", "marks.panel", set)
"""Files of boxes that were read, by the id of their upload."""
LAST_LOOK: Kept[tuple[object, FirstLook] | None] = Kept("last_look", "marks.mark_scores", _nothing)
"""What marks said of maps when these were scored last, and of which."""
FEATURES: Kept[dict[MapKey, Projected]] = Kept("features", "app.compute_maps", dict)
"""Whole features of photographs, of which PCA colours and what a probe learns are made; within the allowance."""
LEARNED: Kept[dict[Spec, Learned]] = Kept("learned", "marks.learned_maps", dict)
"""By backbone: what its probe learned last."""
FOUND: Kept[dict[tuple[str, str], tuple[object, FoundBoxes, bytes]]] = Kept("found", "marks.trial_found", dict)
"""By photograph and backbone, of the rows shown: the trial, what its detector found, and that as a picture."""
CARRIED: Kept[Dataset | None] = Kept("carried", "sidebar.choose_dataset", _nothing)
"""What Rank was handed instead of files: photographs that were marked on Compare, or the samples."""
LAYER_FEATURES: Kept[tuple[object, Projected] | None] = Kept("layer_features", "views.depth_view", _nothing)
"""The whole feature map that Depth read last, and of what it is."""
HEALTH_REPORTS: Kept[dict[object, HealthReport]] = Kept("health_reports", "views.health_view", dict)
"""The last health reports, by network, size and photographs."""
FINDINGS: Kept[list[Finding]] = Kept("findings", "system", list)
"""What System found on this machine when it was last asked."""
WINDOW_WIDTH: Kept[int | None] = Kept("window_width", "charts.window_width", _nothing)
"""Pixels across that pages have for their contents, once the browser has told."""
TURNED_BELOW: Kept[bool] = Kept("page_turned_below", "views.grid", bool)
"""The page of rows was turned below them."""

WIDGETS = {
    "marking": "Compare: whether boxes can be drawn",
    "detections": "Compare: whether the boxes that a trial found are shown",
    "probe-learn": "Compare: runs backbones whose features are not kept, for the probe's maps",
    "marks_file": "Compare: boxes that the visitor brings for the photographs there",
    "present": "Compare: one image at a time, for meetings",
    "slide": "Compare, presenting: number of the photograph",
    "window": "how wide the page is",
    "colouring": "how all rows are coloured",
    "chart-": "Compare: the boxes that were changed last on a row",
    "page": "number of the page of rows",
    "page_below": "the same below the rows",
    "uploads": "the visitor's photographs",
    "folder": "a folder of photographs on this machine",
    "address": "the address of a photograph",
    "samples": "photographs of the gallery",
    "backbones": "specs of the chosen backbones",
    "model_files": "the visitor's model files",
    "model_path": "a model file on this machine",
    "scaling-": "how the pixels of a model of the visitor's own are scaled",
    "layer-": "the layer of such a model that is looked at",
    "architecture-": "the architecture that a file of weights belongs to",
    "size": "the longest side of what the networks receive",
    "tap": "which feature map of each network",
    "fast": "whether speed may cost some digits",
    "maps": "which maps are drawn: max, mean, PCA colours, what a probe learned",
    "inside_maps": "Depth, Inspect: the same",
    "scale": "what shares a colour scale",
    "colours": "the colour map",
    "smooth": "whether maps are drawn smoothly between cells",
    "opacity": "of the maps over the photograph",
    "panel-M": "how large maps are drawn; M unless changed",
    "depth_backbone_": "Depth: the backbone",
    "depth_layer_": "Depth: the layer whose channels are shown",
    "depth_image": "Depth: the photograph of these channels",
    "collapses": "Depth: other ways to collapse channels",
    "channel_order": "Depth: what the strongest channels are sorted by",
    "channel_count": "Depth: how many of them",
    "place-": "Depth: the cells that were clicked or boxed",
    "layer_search": "Depth: what the table of layers is searched for",
    "blocks": "Depth: whether the drawing of blocks is shown",
    "inspect_backbone_": "Inspect: the network",
    "against-": "Inspect: what it is compared with",
    "inspect_scale": "Inspect: whether all maps share a scale",
    "dataset_uploads": "Rank: images and annotations",
    "dataset_folder": "Rank: a folder of these on this machine",
    "dataset_boxes": "Rank: where the boxes are, if elsewhere",
    "dataset_limit": "Rank: how many images at most",
    "trial-backbone": "Rank: the backbone whose detector is shown",
    "rank_trial": "Rank: whether a small detector is tried",
    "rank_control": "Rank: whether untrained controls are computed",
    "rank_probe": "Rank: whether the probes are computed",
    "rank-cost-kind": "Rank: the cost that S is plotted against",
    "duel-first": "Rank: the backbone that goes up",
    "duel-second": "Rank: the backbone that goes across",
    "rank-duel": "Rank: the images that were clicked or boxed",
}
"""Keys of the widgets that hold a value, or how they begin, and what it is; ``bind`` puts some in the address."""


def presenting() -> bool:
    """Whether Compare shows one photograph at a time; asked before its switch is drawn, too."""
    return bool(st.session_state.get("present", st.query_params.get("present") == "true"))


def widget_is_new(key: str) -> bool:
    """Whether a widget that keeps no value over a change of page was not on the last page; asked before it is drawn."""
    return key not in st.session_state


def widget_value(key: str, otherwise: T) -> T:
    """The value of a widget, before it is drawn too."""
    return cast(T, st.session_state.get(key, otherwise))


def set_widget(key: str, value: object) -> None:
    """Turn a widget to a value; before it is drawn, or in a callback."""
    st.session_state[key] = value


def whole_session() -> dict[str, Any]:
    """All that this visitor's session holds now; nothing where there is none."""
    return st.session_state.to_dict() if hasattr(st.session_state, "to_dict") else {}


def thumbnail(photo: Photo) -> str:
    """The photograph as a data URI for figures, made once a session."""
    made = THUMBNAILS.get()
    if photo.digest not in made:
        made[photo.digest] = thumbnail_data_uri(photo)
    return made[photo.digest]


def forget_others(photos: Iterable[Photo]) -> None:
    """Drop the thumbnails of photographs that are no longer chosen."""
    made = THUMBNAILS.get()
    for digest in set(made) - {photo.digest for photo in photos}:
        del made[digest]
