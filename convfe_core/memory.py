"""How much memory this process may use: the container's limit where there is one, else the machine's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

SETTING = "CONVFE_MEMORY_MB"
"""Environment variable: the memory in megabytes that the whole process may use."""

CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
FALLBACK_MB = 2048.0


def memory_limit_mb(environ: Mapping[str, str] = os.environ, limits: tuple[Path, ...] = CGROUP_LIMITS) -> float:
    """Megabytes that the process may use: the setting, the container's limit or the machine's memory."""
    setting = environ.get(SETTING, "")
    if setting.replace(".", "", 1).isdecimal():
        return float(setting)
    found = [_machine_mb()]
    for path in limits:
        text = path.read_text().strip() if path.is_file() else ""
        if text.isdecimal():
            found.append(int(text) / 2**20)
    return min(found)


def backbone_budget_mb() -> float:
    """Megabytes for loaded backbones: half of what the process may use."""
    return memory_limit_mb() / 2


def _machine_mb() -> float:
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**20
    return FALLBACK_MB
