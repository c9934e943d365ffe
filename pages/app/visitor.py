"""Who looks at a page, and what they may ask for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import streamlit as st

from convfe_core.serving.visitors import LOCAL, VISITOR, Allowance, is_hosted


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
