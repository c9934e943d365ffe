"""What lives longer than one run of a page: the process' backbones, and each visitor's photographs and maps."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import streamlit as st

from convfe_core.base.memory import backbone_budget_mb
from convfe_core.photos.letterbox import thumbnail_data_uri
from convfe_core.photos.photo import Photo
from convfe_core.serving.backbone_pool import BackbonePool
from convfe_core.serving.map_cache import MapStore
from convfe_core.serving.visitors import LOCAL, VISITOR, Allowance, is_hosted


@st.cache_resource(show_spinner=False)
def backbone_pool() -> BackbonePool:
    """The loaded backbones, shared by every visitor of this process."""
    return BackbonePool(budget_mb=backbone_budget_mb())


def map_store() -> MapStore:
    """This visitor's maps; they go when the session goes."""
    if "map_store" not in st.session_state:
        st.session_state.map_store = MapStore(budget_mb=allowance().maps_mb)
    store: MapStore = st.session_state.map_store
    return store


def thumbnail(photo: Photo) -> str:
    """The photograph as a data address for figures, made once a session."""
    made: dict[str, str] = st.session_state.setdefault("thumbnails", {})
    if photo.digest not in made:
        made[photo.digest] = thumbnail_data_uri(photo)
    return made[photo.digest]


def forget_others(photos: Iterable[Photo]) -> None:
    """Drop the thumbnails of photographs that are no longer chosen."""
    kept = {photo.digest for photo in photos}
    made: dict[str, str] = st.session_state.get("thumbnails", {})
    for digest in set(made) - kept:
        del made[digest]


def hosted() -> bool:
    """Whether this visitor must be kept from this machine's files and network."""
    return is_stranger(st.context.ip_address, st.context.headers.to_dict())


def is_stranger(ip_address: str | None, headers: Mapping[str, str]) -> bool:
    """Judge one connection; see `convfe_core.serving.visitors.is_hosted`."""
    # Neither a Unix socket nor Streamlit's interface for programs tells where somebody comes from.
    socket = (st.get_option("server.address") or "").startswith("unix:")
    direct = not socket and not st.get_option("server.enableAgentApi")
    return is_hosted(os.environ, ip_address, headers, str(Path.cwd()), direct=direct)


def allowance() -> Allowance:
    """What this visitor may ask for."""
    return VISITOR if hosted() else LOCAL
