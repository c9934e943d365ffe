"""Who is looking: someone at this machine, who may name its files, or a visitor, who may not."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

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
