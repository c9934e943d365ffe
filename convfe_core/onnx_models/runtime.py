"""The two packages that ONNX files need, imported where one is opened and never before."""

from __future__ import annotations

import importlib.util
from typing import Any

from convfe_core.base.errors import SettingError


def require_onnx() -> None:
    """Make sure that onnx and onnxruntime are there, without importing them.

    Raises
    ------
    SettingError : says how to install them
    """
    missing = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise SettingError(
            f'Expected {" and ".join(missing)} for an ONNX file; install the extra: pip install -e ".[onnx]"'
        )


def providers() -> list[str]:
    """What onnxruntime computes with here, the fastest first."""
    import onnxruntime

    wanted = "CUDAExecutionProvider", "CPUExecutionProvider"
    return [name for name in wanted if name in onnxruntime.get_available_providers()]


def quiet_options() -> Any:
    """Options of a session that says nothing: what goes wrong in it is raised."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return options
