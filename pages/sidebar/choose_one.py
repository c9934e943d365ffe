"""The sidebar's question on pages about one backbone: which one?"""

from __future__ import annotations

import streamlit as st

from convfe_core.catalog.specs import Spec, parse_spec
from pages.sidebar.choose_backbones import DEFAULT_BACKBONES, backbone_labels
from pages.sidebar.own_models import choose_own_models


def choose_backbone(key: str) -> tuple[Spec, list[Spec]]:
    """Ask for one backbone of the catalog or of the visitor's own.

    Returns
    -------
    the chosen one, and all models of the visitor's own, the chosen one among them if it is one
    """
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
            key=f"{key}_backbone_{'_'.join(by_label)}",
            persist_state="session",
            label_visibility="collapsed",
            help="Any backbone of the catalog, or a model of your own, added below.",
        )
    return by_label.get(chosen) or parse_spec(chosen), own
