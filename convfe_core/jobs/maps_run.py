"""A run of ``convfe maps``: for each image and backbone a PNG and an NPZ file, and a manifest when all are there.

The run goes shard by shard (see `convfe_core.jobs.shards`). A run that was killed goes on when it is started again with
the same arguments; finished shards and batches are not computed again.
"""

from __future__ import annotations

import json
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from convfe_core.backbones.backbone import Backbone
from convfe_core.backbones.load_ahead import LoadAhead
from convfe_core.backbones.precision import Precision, computes_in_bfloat16, explain_kept, explain_precision
from convfe_core.base.errors import ConvfeError, ImageError, Skipped, SpecError
from convfe_core.base.folders import file_stamp, is_address, open_folder
from convfe_core.base.pace import SECONDS_BETWEEN_LINES, Pace, duration
from convfe_core.base.wording import counted, file_name, file_stem
from convfe_core.catalog.memory_need import weights_mb, worker_mb
from convfe_core.catalog.specs import Spec, from_anywhere, require_different_labels
from convfe_core.jobs.maps_job import SCHEMA, MapsJob
from convfe_core.jobs.ray_engine import RayEngine, RayProgress, missing_in_words
from convfe_core.jobs.shards import Parts, Shard, ShardImage, cut_shards
from convfe_core.machine.versions import installed_version
from convfe_core.maps.input_size import Size
from convfe_core.model_files.saved_model_folder import model_stamp
from convfe_core.photos.photo import require_file
from convfe_core.photos.photo_folders import photos_at_address, photos_in_folder

MANIFEST = "manifest.json"
PARTS = "parts"


