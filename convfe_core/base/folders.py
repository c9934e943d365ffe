"""Folders on this machine or at an address such as ``s3://bucket/photos``; what is written appears whole or not at all.

Addresses are those of `pyarrow.fs` (s3, gs, hdfs, abfs ...); any other goes to fsspec, where that is installed.
Credentials and endpoints come from where the store's own tools take them: the environment, or the machine's role.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import secrets
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, cast

from convfe_core.base.errors import StoreError

WHOLE_BY_ITSELF = frozenset({"s3", "gcs", "abfs"})
"""Object stores: there a file is seen once all of it is there."""
READ_AT_ONCE = 65536
"""Bytes asked for at once when only the beginning of a file may be wanted."""
READERS_OVER_NETWORK = 32
"""Files read at a time from an address, where reading is mostly waiting."""

_NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EROFS)
"""What file systems answer that cannot be asked to write at once, such as some of networks and of user programs."""

_CHUNK = 8 << 20


def is_address(where: str | Path) -> bool:
    """Whether this names something that is not simply a path on this machine."""
    return isinstance(where, str) and "://" in where


def split_address(address: str) -> tuple[str, str]:
    """``s3://bucket/a/b.png`` -> ``s3://bucket/a`` and ``b.png``."""
    folder, _, name = address.rstrip("/").rpartition("/")
    return folder, name


