"""Where a data set's files come from: a folder, here or at an address, uploads in memory, or one zip.

Readers see names and bytes only.
"""

from __future__ import annotations

import contextlib
import io
import os
import posixpath
import stat
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from convfe_core.base.errors import AnnotationError, Skipped, StoreError
from convfe_core.base.folders import READERS_OVER_NETWORK, RemoteFolder, counts, file_stamp, is_address

_NAMES_ARE_UTF8 = 0x800


@dataclass(frozen=True)
class DatasetLimits:
    """What a data set may be.

    Attributes
    ----------
    max_files : most files in an archive or an upload
    max_bytes : bytes that they may add up to, once unpacked, as the archive states them; no entry is ever read beyond
        what it states
    text_bytes, json_bytes : largest XML or text file, and largest COCO file, that is read
    classes_bytes : largest file of class names; as YAML it takes over a hundred times its size in memory
    max_pixels : of a picture, by its header
    """

    max_files: int = 20_000
    max_bytes: int = 2_000_000_000
    text_bytes: int = 20_000_000
    json_bytes: int = 1_000_000_000
    classes_bytes: int = 200_000
    max_pixels: int = 50_000_000


DEFAULT_DATASET_LIMITS = DatasetLimits()


class FileSet(ABC):
    """Named files that can be read, in a stable order.

    Attributes
    ----------
    label : what the source is called in messages
    place : path of the folder that the files are named from, where there is one outside the source itself
    names : the files, relative to the source, with ``/`` between folders, sorted
    problems : entries that will not be read, and why
    readers : how many files are worth reading at a time: several where reading is mostly waiting
    """

    label: str
    place: str = ""
    names: tuple[str, ...]
    problems: tuple[Skipped, ...] = ()
    readers: int = 1

    def path(self, name: str) -> str:
        """One of `names` as a path from the place of the source, so that files of two sources can be compared."""
        return f"{self.place}/{name}" if self.place else name

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """Open one of `names` for reading; OSError (or the archive's own error) where that fails."""

    def stamp(self, name: str) -> str:  # noqa: ARG002
        """What changes when the file does, or nothing where that is not known."""
        return ""

    def read(self, name: str, max_bytes: int) -> bytes:
        """Read a whole file.

        Raises
        ------
        AnnotationError : it cannot be read or holds more than `max_bytes`; the message leaves the file's name to the
            caller
        StoreError : the store does not answer
        """
        try:
            with self.open(name) as file:
                data = file.read(max_bytes + 1)
        except StoreError:  # says nothing about the file: another time it may well be read
            raise
        except (
            OSError,
            zipfile.BadZipFile,
            RuntimeError,
            NotImplementedError,
            EOFError,
            ValueError,
        ) as error:
            raise AnnotationError(f"cannot be read ({getattr(error, 'strerror', None) or error})") from error
        except Exception as error:  # the decompressors behind zipfile have error types of their own
            raise AnnotationError(f"is damaged ({error})") from error
        if len(data) > max_bytes:
            raise AnnotationError(f"expected at most {max_bytes / 1e6:g} MB, got more")
        return data


