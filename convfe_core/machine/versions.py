"""Which versions of packages are installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

NOT_INSTALLED = "not installed"


def installed_version(package: str) -> str:
    """The version of a package, or `NOT_INSTALLED`: a checkout of this one can be run as it stands."""
    try:
        return version(package)
    except PackageNotFoundError:
        return NOT_INSTALLED
