"""Who is looking, and what they may ask for: someone at this machine may name its files, a visitor may not."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from convfe_core.base.file_sets import DEFAULT_DATASET_LIMITS, DatasetLimits
from convfe_core.photos.photo import DEFAULT_LIMITS, ImageLimits

SETTING = "CONVFE_HOSTED"
"""Environment variable: 0 treats nobody as a visitor, 1 (or anything else) everyone, unset looks at each connection."""
NOBODY = ("0", "false", "no", "off")

FORWARDING_HEADERS = ("forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip")
"""Headers that proxies add, besides all that begin with ``x-forwarded``; one of them is enough, whatever it says."""
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
    dataset : what a data set of theirs may be
    most_backbones : how many backbones side by side
    most_models : how many model or weight files of their own
    model_mb : the largest of them, in megabytes
    maps_mb : megabytes of maps that are kept for them
    features_mb : megabytes of whole features that are kept for them, for PCA colours and what a probe learns
    most_uploads, uploads_mb : files, and megabytes, that they may have uploaded at any time, all pages together
    """

    this_machine: bool = True
    most_images: int = 100
    images: ImageLimits = field(default_factory=lambda: DEFAULT_LIMITS)
    longest_side: float = math.inf
    dataset: DatasetLimits = field(default_factory=lambda: DEFAULT_DATASET_LIMITS)
    most_backbones: int = 8
    most_models: int = 20
    model_mb: float = 2000.0
    maps_mb: float = 64.0
    features_mb: float = 256.0
    most_uploads: float = math.inf
    uploads_mb: float = math.inf


LOCAL = Allowance()
"""For someone who sits at this machine."""

VISITOR = Allowance(
    this_machine=False,
    most_images=24,
    images=ImageLimits(max_bytes=20_000_000, max_pixels=25_000_000),
    longest_side=1280,
    dataset=DatasetLimits(
        max_files=1000,
        max_bytes=200_000_000,
        text_bytes=2_000_000,
        json_bytes=10_000_000,
        max_pixels=25_000_000,
    ),
    most_backbones=6,
    most_models=4,
    model_mb=50.0,
    maps_mb=16.0,
    features_mb=16.0,
    most_uploads=2000,
    uploads_mb=200.0,
)
"""For everybody else: what ten of them use at once must fit into a gigabyte beside TensorFlow."""


def is_hosted(
    environ: Mapping[str, str],
    ip_address: str | None,
    headers: Mapping[str, str],
    working_directory: str = "",
    *,
    direct: bool = True,
) -> bool:
    """Whether to treat this connection as a stranger's; in doubt it is one.

    Parameters
    ----------
    environ : the process' environment
    ip_address : the other end of the connection, None for the machine itself
    headers : of the request that opened the connection
    working_directory : of the process; Streamlit Community Cloud runs apps below one known folder
    direct : whether None really means this machine: behind a Unix socket there is no address at all
    """
    setting = environ.get(SETTING, "").strip().lower()
    if setting:
        return setting not in NOBODY
    named = {name.lower(): value for name, value in headers.items()}
    return (
        working_directory.startswith(COMMUNITY_CLOUD_HOME)
        or not direct
        or not _is_this_machine(ip_address)
        or any(name.startswith("x-forwarded") or name in FORWARDING_HEADERS for name in named)
        or not _names_this_machine(f"//{named.get('host', '')}")
        or not _names_this_machine(named.get("origin", "//localhost"))  # of the page that the browser shows
    )


def _is_this_machine(ip_address: str | None) -> bool:
    if ip_address is None:
        return True
    try:
        address = ipaddress.ip_address(ip_address)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)  # ::ffff:127.0.0.1, where a server listens on IPv6 alone
    return bool((mapped or address).is_loopback)


def _names_this_machine(address: str) -> bool:
    try:
        return urlsplit(address).hostname in ("localhost", "127.0.0.1", "::1")
    except ValueError:
        return False
