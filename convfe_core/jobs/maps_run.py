"""A run of ``convfe maps``: for each image and backbone a PNG and an NPZ file, and a manifest when all are there.

The run goes shard by shard (see `convfe_core.jobs.shards`). A run that was killed resumes when it is started again with
the same arguments; finished shards and batches are not computed again.
"""

from __future__ import annotations

import json
import os
import threading
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convfe_core.backbones.precision import Precision, computes_in_bfloat16, explain_precision
from convfe_core.base.errors import ConvfeError, EngineError, ImageError, Skipped
from convfe_core.base.folders import file_stamp, is_address, open_folder
from convfe_core.base.pace import Pace, Tell
from convfe_core.base.wording import counted, display_name, file_name, file_stem
from convfe_core.catalog.memory_need import weights_mb
from convfe_core.catalog.specs import Spec, from_anywhere, require_different_labels
from convfe_core.jobs.local_engine import LocalEngine
from convfe_core.jobs.maps_job import BASIS_IMAGES, SCHEMA, MapsJob
from convfe_core.jobs.parts import Parts
from convfe_core.jobs.shards import Engine, Shard, ShardImage, cut_shards, missing_in_words
from convfe_core.machine.versions import installed_version
from convfe_core.maps.feature_maps import REDUCTIONS
from convfe_core.maps.input_size import Size
from convfe_core.model_files.saved_model_folder import model_stamp
from convfe_core.photos.photo import require_file
from convfe_core.photos.photo_folders import photos_at_address, photos_in_folder

MANIFEST = "manifest.json"
PARTS = "parts"
NOT_HERE = "its files are not there on this machine; give an --out that every node reaches"


