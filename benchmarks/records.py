"""What benchmarks measured, kept in ``benchmarks/results``: one JSON file for each benchmark and kind of machine.

Documents quote nothing else: `benchmarks.write_tables` makes their tables of these files.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.machine import describe_load, machine_name, processor_name, versions
from convfe_core.base.folders import write_whole
from convfe_core.machine.onednn import capped_to

FOLDER = Path(__file__).resolve().parent / "results"

Cell = str | float | int
TableRow = Mapping[str, Cell]
"""A line of a table by the titles of its columns; the first one says what the line is about."""


@dataclass(frozen=True)
class Run:
    """One call of a benchmark.

    Attributes
    ----------
    note : what else a reader must know, such as where the figures were taken over from; may be empty
    """

    command: str
    date: str
    versions: str
    load: str
    note: str = ""

    @classmethod
    def now(cls, benchmark: str, packages: Sequence[str] = ()) -> Run:
        """This call; to be made at its start, for the load of the machine.

        Parameters
        ----------
        packages : whose versions count besides those of Python, TensorFlow and Keras
        """
        command = shlex.join(["python", "-m", f"benchmarks.{benchmark}", *sys.argv[1:]])
        cap = f"ONEDNN_MAX_CPU_ISA={capped_to()} " if capped_to() else ""
        return cls(cap + command, datetime.now(UTC).date().isoformat(), versions(*packages), describe_load())


@dataclass(frozen=True)
class Line:
    """A line of a table, and the run that measured it."""

    run: Run
    row: TableRow


@dataclass(frozen=True)
class Record:
    """Everything that is kept of one benchmark on one kind of machine.

    Attributes
    ----------
    machine : its processor, cores and memory
    tables : lines by title
    """

    machine: str
    tables: Mapping[str, tuple[Line, ...]]

    @classmethod
    def read(cls, path: Path) -> Record:
        """What a file of `FOLDER` holds."""
        kept = json.loads(path.read_text(encoding="utf-8"))
        runs = [Run(**run) for run in kept["runs"]]
        tables = {
            title: tuple(Line(runs[line["run"]], line["row"]) for line in lines)
            for title, lines in kept["tables"].items()
        }
        return cls(kept["machine"], tables)

    def write(self, path: Path) -> None:
        """Write it into a file."""
        runs = list(dict.fromkeys(line.run for lines in self.tables.values() for line in lines))
        tables = {
            title: [{"run": runs.index(line.run), "row": line.row} for line in lines]
            for title, lines in self.tables.items()
        }
        told = [{name: text for name, text in asdict(run).items() if text or name != "note"} for run in runs]
        held = {"machine": self.machine, "runs": told, "tables": tables}
        path.parent.mkdir(exist_ok=True)
        write_whole(path, (json.dumps(held, indent=1, ensure_ascii=False) + "\n").encode())

    def renewed(self, run: Run, title: str, rows: Sequence[TableRow]) -> Record:
        """With new lines in a table: each in the place of the one that is about the same, or behind them all."""
        lines = {_about(line.row): line for line in self.tables.get(title, ())}
        lines |= {_about(row): Line(run, row) for row in rows}
        return Record(self.machine, {**self.tables, title: tuple(lines.values())})


def keep(benchmark: str, run: Run, tables: Mapping[str, Sequence[TableRow]], folder: Path = FOLDER) -> Path:
    """Keep what a call measured, in the place of what earlier ones measured of the same.

    Parameters
    ----------
    tables : lines by title; a call may have measured a few of a table's lines
    """
    path = folder / f"{benchmark}-{machine_slug()}.json"
    machine = machine_name()
    record = Record.read(path) if path.is_file() else Record(machine, {})
    for title, rows in tables.items():
        record = Record(machine, record.tables).renewed(run, title, rows)
    record.write(path)
    return path


def machine_slug() -> str:
    """The kind of this machine in a file's name: its processor, and what oneDNN is held back to."""
    return slug(f"{processor_name()} {capped_to()}")


def slug(machine: str) -> str:
    """A machine's name as part of a file's."""
    words = re.findall(r"[a-z0-9]+", machine.lower())
    return "-".join(word for word in words if word not in ("family", "model"))


def markdown(rows: Sequence[TableRow]) -> str:
    """Lines as a table of Markdown."""
    columns = list(dict.fromkeys(title for row in rows for title in row))
    lines = [columns, ["---"] * len(columns), *([row.get(title, "") for title in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)


def _about(row: TableRow) -> Cell:
    return next(iter(row.values()))
