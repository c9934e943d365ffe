"""What this machine's processor can do, as far as the system tells."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
"""Only Linux lists a processor's instructions in a file."""


def is_x86() -> bool:
    """Whether the processor is of Intel's and AMD's family."""
    return platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")


@cache
def instruction_sets(cpu_info: Path = CPU_INFO) -> frozenset[str]:
    """The names of the first processor's instruction sets, as the system writes them; none where it does not tell."""
    try:
        lines = cpu_info.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    listed = (line.partition(":")[2] for line in lines if line.startswith(("flags", "Features")))
    return frozenset(next(listed, "").split())


def usable_cores() -> int:
    """How many cores this process may use; where the system does not tell, how many the machine has."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # only Linux and some of the BSDs can be asked
        return os.cpu_count() or 1