@dataclass
class MapsRun:
    """What to write where.

    Attributes
    ----------
    paths : images, or folders of images, or their addresses
    out : a folder or its address
    say : takes one line, of what went wrong or what came out
    tell : takes how far the run is
    engine : computes the maps; None for this process
    reductions : what is drawn, of `convfe_core.maps.feature_maps.WITHOUT_BOXES`; the basis of PCA colours is of the
        first `BASIS_IMAGES` images, so that shards need nothing of each other
    """

    paths: tuple[Path | str, ...]
    specs: tuple[Spec, ...]
    size: Size
    tap: str
    out: Path | str
    say: Callable[[str], None]
    tell: Tell
    precision: Precision = "float32"
    engine: Engine | None = None
    reductions: tuple[str, ...] = REDUCTIONS
    _told: set[str] = field(default_factory=set)
    _failed: dict[tuple[str, str, str], None] = field(default_factory=dict)

    def write(self) -> int:
        """Write everything and return how many things failed.

        Raises
        ------
        SpecError : a backbone or layer that does not exist, or two backbones of one name; nothing is written then
        """
        require_different_labels(self.specs)
        images = self._images()
        specs = {spec.text: from_anywhere(spec) for spec in self.specs}
        basis = images[:BASIS_IMAGES] if "pca" in self.reductions else []
        shards = cut_shards(images, list(specs), self._request(basis), SCHEMA)
        out = open_folder(self.out)
        bfloat16 = computes_in_bfloat16(self.precision)
        job = MapsJob(
            specs, self.size, self.tap, self.precision, Path.cwd(), out, bfloat16, self.reductions, tuple(basis)
        )
        parts = Parts(out.below(PARTS), SCHEMA)
        parts.keep_only(shards)
        self._forget_without_files(job, shards, parts)
        if self.precision != "float32":
            self.say(f"{self.precision}: {explain_precision(self.precision)}")
        missing = parts.missing(shards)
        order = _loading_order(specs)
        in_order = sorted(shards, key=lambda shard: order.index(shard.backbone))
        if self.engine is None:  # while TensorFlow is imported and the first backbone loaded, on one core
            threading.Thread(target=job.decode_early, args=(missing[0].images if missing else (),), daemon=True).start()
        engine = self.engine or LocalEngine(early=specs)
        errors = engine.finish(job, in_order, parts, Pace(len(images) * len(specs)), self.tell)
        errors |= {shard.name: EngineError(NOT_HERE) for shard in self._forget_without_files(job, missing, parts)}
        self._tell_errors([(shard, errors[shard.name]) for shard in shards if shard.name in errors])
        written = self._write_manifest(job, [shard for shard in shards if shard.name not in errors], parts)
        failed = f", {len(self._failed)} failed" if self._failed else ""
        self.say(f"{counted(written, 'map')} in {out.label}{failed}")
        return len(self._failed)

    def _forget_without_files(self, job: MapsJob, shards: Sequence[Shard], parts: Parts) -> list[Shard]:
        """Drop the parts of shards whose files are not there, and return these shards."""
        unfinished = {shard.name for shard in parts.missing(shards)}
        gone = []
        for shard in shards:
            if shard.name not in unfinished:
                rows = parts.rows(shard)
                files = (name for image, row in rows if not row["reason"] for name in job.files(shard, image))
                if not job.out.keeps(files):
                    parts.drop(shard)
                    gone.append(shard)
        return gone

    def _tell_errors(self, errors: Sequence[tuple[Shard, ConvfeError]]) -> None:
        """Note which backbones could not be loaded, and which shards the engine lost."""
        lost = [Skipped(shard.words, str(error)) for shard, error in errors if isinstance(error, EngineError)]
        for shard, error in errors:
            if not isinstance(error, EngineError):
                self._fail("", shard.backbone, str(error))
        if lost:
            self._failed |= {("", one.file, one.reason): None for one in lost}
            self.say(f"convfe: {missing_in_words(lost)}")

    def _images(self) -> list[ShardImage]:
        """Every image once, with a stem for its files; images of one name in different folders are numbered."""
        stamps: dict[str, str] = {}
        for path in self.paths:
            try:
                stamps |= _pictures(path, self._say_once)
            except ImageError as error:
                self._fail(str(path), "", str(error))
        taken: set[str] = set()  # as those file systems see them that ignore case and how accents are written
        images = []
        for place, (path, stamp) in enumerate(stamps.items()):
            first = file_stem(Path(file_name(path)).stem)
            stem, number = first, 2
            while _seen_alike(stem) in taken:
                stem, number = f"{first}-{number}", number + 1
            taken.add(_seen_alike(stem))
            images.append(ShardImage(path, place, stem, stamp))
        return images

    def _request(self, basis: Sequence[ShardImage]) -> dict[str, Any]:
        """What the maps depend on besides the images and the names of the backbones.

        Parameters
        ----------
        basis : the images that PCA colours are of
        """
        return {
            "version": installed_version("convfe"),
            "size": self.size.name,
            "tap": self.tap,
            "bfloat16": computes_in_bfloat16(self.precision),
            "reductions": list(self.reductions),
            "basis": [(image.path, image.stamp) for image in basis],
            "preprocessing": {spec.text: spec.preprocessing for spec in self.specs if spec.preprocessing is not None},
            "weights": {spec.text: model_stamp(spec.path) for spec in self.specs if spec.path is not None},
        }

    def _fail(self, image: str, spec: str, reason: str) -> None:
        self._say_once(reason)
        self._failed[image, spec, reason] = None

    def _say_once(self, what: str) -> None:
        """Say what is off about an image, which it is under every backbone."""
        if what not in self._told:
            self.say(f"convfe: {what}")
        self._told.add(what)

    def _write_manifest(self, job: MapsJob, shards: Sequence[Shard], parts: Parts) -> int:
        """Write the manifest and return how many maps it lists.

        Line by line, because a run may have more maps than fit into memory, and `json.dump` needs all of them at once
        or puts each number on a line of its own.
        """
        head = {
            "size": self.size.name,
            "tap": self.tap,
            "precision": self.precision,
            "reductions": list(self.reductions),
            "backbones": list(dict.fromkeys(spec.text for spec in self.specs)),
        }
        written = 0
        with job.out.writing(MANIFEST) as file:
            file.write(_json(head).removesuffix("\n}").encode() + b',\n "maps": [')
            for line in self._map_lines(job, shards, parts):
                file.write(b",\n  " if written else b"\n  ")
                file.write(line.encode())
                written += 1
            failed = [dict(zip(("image", "backbone", "reason"), failure, strict=True)) for failure in self._failed]
            file.write(b'\n ],\n "failed": ' + _json(failed).encode() + b"\n}\n")
        return written

    def _map_lines(self, job: MapsJob, shards: Sequence[Shard], parts: Parts) -> Iterator[str]:
        """What the manifest says of each map; images without one are noted as failed."""
        for shard in shards:
            for image, row in parts.rows(shard):
                path = os.fsencode(image.path).decode("utf-8", "replace")  # a name need not be text
                if row["reason"]:
                    self._fail(path, "", row["reason"])
                    continue
                png, npz = job.files(shard, image)
                record = {
                    "image": path,
                    "sha256": row["sha256"],
                    "backbone": job.specs[shard.backbone].label,
                    "weights": row["weights"],
                    "tap": row["tap"],
                    "png": png,
                    "npz": npz,
                    "cells": row["cells"],
                }
                if row["note"]:
                    record["note"] = row["note"]
                    self._say_once(f"{display_name(path)}: {row['note']}.")
                yield _json(record, indent=None)


def _loading_order(specs: Mapping[str, Spec]) -> list[str]:
    """The smallest backbone first, so that something runs soon, then the largest: the others are loaded meanwhile."""
    smallest, *others = sorted(specs, key=lambda name: weights_mb(specs[name]))
    return [smallest, *reversed(others)]


def _pictures(where: Path | str, tell: Callable[[str], None]) -> dict[str, str]:
    """An image, or those of a folder, by path or address, each with what changes when it does.

    `tell` takes a sentence that names what else is in the folder.

    Raises
    ------
    ImageError : there is none
    StoreError : the address cannot be reached
    """
    if is_address(where):
        return photos_at_address(str(where), tell)
    path = Path(where)
    if path.is_dir():
        return {str(one): file_stamp(one) for one in photos_in_folder(path, tell=tell)}
    require_file(path)
    return {str(path): file_stamp(path)}


def _seen_alike(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _json(record: Any, indent: int | None = 1) -> str:
    return json.dumps(record, indent=indent, ensure_ascii=False)
