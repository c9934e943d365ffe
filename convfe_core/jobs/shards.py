"""Long runs cut into shards: a few hundred consecutive images of a request under one backbone.

What a shard gives depends on the shard alone, never on other shards or their order, so any engine may compute them, in
this process or elsewhere, and a run that was killed resumes with those that are not finished.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from convfe_core.base.background import map_ahead
from convfe_core.base.errors import AnnotationError, ConvfeError, ImageError, Skipped
from convfe_core.base.pace import Pace, Tell
from convfe_core.base.wording import file_stem
from convfe_core.machine.memory import RoomToKeep
from convfe_core.photos.photo import Photo

if TYPE_CHECKING:
    from convfe_core.jobs.parts import Parts

SHARD_IMAGES = 256
LAYOUT = 3
"""Raised when the meaning of rows changes, so that parts of older versions are not taken for finished."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ShardImage:
    """One image of a request.

    Attributes
    ----------
    path : where it is
    place : its place in the request
    name : what its results are called, if they have a name
    stamp : changes when the file does, see `convfe_core.base.folders.file_stamp`
    """

    path: str
    place: int
    name: str = ""
    stamp: str = ""


@dataclass(frozen=True)
class Shard:
    """Consecutive images under one backbone.

    Attributes
    ----------
    backbone : its name in the job
    number : place among this backbone's shards
    images : in the order of the request
    digest : SHA-256 of everything that its rows depend on, hex
    task : what is done with them, for jobs that do more than one thing; a phrase for people
    """

    backbone: str
    number: int
    images: tuple[ShardImage, ...]
    digest: str
    task: str = ""

    @property
    def name(self) -> str:
        """A file name without its ending."""
        return f"{file_stem(self.backbone)}-{self.number:05d}-{self.digest[:16]}"

    @property
    def words(self) -> str:
        """What it is called in messages: the backbone, and the images by their places in the request, from 1."""
        first, last = (image.place + 1 for image in (self.images[0], self.images[-1]))
        return f"{self.backbone}, {self.task and f'{self.task}, '}images {first} to {last}"


def cut_shards(
    images: Sequence[ShardImage],
    backbones: Sequence[str],
    request: Mapping[str, Any],
    schema: pa.Schema,
    per_shard: int | None = None,
    task: str = "",
) -> list[Shard]:
    """Cut a request into shards, all of one backbone before those of the next.

    Parameters
    ----------
    request : everything else that rows depend on, fit for JSON
    schema : of the rows
    per_shard : None for `SHARD_IMAGES`
    task : as of `Shard`
    """
    per_shard = per_shard or SHARD_IMAGES
    columns = [f"{column.name} {column.type}" for column in schema]
    shards = []
    for backbone in backbones:
        for number, start in enumerate(range(0, len(images), per_shard)):
            members = tuple(images[start : start + per_shard])
            told = [(image.path, image.place, image.name, image.stamp) for image in members]
            facts = [LAYOUT, columns, backbone, task, dict(request), told]
            digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
            shards.append(Shard(backbone, number, members, digest, task))
    return shards


class KeptPhotos:
    """The photographs of a small run as they were decoded; of one whose photographs are more than may be kept, none.

    Where there is room they keep the sizes that they are resized to, too. It can be shared between threads, of which
    one decodes at a time, so that none does what another one is doing. Other processes get none of them.

    Attributes
    ----------
    full : whether they were too many, so that nothing is kept any more
    """

    def __init__(self) -> None:
        self.full = False
        self._photos: dict[int, Photo] = {}
        self._room = RoomToKeep()
        self._decoding = threading.Lock()

    def get(self, place: int, decode: Callable[[], Photo]) -> Photo:
        """The photograph at a place in the request, decoded unless it was kept; what `decode` raises is raised."""
        with self._decoding:
            return self._photos.get(place) or self._kept(place, decode())

    def decode_early(self, images: Iterable[ShardImage], decode: Callable[[ShardImage], Photo]) -> None:
        """Decode photographs that `decode` gets here, until there are too many; what is wrong is said in its turn."""
        for image in images:
            if self.full:
                return
            with suppress(ImageError, AnnotationError):
                decode(image)

    def _kept(self, place: int, photo: Photo) -> Photo:
        self.full = self.full or not self._room.take(photo.pixels.nbytes)
        if self.full:
            self._photos.clear()
            return photo
        return self._photos.setdefault(place, replace(photo, room=self._room))

    def __reduce__(self) -> tuple[type[KeptPhotos], tuple[()]]:
        return KeptPhotos, ()


