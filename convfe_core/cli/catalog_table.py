"""The catalog as a table to read and as records for programs."""

from __future__ import annotations

from typing import Any

from tabulate import tabulate

from convfe_core.catalog.specs import CATALOG, Architecture
from convfe_core.model_files.weight_cache import weights_state

COLUMNS = ("name", "family", "weights", "parameters", "native", "working", "stride", "top-1 %", "status")


def catalog_records() -> list[dict[str, Any]]:
    """One JSON-ready record an architecture, with whether it is ready without a download."""
    return [
        {
            "name": a.name,
            "family": a.family,
            "weights": list(a.weights),
            "ready": weights_state(a).ready,
            "parameters": a.parameters,
            "megabytes": a.weight_file.megabytes if a.weight_file else None,
            "weight_file": a.weight_file.name if a.weight_file else None,
            "native_size": a.native_size,
            "working_size": a.working_size,
            "stride": a.stride,
            "top1": a.top1,
            "preprocessing": a.preprocessing,
            "licence": a.licence,
            "tap": a.tap,
        }
        for a in CATALOG.values()
    ]


def catalog_table() -> str:
    """Aligned columns for a terminal."""
    table: str = tabulate([COLUMNS, *map(_row, CATALOG.values())], tablefmt="plain", disable_numparse=True)
    return table


def _row(a: Architecture) -> tuple[str, ...]:
    state = weights_state(a)
    status = "built in" if a.weight_file is None else "ready" if state.ready else f"{state.megabytes:.0f} MB download"
    top1 = "-" if a.top1 is None else f"{a.top1:.1f}"
    return (
        a.name,
        a.family,
        ", ".join(a.weights),
        f"{a.parameters / 1e6:.2f} M",
        str(a.native_size),
        str(a.working_size),
        str(a.stride),
        top1,
        status,
    )