@dataclass
class MapsRun:
    """What to write where.

    Attributes
    ----------
    paths : images, or folders of images, or their addresses
    out : a folder or its address
    engine : computes the maps elsewhere
    tell : takes one line of progress or of what went wrong
    """

    paths: tuple[Path | str, ...]
    specs: tuple[Spec, ...]
    size: Size
    tap: str
    out: Path | str
    tell: Callable[[str], None]
    precision: Precision = "float32"
    engine: RayEngine | None = None
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
        specs = {spec.text: spec for spec in self.specs}
        shards = cut_shards(images, list(specs), self._request())
        out = self._out = open_folder(self.out)
        parts = Parts(out.below(PARTS), SCHEMA)
        parts.keep_only(shards)
        if self.precision != "float32":
            self.tell(f"{self.precision}: {explain_precision(self.precision)}")
        there = parts.finished(shards)
        missing = [shard for shard in shards if shard.name not in there or not self._keeps_files(parts, shard)]
        job = MapsJob(
            specs={text: from_anywhere(spec) for text, spec in specs.items()},
            size=self.size,
            tap=self.tap,
            precision=self.precision,
            here=Path.cwd(),
            out=out,
            bfloat16=computes_in_bfloat16(self.precision),
        )
        if self.engine is not None:
            self._run_elsewhere(self.engine, job, missing, parts)
        else:
            self._run_here(job, missing, parts, len(images))
        finished = parts.finished(shards)
        with out.writing(MANIFEST) as file:
            written = self._write_manifest(file, (parts.read(shard) for shard in shards if shard.name in finished))
        self.tell(
            f"{counted(written, 'map')} in {out.label}" + (f", {len(self._failed)} failed" if self._failed else "")
        )
        return len(self._failed)

    def _run_here(self, job: MapsJob, missing: Sequence[Shard], parts: Parts, images: int) -> None:
        pace = Pace(images * len(job.specs))
        smallest_first = sorted(job.specs, key=lambda text: weights_mb(job.specs[text]))  # others load while it runs
        unfinished = {text: [shard for shard in missing if shard.backbone == text] for text in smallest_first}
        coming = [text for text, shards in unfinished.items() if shards]
        with LoadAhead(job.specs, job.load) as loader:
            for text, shards in unfinished.items():
                pace.skip(images - sum(len(shard.images) for shard in shards) + parts.begun(shards))
                if shards:
                    following = next(iter(coming[coming.index(text) + 1 :]), None)
                    self._run_backbone(job, text, partial(loader.take, text, following), shards, parts, pace)

    def _run_elsewhere(self, engine: RayEngine, job: MapsJob, missing: Sequence[Shard], parts: Parts) -> None:
        told = [0.0]

        def tell(progress: RayProgress) -> None:
            now = time.monotonic()
            if progress.shards < progress.of and now - told[0] < SECONDS_BETWEEN_LINES:
                return
            told[0] = now
            left = "" if progress.seconds_left is None else f", {duration(progress.seconds_left)} left"
            self.tell(progress.words + left)

        reasons = engine.finish(job, missing, parts, worker_mb(job.specs.values()), tell)
        for shard in missing:
            if shard.name not in reasons and not self._keeps_files(parts, shard):
                reasons[shard.name] = "its files are not there on this machine; give an --out that every node reaches"
        absent = [Skipped(shard.words, reasons[shard.name]) for shard in missing if shard.name in reasons]
        for one in absent:
            self._failed["", one.file, one.reason] = None
        if absent:
            self.tell(f"convfe: {missing_in_words(absent)}")

    def _images(self) -> list[ShardImage]:
        """Every image once, with a stem for its files; images of one name in different folders are numbered."""
        stamps: dict[str, str] = {}
        for path in self.paths:
            try:
                stamps |= _pictures(path)
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

    def _request(self) -> dict[str, Any]:
        """What the maps depend on besides the images and the names of the backbones."""
        return {
            "version": installed_version("convfe"),
            "size": self.size.name,
            "tap": self.tap,
            "bfloat16": computes_in_bfloat16(self.precision),
            "preprocessing": {spec.text: spec.preprocessing for spec in self.specs if spec.preprocessing is not None},
            "weights": {spec.text: model_stamp(spec.path) for spec in self.specs if spec.path is not None},
        }

    def _keeps_files(self, parts: Parts, shard: Shard) -> bool:
        """Whether the files that a shard's part names are there; without them the part goes too."""
        names = parts.read(shard).select(["png", "npz"]).to_pydict()
        if self._out.keeps(name for column in names.values() for name in column if name):
            return True
        parts.drop(shard)
        return False

    def _run_backbone(
        self, job: MapsJob, text: str, load: Callable[[], Backbone], todo: Sequence[Shard], parts: Parts, pace: Pace
    ) -> None:
        """Run some shards of one backbone, which is gone from memory when this ends."""
        self.tell(f"{job.specs[text].label}: loading")
        try:
            backbone = load()
        except SpecError:
            raise
        except ConvfeError as error:
            self._fail("", text, str(error))
            return
        if kept := explain_kept(self.precision, backbone.precision):
            self.tell(f"{backbone.label}: {kept}")
        images = pace.total // len(job.specs)
        pace.restart()
        for shard in todo:
            for rows in parts.compute(shard, partial(job.rows, backbone)):
                pace.count(len(rows))
                for row in rows:
                    if row["reason"]:
                        self._tell_reason(row["reason"])
                if pace.due():
                    done = (pace.done - 1) % images + 1
                    words = pace.words()
                    self.tell(f"{backbone.label}: image {done} of {images}" + (f", {words}" if words else ""))

    def _fail(self, image: str, spec: str, reason: str) -> None:
        self._failed[image, spec, reason] = None
        self._tell_reason(reason)

    def _tell_reason(self, reason: str) -> None:
        if reason not in self._told:
            self._told.add(reason)
            self.tell(f"convfe: {reason}")

    def _write_manifest(self, file: IO[bytes], tables: Iterator[pa.Table]) -> int:
        """Write the manifest shard by shard, so that it need not be in memory, and return how many maps it lists."""
        head = {
            "size": self.size.name,
            "tap": self.tap,
            "precision": self.precision,
            "backbones": list(dict.fromkeys(spec.text for spec in self.specs)),
        }
        file.write(_json(head)[:-2].encode() + b',\n "maps": [')
        written = 0
        for table in tables:
            for row in table.to_pylist():
                reason = row.pop("reason")
                if reason:
                    self._fail(row["image"], "", reason)
                    continue
                file.write(("," if written else "").encode() + b"\n  " + _json(row, indent=None).encode())
                written += 1
        failed = [dict(zip(("image", "backbone", "reason"), failure, strict=True)) for failure in self._failed]
        file.write(b'\n ],\n "failed": ' + _json(failed).encode() + b"\n}\n")
        return written


def _pictures(where: Path | str) -> dict[str, str]:
    """An image, or those of a folder, by path or address, each with what changes when it does.

    Raises
    ------
    ImageError : there is none
    StoreError : the address cannot be reached
    """
    if is_address(where):
        return photos_at_address(str(where))
    path = Path(where)
    if path.is_dir():
        return {str(one): file_stamp(one) for one in photos_in_folder(path)}
    require_file(path)
    return {str(path): file_stamp(path)}


def _seen_alike(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _json(record: Any, indent: int | None = 1) -> str:
    return json.dumps(record, indent=indent, ensure_ascii=False)
