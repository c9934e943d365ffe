"""How exactly a backbone computes: float32, or bfloat16 where the processor has instructions for it.

bfloat16 keeps float32's range and 8 of its 24 significant bits. Convolutions and matrix products take it, sums stay in
float32; a map's values move by about half a percent of their range. Networks whose maps would move by more than
`convfe_core.backbones.backbone.BFLOAT16_SHIFT` stay with float32.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from convfe_core.base.errors import EngineError, SpecError
from convfe_core.machine.onednn import CAP, SETTING, capped_to, switched_off
from convfe_core.machine.processor import CPU_INFO, instruction_sets

Precision = Literal["float32", "fast"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_UNITS = {"amx_bf16": "AMX", "avx512_bf16": "AVX512_BF16"}
_CAPS = {"AMX": ("AMX",), "AVX512_BF16": ("BF16", "FP16", "AVX10", "AMX")}
"""What stands in the caps of oneDNN that leave a unit to it."""


def parse_precision(text: str) -> Precision:
    """``float32`` or ``fast``.

    Raises
    ------
    SpecError : anything else
    """
    for precision in PRECISIONS:
        if text.strip().lower() == precision:
            return precision
    raise SpecError(f"Expected a precision: {' or '.join(PRECISIONS)}. Received: {text!r}.")


def bfloat16_unit(cpu_info: Path = CPU_INFO, environ: Mapping[str, str] = os.environ) -> str | None:
    """What oneDNN computes bfloat16 with: ``AMX``, ``AVX512_BF16``, or None where it has neither.

    That is so where the processor lacks both or the system does not tell, and where oneDNN is switched off or kept from
    them by its own settings.
    """
    if switched_off(environ):
        return None
    cap, found = capped_to(environ), instruction_sets(cpu_info)
    units = (unit for flag, unit in _UNITS.items() if flag in found)
    return next((unit for unit in units if not cap or any(word in cap for word in _CAPS[unit])), None)


def computes_in_bfloat16(precision: Precision) -> bool:
    """Whether what was asked for means bfloat16 on this machine."""
    return precision == "fast" and bfloat16_unit() is not None


def explain_precision(precision: Precision) -> str:
    """Say in a few words what `precision` means on this machine."""
    if precision == "float32":
        return "float32"
    unit = bfloat16_unit()
    if unit is not None:
        return f"bfloat16 with {unit}, where a backbone's maps stand it"
    if not any(flag in instruction_sets() for flag in _UNITS):
        return "float32, because this processor has neither AMX nor AVX512_BF16"
    setting = SETTING if switched_off() else CAP
    return f"float32, because {setting} keeps oneDNN from what this processor has for bfloat16"


def explain_kept(asked: Precision, got: Precision, takes_bfloat16: bool) -> str | None:
    """Say why a backbone computes more exactly than was asked for; None where it does not.

    Parameters
    ----------
    takes_bfloat16 : whether its layers can be computed in bfloat16; those of ONNX files cannot
    """
    if not computes_in_bfloat16(asked) or got == asked:
        return None
    if not takes_bfloat16:
        return "float32 all the same, because ONNX files are computed as they are written"
    return "float32 all the same, because bfloat16 would move its maps too far"


def require_same_arithmetic(precision: Precision, bfloat16: bool) -> None:
    """Refuse to share work with a machine whose processor computes otherwise.

    Parameters
    ----------
    precision : what was asked for
    bfloat16 : what it means on the machine that asks

    Raises
    ------
    EngineError : it means something else on this one
    """
    if computes_in_bfloat16(precision) != bfloat16:
        raise EngineError(
            f"Expected machines that all compute {precision} alike, got some with bfloat16 and some without; "
            "leave out --precision, or use machines of one kind."
        )