class Job(Protocol):
    """What an engine maps over shards: everything that is the same for all of them; it pickles."""

    @property
    def schema(self) -> pa.Schema:
        """Of the rows."""

    @property
    def megabytes(self) -> float:
        """Memory of a process of its own that computes any of the shards."""

    def called(self, backbone: str) -> tuple[str, str]:
        """What a backbone is called in `convfe_core.base.pace.Progress`: who, and what it does besides images."""

    def load(self, backbone: str, tell: Callable[[str], None]) -> Any:
        """Make ready what the shards of one backbone share, above all its weights.

        Parameters
        ----------
        tell : takes a phrase that says what is done; may raise to end the run
        """

    def remark(self, loaded: Any) -> str | None:
        """What is to be said of what `load` gave, if anything."""

    def rows(self, loaded: Any, shard: Shard, first: int) -> Iterator[tuple[int, list[Row]]]:
        """Compute a shard with what `load` gave; see `ComputeRows`."""


ComputeRows = Callable[[Shard, int], Iterator[tuple[int, list[Row]]]]
"""Takes a shard and the first image to compute, yields after each batch the next image and the rows of those before it.

There is one row an image. To begin at a yielded image must give the very rows that would have followed.
"""


class Engine(Protocol):
    """What computes the shards of a job."""

    @property
    def elsewhere(self) -> bool:
        """Whether it computes in other processes; it is best given all shards of a run at once then."""

    def finish(self, job: Job, shards: Sequence[Shard], parts: Parts, pace: Pace, tell: Tell) -> dict[str, ConvfeError]:
        """Compute those shards that are not finished and write their parts.

        Parameters
        ----------
        shards : all that are wanted, neighbours with the same backbone
        pace : counts their images
        tell : called again and again; may raise to end it all

        Returns
        -------
        why, by the names of the shards that could not be finished: an `EngineError` where the engine lost a shard, any
        other where its backbone cannot be loaded

        Raises
        ------
        SpecError : no such backbone or layer, which no other attempt would change
        """


def rows_of_shard(
    shard: Shard,
    first: int,
    read: Callable[[ShardImage], bytes],
    decode: Callable[[ShardImage, bytes], Photo],
    process: Callable[[Iterator[tuple[int, Photo]]], Generator[list[tuple[int, Row]], None, None]],
    readers: int = 1,
) -> Iterator[tuple[int, list[Row]]]:
    """Turn the images of a shard into rows, window by window; see `ComputeRows`.

    An image that cannot be read becomes a row with nothing but its ``reason``.

    Parameters
    ----------
    read, decode : an image's bytes, and the photograph in them; both may raise ImageError or AnnotationError
    process : yields windows of rows, with the places in the shard that their photographs came with, in order
    readers : threads that read
    """
    reasons: dict[int, str] = {}  # filled by the thread that decodes, always ahead of what is yielded here

    def attempt(image: ShardImage) -> bytes | ImageError | AnnotationError:
        try:
            return read(image)
        except (ImageError, AnnotationError) as error:
            return error

    def photos() -> Iterator[tuple[int, Photo]]:
        with closing(map_ahead(attempt, shard.images[first:], readers)) as files:
            for position, data in enumerate(files, first):
                try:
                    if isinstance(data, ConvfeError):
                        raise data
                    yield position, decode(shard.images[position], data)
                except (ImageError, AnnotationError) as error:
                    reasons[position] = str(error)

    def in_order(start: int, after: int, rows: Mapping[int, Row]) -> list[Row]:
        return [rows[k] if k in rows else {"reason": reasons[k]} for k in range(start, after)]

    start = first
    with closing(process(photos())) as windows:
        for window in windows:
            rows = dict(window)
            after = max(rows) + 1
            yield after, in_order(start, after, rows)
            start = after
    if start < len(shard.images):
        yield len(shard.images), in_order(start, len(shard.images), {})


def remark(notes: Iterable[str], kept: str | None) -> str | None:
    """What to tell of a backbone before it runs, in one line; None where there is nothing.

    Parameters
    ----------
    notes : what to know about its maps
    kept : why it computes in float32 though bfloat16 was asked for
    """
    return " ".join([*notes, *([kept] if kept else [])]) or None


def missing_in_words(missing: Sequence[Skipped], most: int = 3) -> str:
    """One sentence that names the shards that could not be finished; at least one."""
    named = "; ".join(f"{one.file} ({one.reason})" for one in missing[:most])
    more = f" and {len(missing) - most} more" if len(missing) > most else ""
    count = f"{len(missing)} shards are" if len(missing) > 1 else "1 shard is"
    return f"{count} missing, everything else is done: {named}{more}; the same call again does only what is missing."
