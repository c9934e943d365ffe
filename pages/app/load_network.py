"""A whole network for the pages that look inside one, from the process' pool, with progress while it loads."""

from __future__ import annotations

import streamlit as st

from convfe_core.catalog.specs import Spec
from convfe_core.maps.layer_access import EveryLayer
from pages.app.session import backbone_pool
from pages.app.words import plain


def load_network(spec: Spec) -> EveryLayer:
    """The network with all its layers; errors as in `convfe_core.serving.backbone_pool.BackbonePool.get`."""
    slot = st.empty()

    def report(phrase: str, share: float | None) -> None:
        slot.progress(share or 0.0, text=f"{plain(spec.label)}: {phrase}")

    network = backbone_pool().every_layer(spec, report)
    slot.empty()
    return network
