"""Who is looking, and what they may ask for: someone at this machine may name its files, a visitor may not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from convfe_core.images import DEFAULT_LIMITS, ImageLimits

SETTING = "CONVFE_HOSTED"
"""Environment variable: 1 treats everyone as a visitor, 0 nobody, unset looks at each connection."""

FORWARDING_HEADERS = (
    "x-forwarded-for",
    "x-forwarded-host",
    "x-real-ip",
    "forwarded",
    "via",
    "cf-connecting-ip",
)
COMMUNITY_CLOUD_HOME = "/mount/src"


@dataclass(frozen=True)
class Allowance:
    """What one person may ask of the process.

    Attributes
    ----------
    this_machine : may name folders and files of this machine, and addresses for it to fetch
    most_images : how many images of their own at once
    images : what each of them may be
    longest_side : larger photographs are reduced to this many pixels before they are kept
    most_backbones : how many backbones side by side
    model_mb : the largest model or weight file of their own, in megabytes
    maps_mb : megabytes of maps that are kept for them
    """

    this_machine: bool = True
    most_images: int = 100
    images: ImageLimits = field(default_factory=lambda: DEFAULT_LIMITS)
    longest_side: float = math.inf
    most_backbones: int = 8
    model_mb: float = 2000.0
    maps_mb: float = 64.0


LOCAL = Allowance()
"""For someone who sits at this machine."""

VISITOR = Allowance(
    this_machine=False,
    most_images=24,
    images=ImageLimits(max_bytes=20_000_000, max_pixels=25_000_000),
    longest_side=1280,
    most_backbones=6,
    model_mb=50.0,
    maps_mb=16.0,
)
"""For everybody else: what ten of them use at once must fit into a gigabyte beside TensorFlow."""


def is_hosted(
    environ: Mapping[str, str],
    ip_address: str | None,
    headers: Mapping[str, str],
    working_directory: str = "",
) -> bool:
    """Whether to treat this connection as a stranger's; in doubt it is one.

    Parameters
    ----------
    environ : the process' environment
    ip_address : the other end of the connection, None for the machine itself
    headers : of the request that opened the connection
    working_directory : of the process; Streamlit Community Cloud runs apps below one known folder
    """
    setting = environ.get(SETTING, "").strip()
    if setting in ("0", "1"):
        return setting == "1"
    named = {name.lower(): value for name, value in headers.items()}
    host = urlsplit(f"//{named.get('host', '')}").hostname
    return (
        working_directory.startswith(COMMUNITY_CLOUD_HOME)
        or ip_address is not None
        or any(name in named for name in FORWARDING_HEADERS)
        or host not in ("localhost", "127.0.0.1", "::1")
    )
