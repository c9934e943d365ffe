"""How exactly a backbone computes: float32, or bfloat16 where the processor has instructions for it.

bfloat16 keeps float32's range and 8 of its 24 significant bits. Convolutions and matrix products take it, sums stay in
float32; a map's values move by about half a percent of their range. Networks whose maps would move by more than
`convfe_core.backbones.backbone.BFLOAT16_SHIFT` stay with float32.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal, get_args

from convfe_core.base.errors import EngineError, SpecError

Precision = Literal["float32", "fast"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

CPU_FLAGS = Path("/proc/cpuinfo")
_UNITS = {"amx_bf16": "AMX", "avx512_bf16": "AVX512_BF16"}


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


@cache
def bfloat16_unit(cpu_flags: Path = CPU_FLAGS) -> str | None:
    """What this processor computes bfloat16 with: ``AMX``, ``AVX512_BF16``, or None where it has neither.

    Only Linux lists a processor's instructions in a file; elsewhere the answer is None.
    """
    if not cpu_flags.is_file():
        return None
    lines = (line for line in cpu_flags.read_text().splitlines() if line.startswith("flags"))
    flags = set(next(lines, "").split())
    return next((unit for flag, unit in _UNITS.items() if flag in flags), None)


def computes_in_bfloat16(precision: Precision) -> bool:
    """Whether what was asked for means bfloat16 on this machine."""
    return precision == "fast" and bfloat16_unit() is not None


def explain_precision(precision: Precision) -> str:
    """Say in a few words what `precision` means on this machine."""
    if precision == "float32":
        return "float32"
    unit = bfloat16_unit()
    if unit is None:
        return "float32, because this processor has neither AMX nor AVX512_BF16"
    return f"bfloat16 with {unit}, where a backbone's maps stand it"


def explain_kept(asked: Precision, got: Precision) -> str | None:
    """Say why a backbone computes more exactly than was asked for; None where it does not."""
    if not computes_in_bfloat16(asked) or got == asked:
        return None
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
