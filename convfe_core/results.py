"""A run of ``convfe maps``: for each image and backbone a PNG and an NPZ file, and a manifest when all are there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convfe_core.backbones import Backbone, load_backbone
from convfe_core.catalog import Spec, file_stem
from convfe_core.errors import ConvfeError, ImageError, SpecError
from convfe_core.exports import single_npz
from convfe_core.extraction import Size, extract_maps
from convfe_core.files import write_whole
from convfe_core.images import Photo, open_photo
from convfe_core.maps import FeatureMaps
from convfe_core.pictures import row_png
from convfe_core.sources import photos_in_folder

MANIFEST = "manifest.json"
CHUNK = 16
"""Photographs in memory at a time."""


@dataclass
class MapsRun:
    """What to write where.

    Attributes
    ----------
    paths : images, or folders of images
    tell : takes one line of progress or of what went wrong
    """

    paths: tuple[Path, ...]
    specs: tuple[Spec, ...]
    size: Size
    tap: str
    out: Path
    tell: Callable[[str], None]
    _failed: list[dict[str, str]] = field(default_factory=list)
    _written: list[dict[str, Any]] = field(default_factory=list)

    def write(self) -> int:
        """Write everything and return how many things failed.

        Raises
        ------
        SpecError : a backbone or layer that does not exist; nothing is written then
        """
        self.out.mkdir(parents=True, exist_ok=True)
        images = self._image_paths()
        stems = self._stems(images)
        for spec in self.specs:
            backbone = self._load(spec)
            if backbone is not None:
                self._run_backbone(backbone, images, stems)
        write_whole(self.out / MANIFEST, self._manifest())
        self.tell(
            f"{len(self._written)} maps in {self.out}" + (f", {len(self._failed)} failed" if self._failed else "")
        )
        return len(self._failed)

    def _image_paths(self) -> list[Path]:
        found: list[Path] = []
        for path in self.paths:
            try:
                found += photos_in_folder(path) if path.is_dir() else [path]
            except ImageError as error:
                self._fail(str(path), "", str(error))
        return list(dict.fromkeys(found))

    def _stems(self, images: list[Path]) -> dict[Path, str]:
        """A file stem for every image; images of the same name in different folders are numbered."""
        taken: set[str] = set()
        stems = {}
        for image in images:
            stem, number = file_stem(image.stem), 2
            while stem.casefold() in taken:
                stem, number = f"{file_stem(image.stem)}-{number}", number + 1
            taken.add(stem.casefold())
            stems[image] = stem
        return stems

    def _load(self, spec: Spec) -> Backbone | None:
        self.tell(f"{spec.label}: loading")
        try:
            return load_backbone(spec, self.tap)
        except SpecError:
            raise
        except ConvfeError as error:
            self._fail("", spec.text, str(error))
            return None

    def _run_backbone(self, backbone: Backbone, images: list[Path], stems: dict[Path, str]) -> None:
        for start in range(0, len(images), CHUNK):
            chunk = [(path, photo) for path in images[start : start + CHUNK] if (photo := self._open(path)) is not None]
            maps_of_chunk = extract_maps(backbone, [photo for _, photo in chunk], self.size)
            for number, ((path, photo), maps) in enumerate(zip(chunk, maps_of_chunk, strict=True), start=start + 1):
                self._write_pair(stems[path], path, photo, maps)
                self.tell(f"{backbone.label}: image {number} of {len(images)}")

    def _open(self, path: Path) -> Photo | None:
        try:
            return open_photo(path)
        except ImageError as error:
            self._fail(str(path), "", str(error))
            return None

    def _write_pair(self, stem: str, path: Path, photo: Photo, maps: FeatureMaps) -> None:
        name = f"{stem}.{file_stem(maps.label)}"
        write_whole(self.out / f"{name}.png", row_png(photo, [maps]))
        write_whole(self.out / f"{name}.npz", single_npz(maps))
        self._written.append(
            {
                "image": str(path),
                "sha256": photo.digest,
                "backbone": maps.label,
                "weights": maps.weights,
                "tap": maps.tap,
                "png": f"{name}.png",
                "npz": f"{name}.npz",
                "cells": list(maps.max.shape),
            }
        )

    def _fail(self, image: str, spec: str, reason: str) -> None:
        failure = {"image": image, "backbone": spec, "reason": reason}
        if failure not in self._failed:
            self._failed.append(failure)
            self.tell(f"convfe: {reason}")

    def _manifest(self) -> bytes:
        record = {
            "size": self.size.name,
            "tap": self.tap,
            "backbones": [spec.text for spec in self.specs],
            "maps": self._written,
            "failed": self._failed,
        }
        return (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode()