class FolderFiles(FileSet):
    """A folder on this machine with all folders in it; hidden files and folders are left alone.

    Folders in it that cannot be read are problems.

    Parameters
    ----------
    root : the folder
    keep : tells by its name whether a file counts; None for all

    Raises
    ------
    AnnotationError : `root` is no folder, or one that cannot be read
    """

    def __init__(self, root: Path, keep: Callable[[str], bool] | None = None) -> None:
        if not root.is_dir():
            came = "a file" if root.exists() else "a path where there is nothing"
            raise AnnotationError(f"{root}: expected a folder, got {came}.")
        self.root = root
        self.label = str(root)
        self.place = root.resolve().as_posix().rstrip("/")
        failed: list[OSError] = []
        self.names = tuple(sorted(name for name in _walk(root, failed.append) if keep is None or keep(name)))
        self.problems = tuple(_unread(root, error) for error in failed)

    def open(self, name: str) -> IO[bytes]:
        return (self.root / name).open("rb")

    def stamp(self, name: str) -> str:
        return file_stamp(self.root / name)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle as an absolute path, without the listing."""
        return {**self.__dict__, "root": self.root.absolute(), "names": (), "problems": ()}


class AddressFiles(FileSet):
    """A folder at an address such as ``s3://bucket/photos``, with all folders in it; see `convfe_core.base.folders`.

    Parameters
    ----------
    address : the folder
    keep : tells by its name whether a file counts; None for all

    Raises
    ------
    StoreError : the address cannot be reached
    AnnotationError : nothing is there
    """

    readers = READERS_OVER_NETWORK

    def __init__(self, address: str, keep: Callable[[str], bool] | None = None) -> None:
        self._folder = RemoteFolder(address)
        self.label = self._folder.label
        self.place = posixpath.normpath(self.label)
        found = self._folder.stamps(recursive=True)
        if not found:
            raise AnnotationError(f"{self.label}: expected a folder with files, got an address where there are none.")
        self._stamps = {name: found[name] for name in sorted(found) if counts(name) and (keep is None or keep(name))}
        self.names = tuple(self._stamps)

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading from any place in it."""
        return self._folder.open(name)

    def read(self, name: str, max_bytes: int) -> bytes:
        try:
            data = self._folder.read(name, max_bytes + 1)
        except FileNotFoundError as error:
            raise AnnotationError("cannot be read (it is not there any more)") from error
        if len(data) > max_bytes:
            raise AnnotationError(f"expected at most {max_bytes / 1e6:g} MB, got more")
        return data

    def stamp(self, name: str) -> str:
        """Size and time of the last change, as they were when the folder was listed."""
        return self._stamps[name]

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the listing: whoever reads a file on another machine knows its name."""
        return {**self.__dict__, "_stamps": {}, "names": ()}


class UploadedFiles(FileSet):
    """Uploaded files.

    Parameters
    ----------
    files : (name, bytes) in the order they came; the first of two files of one name counts, the other is a problem
    label : what the uploads are called in messages
    limits : how much they may be

    Raises
    ------
    AnnotationError : they are more than `limits` allow
    """

    def __init__(
        self,
        files: Iterable[tuple[str, bytes]],
        label: str = "the uploaded files",
        limits: DatasetLimits = DEFAULT_DATASET_LIMITS,
    ) -> None:
        self.label = label
        files = tuple(files)
        _check_amount(label, [len(data) for _, data in files], limits)
        self._files: dict[str, bytes] = {}
        problems = []
        for name, data in files:
            if name in self._files:
                problems.append(Skipped(name, "a second file of this name; the first one is used"))
            else:
                self._files[name] = data
        self.names = tuple(sorted(name for name in self._files if counts(name)))
        self.problems = tuple(problems)

    def open(self, name: str) -> IO[bytes]:
        return io.BytesIO(self._files[name])


class ZipFiles(FileSet):
    """A zip archive, read entry by entry and never unpacked to disk.

    Parameters
    ----------
    file : the archive's bytes, or its path
    label : what the archive is called in messages
    limits : how much it may hold

    Raises
    ------
    AnnotationError : it is no zip archive or holds more than `limits` allow
    """

    def __init__(
        self, file: bytes | Path, label: str = "the archive", limits: DatasetLimits = DEFAULT_DATASET_LIMITS
    ) -> None:
        self.label = label
        self._file = file
        try:
            self._archive = _open_archive(file)
            entries = [entry for entry in self._archive.infolist() if not entry.is_dir()]
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise AnnotationError(f"{label}: expected a zip archive, got a file that is none or is damaged.") from error
        _check_amount(label, [entry.file_size for entry in entries], limits)
        self._entries: dict[str, zipfile.ZipInfo] = {}
        problems = []
        for entry in entries:
            name = _entry_name(entry)
            reason = self._refusal(entry, name)
            if reason is not None:
                problems.append(Skipped(name, reason))
            elif counts(name):
                self._entries[name] = entry
        self.names = tuple(sorted(self._entries))
        self.problems = tuple(problems)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle as the archive's bytes, or its absolute path."""
        file = self._file.absolute() if isinstance(self._file, Path) else self._file
        return {name: value for name, value in self.__dict__.items() if name != "_archive"} | {"_file": file}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the archive again."""
        self.__dict__.update(state)
        self._archive = _open_archive(self._file)

    def open(self, name: str) -> IO[bytes]:
        """Open an entry; what it states as its size bounds what is ever unpacked."""
        return self._archive.open(self._entries[name])

    def _refusal(self, entry: zipfile.ZipInfo, name: str) -> str | None:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            return "points outside the archive"
        if stat.S_ISLNK(entry.external_attr >> 16):
            return "is a link"
        if entry.flag_bits & 0x1:
            return "is encrypted"
        if name in self._entries:
            return "a second file of this name; the first one is used"
        return None


def open_files(where: str | Path) -> FileSet:
    """Open a folder or a zip archive on this machine, or a folder at an address.

    Raises
    ------
    AnnotationError : there is neither, or the archive is refused
    StoreError : the address cannot be reached
    """
    if is_address(where):
        return AddressFiles(str(where))
    path = Path(where)
    if path.is_file() and path.suffix.lower() == ".zip":
        return ZipFiles(path, label=path.name)
    return FolderFiles(path)


def _check_amount(label: str, sizes: Sequence[int], limits: DatasetLimits) -> None:
    if len(sizes) > limits.max_files:
        raise AnnotationError(f"{label}: expected at most {limits.max_files:,} files, got {len(sizes):,}.")
    total = sum(sizes)
    if total > limits.max_bytes:
        raise AnnotationError(
            f"{label}: expected at most {limits.max_bytes / 1e6:g} MB once unpacked, got {total / 1e6:.0f} MB."
        )


def _entry_name(entry: zipfile.ZipInfo) -> str:
    """An entry's name with ``/`` between folders, in UTF-8 where it is, whether the archive says so or not.

    macOS stores names in UTF-8 without saying so, and some tools of Windows part folders by backslashes.
    """
    name = entry.filename
    if not entry.flag_bits & _NAMES_ARE_UTF8:
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _open_archive(file: bytes | Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(file) if isinstance(file, bytes) else file)


def _walk(root: Path, on_error: Callable[[OSError], None]) -> Iterable[str]:
    for folder, folders, files in os.walk(root, onerror=on_error):
        folders[:] = [name for name in folders if counts(name)]
        below = Path(folder).relative_to(root)
        for name in files:
            if counts(name):
                yield (below / name).as_posix()


def _unread(root: Path, error: OSError) -> Skipped:
    """A folder that could not be listed, as a problem; AnnotationError where it is the root."""
    folder, reason = Path(error.filename), error.strerror or str(error)
    if folder == root:
        raise AnnotationError(f"{root}: expected a folder that can be read, got “{reason}”.") from error
    return Skipped(f"{folder.relative_to(root).as_posix()}/", f"cannot be read ({reason})")
