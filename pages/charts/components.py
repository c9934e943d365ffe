"""The parts of pages that are our own scripts in the browser, and how their files come there."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import plotly
import streamlit as st
from streamlit.components.v2.get_bidi_component_manager import get_bidi_component_manager
from streamlit.components.v2.manifest_scanner import ComponentConfig, ComponentManifest
from streamlit.components.v2.types import ComponentRenderer
from streamlit.delta_generator import DeltaGenerator

SCRIPTS = Path(__file__).parent / "scripts"
"""One module a purpose, as the browser reads them: nothing is built."""
PLOTLY = Path(plotly.__file__).parent


def component(name: str) -> ComponentRenderer:
    """The component whose script and style are ``name.js`` and ``name.css``."""
    _serve(ComponentManifest("convfe", "1", [ComponentConfig(name, SCRIPTS.name)]), SCRIPTS.parent)
    _serve(ComponentManifest("plotly", plotly.__version__, [ComponentConfig("library", "package_data")]), PLOTLY)
    return _component(name)


def hidden_place(key: str) -> DeltaGenerator:
    """A place for a part that shows nothing, which takes no room either."""
    st.html(f"<style>div:has(> .st-key-{key}) {{display: none}}</style>")
    return st.container(key=key)


@cache
def _component(name: str) -> ComponentRenderer:
    style = f"{name}.css" if (SCRIPTS / f"{name}.css").exists() else None
    return st.components.v2.component(f"convfe.{name}", js=f"{name}.js", css=style, isolate_styles=False)


def _serve(manifest: ComponentManifest, root: Path) -> None:
    """Have the server hand out a folder of files, unless it does so already.

    Streamlit serves the files of a component that an installed package announces. Pages are no installed package, and
    Plotly's library announces nothing: sent as text with a component, its 5 MB would go to every visitor anew, before
    the page.
    """
    manager = get_bidi_component_manager()
    if any(manager.get_component_path(f"{manifest.name}.{one.name}") is None for one in manifest.components):
        manager.register_from_manifest(manifest, root)
