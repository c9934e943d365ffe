"""What the study has finished, a JSON file for each data set, backbone and kind of result."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.validity.drawn_pictures import cells, stars
from convfe_core.base.file_sets import UploadedFiles, open_files
from convfe_core.base.folders import write_whole
from convfe_core.catalog.specs import Spec, parse_spec
from convfe_core.datasets.boxes import Dataset
from convfe_core.datasets.read_dataset import read_dataset

RESAMPLES = 1000
FACTOR = 0.1
"""Of the head's rate, at which a backbone learns where a detector is trained end to end."""
END_TO_END_AT = "end to end at"
DRAWN = {"drawn cells": cells, "drawn stars": stars}


@dataclass(frozen=True)
class Candidate:
    """A backbone looked at in one layer."""

    spec: Spec
    layer: str = "auto"

    @classmethod
    def named(cls, text: str) -> Candidate:
        """Read ``SPEC`` or ``SPEC@LAYER``."""
        spec, _, layer = text.rpartition("@") if "@" in text else (text, "", "auto")
        return cls(parse_spec(spec), layer)

    @property
    def label(self) -> str:
        """What it is called in the tables."""
        name = self.spec.label if self.spec.own else self.spec.text
        return name if self.layer == "auto" else f"{name} at {self.layer}"


class Results:
    """Finished results in a folder, a JSON file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, *names: str) -> dict[str, Any] | None:
        """What is there of a data set, a backbone and what was computed."""
        path = self._path(names)
        return json.loads(path.read_bytes()) if path.is_file() else None

    def keep(self, found: Mapping[str, Any], *names: str) -> None:
        """Write it."""
        write_whole(self._path(names), json.dumps(found).encode())

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
        """All of them, with their names as files have them, in the order of these."""
        for path in sorted(self._folder.glob("*.json")):
            yield tuple(path.stem.replace("=", ":").split("--")), json.loads(path.read_bytes())

    def _path(self, names: Sequence[str]) -> Path:
        return self._folder / f"{file_name(*names)}.json"


def file_name(*names: str) -> str:
    """Names of data sets, backbones and results as that of a file."""
    return "--".join(name.replace("/", "_").replace(":", "=") for name in names)


def result_name(factor: float, seed: int) -> str:
    """What the result of a detector is called that was trained end to end."""
    return f"{END_TO_END_AT} {factor:g}, {seed}"


def open_data(paths: Sequence[Path], drawn: int) -> dict[str, Dataset]:
    """Data sets by name: those of some folders, and those that are drawn here, of so many images each."""
    data = {(one := read_dataset(open_files(path))).name: one for path in paths}
    if drawn:
        data |= {name: read_dataset(UploadedFiles(draw(drawn).items())) for name, draw in DRAWN.items()}
    return data
