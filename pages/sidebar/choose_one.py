"""The sidebar's questions on pages about one network: on which photographs, which one, and beside which others?"""

from __future__ import annotations

import streamlit as st

from convfe_core.catalog.specs import Spec, control_of, parse_spec
from convfe_core.maps.input_size import Size
from convfe_core.photos.photo import Photo
from pages.sidebar.choose_backbones import DEFAULT_BACKBONES, backbone_labels, no_download
from pages.sidebar.choose_images import choose_images
from pages.sidebar.own_models import choose_own_models, known_card


def choose_photos_and_backbone(page: str) -> tuple[list[Photo], Spec, list[Spec]]:
    """Ask for photographs, and for one backbone of the catalog or of the visitor's own.

    Parameters
    ----------
    page : name of the page, each of which keeps its own choice

    Returns
    -------
    the photographs, the chosen backbone, and all models of the visitor's own, that among them if it is one
    """
    photos = choose_images()
    st.subheader("Backbone", anchor=False)
    slot = st.container()
    own = choose_own_models()
    by_label = {spec.label: spec for spec in own}
    labels = backbone_labels()
    options = [*by_label, *labels]
    with slot:
        chosen = st.selectbox(
            "Backbone",
            options,
            index=0 if own else options.index(DEFAULT_BACKBONES[0]),
            format_func=lambda text: f"{text} · your model" if text in by_label else labels[text],
            key=f"{page}_backbone_{'_'.join(by_label)}",
            persist_state="session",
            label_visibility="collapsed",
            help="Any backbone of the catalog, or a model of your own, added below.",
        )
    return photos, by_label.get(chosen) or parse_spec(chosen), own


def choose_references(spec: Spec, own: list[Spec]) -> list[Spec]:
    """Ask what a network is compared with; at first with what costs no download, two at most."""
    options = _references(spec, own)
    chosen = st.multiselect(
        "Compared with",
        list(options),
        default=[name for name, one in options.items() if no_download(one)][:2],
        key=f"against-{spec.label}-{'-'.join(options)}",
        persist_state="session",
        help="Its untrained control; the published weights of its architecture; an earlier checkpoint added above.",
    )
    return [options[name] for name in chosen]


def _references(spec: Spec, own: list[Spec]) -> dict[str, Spec]:
    """What a network may be compared with, by what it is called."""
    found = {"Untrained control": control_of(spec)} if spec.weights != "untrained" else {}
    card = known_card(spec) if spec.own else None
    recognised = card.recognised if card else None
    if recognised is not None:
        found[f"{recognised} as published"] = parse_spec(recognised)
    elif not spec.own and spec.weights in ("untrained", "file"):
        found[f"{spec.name} as published"] = parse_spec(spec.name)
    return found | {one.label: one for one in own if one.label != spec.label}


def common_size(spec: Spec, size: Size) -> Size:
    """One size for a network and its references, so that their cells are the same."""
    if size.name not in ("own", "native"):
        return size
    card = known_card(spec) if spec.own else None
    if card is not None and card.native is not None:
        return Size(str(max(32, *card.native)))
    if spec.architecture is not None:
        both = spec.architecture.working_size, spec.architecture.native_size
        return Size(str(both[size.name == "native"]))
    return Size("320")
