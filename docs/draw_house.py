"""Draw the wings of `convfe_core` and who imports whom, read from the code: ``python -m docs.draw_house``."""

from __future__ import annotations

import ast
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "house.svg"

WINGS = (
    "base",
    "geometry",
    "machine",
    "photos",
    "catalog",
    "graph",
    "keras2",
    "model_files",
    "annotations",
    "datasets",
    "onnx_models",
    "engine",
    "user_models",
    "backbones",
    "maps",
    "drawing",
    "scoring",
    "serving",
    "inspection",
    "jobs",
    "trial",
    "ranking",
    "reports",
    "marks",
    "cli",
)
"""The wings in the order in which they may import: each only from those before it."""

WIDTH, HEIGHT, GAP_X, GAP_Y, LINE = 150, 30, 26, 46, 15


def rooms_of(wing: str) -> list[str]:
    """Names of a wing's modules."""
    return sorted(path.stem for path in (ROOT / "convfe_core" / wing).glob("*.py") if not path.stem.startswith("__"))


def imported_modules(path: Path) -> set[str]:
    """Dotted names of all modules that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def wings_imported_by(wing: str) -> set[str]:
    """Other wings that a wing's modules import from."""
    names = {name for path in (ROOT / "convfe_core" / wing).glob("*.py") for name in imported_modules(path)}
    parts = [name.split(".") for name in names if name.startswith("convfe_core.")]
    return {part[1] for part in parts if part[1] in WINGS} - {wing}


def direct_imports() -> dict[str, set[str]]:
    """Imports between wings without those that follow from others."""
    imports = {wing: wings_imported_by(wing) for wing in WINGS}
    reached: dict[str, set[str]] = {}
    for wing in WINGS:
        reached[wing] = imports[wing].union(*(reached[other] for other in imports[wing]))
    return {
        wing: {one for one in imports[wing] if not any(one in reached[other] for other in imports[wing])}
        for wing in WINGS
    }


def floors(imports: dict[str, set[str]]) -> list[list[str]]:
    """Wings by the length of the longest way down to one that imports nothing."""
    level: dict[str, int] = {}
    for wing in WINGS:
        level[wing] = 1 + max((level[other] for other in imports[wing]), default=-1)
    return [[wing for wing in WINGS if level[wing] == floor] for floor in range(max(level.values()) + 1)]


def draw() -> str:
    """The picture as SVG: what imports stands above what it imports from."""
    imports = direct_imports()
    rows = floors(imports)[::-1]
    width = max(len(row) for row in rows) * (WIDTH + GAP_X) + GAP_X
    boxes: dict[str, tuple[float, float, float]] = {}
    y = float(GAP_Y / 2)
    for row in rows:
        tallest = HEIGHT + LINE * max(len(rooms_of(wing)) for wing in row)
        left = (width - len(row) * (WIDTH + GAP_X) + GAP_X) / 2
        for place, wing in enumerate(row):
            boxes[wing] = left + place * (WIDTH + GAP_X), y, float(HEIGHT + LINE * len(rooms_of(wing)))
        y += tallest + GAP_Y
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y:g}" width="{width}" height="{y:g}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{y:g}" fill="#ffffff"/>',
    ]
    for wing, others in imports.items():
        for other in sorted(others):
            (x1, top, height), (x2, end, _) = boxes[wing], boxes[other]
            start = top + height
            bend = (end - start) / 2
            parts.append(
                f'<path d="M{x1 + WIDTH / 2:g} {start:g} C{x1 + WIDTH / 2:g} {start + bend:g} {x2 + WIDTH / 2:g} '
                f'{end - bend:g} {x2 + WIDTH / 2:g} {end:g}" fill="none" stroke="#8a8f98"/>'
            )
    for wing, (x, top, height) in boxes.items():
        parts.append(
            f'<rect x="{x:g}" y="{top:g}" width="{WIDTH}" height="{height:g}" rx="6" fill="#eef3fb" stroke="#4a6fa5"/>'
        )
        parts.append(f'<text x="{x + 10:g}" y="{top + 19:g}" font-weight="bold" fill="#1d3557">{escape(wing)}</text>')
        for line, room in enumerate(rooms_of(wing)):
            parts.append(
                f'<text x="{x + 10:g}" y="{top + 19 + LINE * (line + 1):g}" fill="#33373d">{escape(room)}</text>'
            )
    return "\n".join([*parts, "</svg>\n"])


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
