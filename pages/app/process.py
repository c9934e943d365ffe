"""What all visitors of the process share: loaded backbones, maps of the samples, TensorFlow imported ahead of time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import streamlit as st
from platformdirs import user_cache_dir

from convfe_core.machine.memory import backbone_budget_mb
from convfe_core.serving.backbone_pool import BackbonePool
from convfe_core.serving.sample_maps import SampleMaps
from convfe_core.serving.warm_up import start_warm_up


@st.cache_resource(show_spinner=False)
def backbone_pool() -> BackbonePool:
    """The loaded backbones."""
    return BackbonePool(budget_mb=backbone_budget_mb())


@st.cache_resource(show_spinner=False)
def sample_maps() -> SampleMaps:
    """Maps of the sample photographs."""
    return SampleMaps(Path(user_cache_dir("convfe")) / "samples")


@st.cache_resource(show_spinner=False)
def _warming_up() -> threading.Timer:
    """The process' one thread that imports TensorFlow, unless a page with maps has done so before it starts."""
    return start_warm_up()


@contextmanager
def warmed_up_afterwards() -> Iterator[None]:
    """Import TensorFlow in the background once the page in the ``with`` block is drawn, even if it stops early."""
    try:
        yield
    finally:
        _warming_up()