class Folder(ABC):
    """A folder that is written to, with one level of files; it need not be there before the first of them is.

    Attributes
    ----------
    label : what it is called in messages
    """

    label: str

    @abstractmethod
    def names(self) -> set[str]:
        """The files in it, not those of its folders."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether there is such a file."""

    @abstractmethod
    def keeps(self, names: Iterable[str]) -> bool:
        """Whether files that were written once are still there, where asking is quick."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """A whole file."""

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Write a file that appears whole or not at all."""

    @abstractmethod
    def writing(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Write a file piece by piece; it appears when the block has ended well."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file if it is there."""

    @abstractmethod
    def below(self, name: str) -> Folder:
        """A folder in this one."""


class LocalFolder(Folder):
    """A folder on this machine, made when it is missing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.label = str(path)
        path.mkdir(parents=True, exist_ok=True)

    def names(self) -> set[str]:
        with os.scandir(self.path) as entries:  # which tells files from folders without asking for each
            return {entry.name for entry in entries if entry.is_file()}

    def has(self, name: str) -> bool:
        return (self.path / name).is_file()

    def keeps(self, names: Iterable[str]) -> bool:
        return all(self.has(name) for name in names)

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        write_whole(self.path / name, data)

    def writing(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        return whole_file(self.path / name)

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def below(self, name: str) -> Folder:
        return LocalFolder(self.path / name)

    def __reduce__(self) -> tuple[type[LocalFolder], tuple[Path]]:
        """Pickle as an absolute path."""
        return LocalFolder, (self.path.absolute(),)


class RemoteFolder(Folder):
    """A folder at an address; whatever goes wrong there is a `StoreError`.

    Parameters
    ----------
    address : for instance ``s3://bucket/photos``

    Raises
    ------
    StoreError : there is no way to such an address
    """

    def __init__(self, address: str) -> None:
        self.label = address.rstrip("/")
        self._files, self._path = _connect(address)

    def names(self) -> set[str]:
        return {name for name in self.stamps(recursive=False) if "/" not in name}

    def stamps(self, *, recursive: bool) -> dict[str, str]:
        """Every file with what changes when it does: its size and the time of its last change."""
        from pyarrow.fs import FileSelector, FileType

        with self._speaking():
            found = self._files.get_file_info(FileSelector(self._path, allow_not_found=True, recursive=recursive))
        return {
            PurePosixPath(one.path).relative_to(self._path).as_posix(): f"{one.size}:{one.mtime_ns}"
            for one in found
            if one.type == FileType.File
        }

    def has(self, name: str) -> bool:
        from pyarrow.fs import FileType

        with self._speaking(name):
            return bool(self._files.get_file_info(self._at(name)).type == FileType.File)

    def keeps(self, names: Iterable[str]) -> bool:  # noqa: ARG002
        """Yes: to ask for each of a million files takes hours."""
        return True

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading from any place in it."""
        with self._speaking(name):
            raw = _RemoteFile(self._files.open_input_file(self._at(name)), self, name)
        return io.BufferedReader(raw, READ_AT_ONCE)

    def read(self, name: str, max_bytes: int | None = None) -> bytes:
        """A whole file, or no more than so many bytes of it; FileNotFoundError where there is none."""
        with self._speaking(name), self._files.open_input_stream(self._at(name)) as file:
            return cast(bytes, file.read(max_bytes))

    def write(self, name: str, data: bytes) -> None:
        self._write(name, io.BytesIO(data))

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        """Write a file piece by piece; until it is complete the pieces lie on this machine."""
        with tempfile.TemporaryFile() as file:
            yield file
            file.seek(0)
            self._write(name, file)

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError), self._speaking(name):
            self._files.delete_file(self._at(name))

    def below(self, name: str) -> Folder:
        return RemoteFolder(f"{self.label}/{name}")

    def __reduce__(self) -> tuple[type[RemoteFolder], tuple[str]]:
        """Pickle as an address: each machine takes credentials from its own environment."""
        return RemoteFolder, (self.label,)

    def _write(self, name: str, data: IO[bytes]) -> None:
        target = self._at(name)
        whole = self._files.type_name in WHOLE_BY_ITSELF
        with self._speaking(name):
            if not whole:
                self._files.create_dir(str(PurePosixPath(target).parent), recursive=True)
            first = target if whole else self._at(f".convfe-{secrets.token_hex(8)}.part")
            with self._files.open_output_stream(first) as stream:
                while chunk := data.read(_CHUNK):
                    stream.write(chunk)
            if not whole:
                self._files.move(first, target)

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}"

    @contextlib.contextmanager
    def _speaking(self, name: str = "") -> Iterator[None]:
        """Turn a store's errors into a `StoreError` that names the address; FileNotFoundError is passed on."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise unreachable(f"{self.label}/{name}" if name else self.label, error) from error


def open_folder(where: str | Path) -> Folder:
    """A folder to write to, by its path or address.

    Raises
    ------
    StoreError : there is no way to such an address
    """
    return RemoteFolder(str(where)) if is_address(where) else LocalFolder(Path(where))


@functools.lru_cache(maxsize=16)
def known_folder(address: str) -> RemoteFolder:
    """A folder at an address, connected once and then kept."""
    return RemoteFolder(address)


def unreachable(where: str, error: Exception) -> StoreError:
    """The error for an address that cannot be reached, read or written."""
    said = " ".join(str(error).split())[:200].rstrip(". ")
    return StoreError(
        f"{where}: expected an address that can be reached, got “{said}”; check the name, and that every machine "
        "which takes part has the credentials and may read and write there."
    )


class _RemoteFile(io.RawIOBase):
    """A file at an address as Python's own readers want one."""

    def __init__(self, file: Any, folder: RemoteFolder, name: str) -> None:
        super().__init__()
        self._file, self._folder, self._name = file, folder, name

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return cast(int, self._file.tell())

    def seek(self, offset: int, whence: int = 0) -> int:
        self._file.seek(offset, whence)
        return cast(int, self._file.tell())

    def readinto(self, buffer: Any) -> int:
        with self._folder._speaking(self._name):
            return cast(int, self._file.readinto(buffer))

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _connect(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path there without a slash at its end."""
    import pyarrow as pa
    from pyarrow.fs import FileSystem

    try:
        try:
            files, path = FileSystem.from_uri(address)
        except pa.ArrowInvalid:
            files, path = FileSystem.from_uri(f"fsspec+{address}")
    except (pa.ArrowException, OSError, ValueError, ImportError) as error:
        said = " ".join(str(error).split())[:160].rstrip(". ")
        raise StoreError(
            f"{address}: expected an address such as s3://bucket/folder or gs://bucket/folder, got “{said}”; install "
            "the fsspec package for this kind of address, or copy the files to one of these."
        ) from error
    path = path.rstrip("/")
    if not path:
        raise StoreError(f"{address}: expected an address with a bucket and a folder, such as s3://bucket/folder.")
    return files, path


def write_whole(path: str | Path, data: bytes) -> None:
    """Write a file so that nobody ever sees half of it.

    The bytes go to a hidden file in the same folder, which then takes the name in one step. When that fails,
    what was there before stays as it was, and nothing else is left behind.

    Raises
    ------
    OSError : the folder is missing or cannot be written, or the disk is full
    """
    with whole_file(path) as file:
        file.write(data)


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file to be written piece by piece, which takes its name when the block ends; see `write_whole`.

    Raises
    ------
    OSError : as in `write_whole`
    """
    path = Path(path)
    temporary = path.with_name(f".convfe-{secrets.token_hex(8)}.part")
    try:
        with temporary.open("xb") as file:
            yield file
            onto_disk(file)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def file_stamp(path: Path) -> str:
    """Size and time of the last change, or nothing for a file that cannot be asked."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return ""
    return f"{found.st_size}:{found.st_mtime_ns}"


_LEFT_ALONE = ("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "$recycle.bin")


def counts(name: str) -> bool:
    """Whether a file or folder is somebody's, neither hidden nor left behind by an operating system."""
    return not any(part.startswith(".") or part.lower() in _LEFT_ALONE for part in PurePosixPath(name).parts)


def onto_disk(file: BinaryIO) -> None:
    """Flush a file to its disk, where the file system can (fsync); a failing disk still raises OSError."""
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
