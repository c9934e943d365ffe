"""oneDNN: the kernels with which TensorFlow computes convolutions faster, if they are switched on.

TensorFlow switches them on by itself only on processors with AVX512_VNNI, AVX512_BF16, AVX_VNNI or AMX. They help on
every processor of x86 (`python -m benchmarks.forward.without_onednn` shows how much on this one); float32 maps stay
within 1e-5 of their range. TensorFlow reads the setting once, while it is imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Container, Mapping, MutableMapping

from convfe_core.machine.processor import is_x86

SETTING = "TF_ENABLE_ONEDNN_OPTS"
"""Environment variable of TensorFlow: 1 or 0. Who sets it decides."""
CAP = "ONEDNN_MAX_CPU_ISA"
"""Environment variable of oneDNN: the largest instruction set that it may use."""

_OFF = ("0", "false")


def prefer_onednn(
    environ: MutableMapping[str, str] = os.environ, imported: Container[str] = sys.modules, *, x86: bool | None = None
) -> None:
    """Have TensorFlow use oneDNN on x86, unless somebody has decided already or TensorFlow is there.

    Parameters
    ----------
    imported : the names of the modules that are imported
    x86 : None for what this machine is
    """
    if "tensorflow" not in imported and (is_x86() if x86 is None else x86):
        environ.setdefault(SETTING, "1")


def switched_off(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether somebody switched oneDNN off."""
    return environ.get(SETTING, "").strip().lower() in _OFF


def capped_to(environ: Mapping[str, str] = os.environ) -> str:
    """The instruction set beyond which oneDNN must not go, such as ``AVX2``; empty where it may use all."""
    cap = environ.get(CAP, "").strip().upper()
    return "" if cap in ("ALL", "DEFAULT") else cap
