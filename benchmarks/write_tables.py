"""Write the tables of figures that documents show: ``python -m benchmarks.write_tables``.

A table stands between ``<!-- figures RESULT: TITLE -->`` and ``<!-- end of figures -->``, where RESULT is a file of
``benchmarks/results`` without its ending.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.records import FOLDER, Record, Run, markdown

ROOT = FOLDER.parent.parent
PLACE = re.compile(r"(<!-- figures (?P<result>\S+): (?P<title>.+?) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def pages() -> list[Path]:
    """The documents that may show figures."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")])


def with_tables(text: str, folder: Path = FOLDER) -> str:
    """A document with the tables as they are now."""

    def filled(found: re.Match[str]) -> str:
        record = Record.read(folder / f"{found['result']}.json")
        lines = record.tables[found["title"]]
        runs = list(dict.fromkeys(line.run for line in lines))
        return f"{found[1]}{record.machine}; {_told(runs)}\n\n{markdown([line.row for line in lines])}\n{found[4]}"

    return PLACE.sub(filled, text)


def _told(runs: list[Run]) -> str:
    """With which commands and packages, when, and how busy the machine was."""
    together = "; ".join(dict.fromkeys(run.versions for run in runs))
    calls = ", ".join(f"`{run.command}` ({_circumstances(run)})" for run in runs)
    return f"{together}. {calls}:"


def _circumstances(run: Run) -> str:
    return ", ".join([run.date, f"load average {run.load}", *([run.note] if run.note else [])])


def main() -> None:
    """Write every document anew that has tables."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        if (new := with_tables(text)) != text:
            page.write_text(new, encoding="utf-8")
            print(f"{page.relative_to(ROOT)} written")


if __name__ == "__main__":
    main()
