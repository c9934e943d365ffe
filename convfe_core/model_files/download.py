"""Fetching one file: streamed to the side, checked, moved into place whole, once however many ask for it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests

from convfe_core.base.errors import DownloadError
from convfe_core.base.files import onto_disk

MegabyteProgress = Callable[[float, float], None]
"""Called with the megabytes (10^6 bytes) done and in all."""

CONNECT_SECONDS = 10.0
STALL_SECONDS = 30.0
CHUNK_BYTES = 1 << 18
WAIT_SECONDS = 0.1


def download(
    url: str,
    target: Path,
    *,
    check: Callable[[Path], str | None],
    expected_mb: float,
    on_progress: MegabyteProgress | None = None,
    stall_seconds: float = STALL_SECONDS,
) -> None:
    """Put a file in its place unless another thread or process just did.

    The bytes go to a hidden file in the same folder, which is moved over `target` when complete. Whoever
    comes meanwhile waits for that download; one that was killed leaves nothing that the next trips over.
    Where the file system knows no locks, all of them download, each to a file of its own, and the last one counts.

    Parameters
    ----------
    url : http(s) or file address
    target : where the file belongs
    check : says in a phrase what is wrong with a file, None if nothing is
    expected_mb : size to count progress against when the server does not say
    stall_seconds : give up when nothing arrives for so long

    Raises
    ------
    DownloadError : with the reason as a phrase, such as ``example.com answered 404 Not Found``
    """
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = target.with_name(f".{target.name}.lock")
        with _exclusive(lock, lambda: _report_part(part, expected_mb, on_progress)) as alone:
            if target.is_file() and check(target) is None:
                return
            if not alone:
                part = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
            try:
                _stream(url, part, expected_mb, on_progress, stall_seconds)
                wrong = check(part)
                if wrong is not None:
                    raise DownloadError(f"what {_host(url)} sent is not the file, {wrong}")
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
    except OSError as error:
        raise DownloadError(_disk_reason(error, target.parent)) from error


def hash_file(path: Path, algorithm: str) -> str:
    """Hash a file with an algorithm of `hashlib`; hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _stream(
    url: str, part: Path, expected_mb: float, on_progress: MegabyteProgress | None, stall_seconds: float
) -> None:
    """Write what an address holds to `part`, complete or not at all."""
    with contextlib.closing(_Source(url, stall_seconds)) as source, part.open("wb") as file:
        total = source.size or round(expected_mb * 1e6)
        done = 0
        for chunk in source.chunks():
            file.write(chunk)
            done += len(chunk)
            if on_progress is not None:
                on_progress(done / 1e6, max(total, done) / 1e6)
        onto_disk(file)
    if source.size is not None and done != source.size:
        raise DownloadError(f"{_host(url)} sent {done / 1e6:.1f} of {source.size / 1e6:.1f} MB")


class _Source:
    """The bytes behind an address; `size` is None if the server does not say."""

    def __init__(self, url: str, stall_seconds: float) -> None:
        self._url = url
        self._stall_seconds = stall_seconds
        self.size: int | None = None
        scheme = urlsplit(url).scheme
        if scheme == "file":
            path = Path(url2pathname(urlsplit(url).path))
            if not path.is_file():
                raise DownloadError(f"there is no file {path}")
            self._file = path.open("rb")
            self.size = path.stat().st_size
        elif scheme in ("http", "https"):
            with _told_as_reasons(url, stall_seconds):
                self._response = requests.get(
                    url,
                    stream=True,
                    timeout=(min(CONNECT_SECONDS, stall_seconds), stall_seconds),
                    headers={"Accept-Encoding": "identity"},
                )
            if not self._response.ok:
                self._response.close()
                raise DownloadError(
                    f"{_host(url)} answered {self._response.status_code} {self._response.reason}".rstrip()
                )
            length = self._response.headers.get("Content-Length", "")
            self.size = int(length) if length.isdecimal() else None
        else:
            raise DownloadError(f"expected an address that begins with https://, http:// or file://, got {url!r}")

    def chunks(self) -> Iterator[bytes]:
        if urlsplit(self._url).scheme == "file":
            while chunk := self._file.read(CHUNK_BYTES):
                yield chunk
            return
        with _told_as_reasons(self._url, self._stall_seconds):
            yield from self._response.iter_content(CHUNK_BYTES)

    def close(self) -> None:
        (self._file if urlsplit(self._url).scheme == "file" else self._response).close()


@contextlib.contextmanager
def _told_as_reasons(url: str, stall_seconds: float) -> Iterator[None]:
    """Turn what `requests` raises into a phrase."""
    try:
        yield
    except requests.exceptions.ChunkedEncodingError as error:
        raise DownloadError(f"the connection to {_host(url)} broke off") from error
    except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
        if isinstance(error, requests.exceptions.ConnectTimeout) or "timed out" not in str(error):
            raise DownloadError(f"there is no connection to {_host(url)}") from error
        raise DownloadError(f"{_host(url)} sent nothing for {stall_seconds:g} seconds") from error
    except (requests.exceptions.RequestException, UnicodeError) as error:
        raise DownloadError(f"{url!r} cannot be fetched") from error


def _host(url: str) -> str:
    parts = urlsplit(url)
    return parts.hostname or parts.path


def _disk_reason(error: OSError, folder: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk that holds {folder} is full"
    return f"{folder} cannot be written ({error.strerror or error})"


def _report_part(part: Path, expected_mb: float, on_progress: MegabyteProgress | None) -> None:
    """Report how far another one's download is."""
    if on_progress is not None:
        with contextlib.suppress(OSError):
            done_mb = part.stat().st_size / 1e6
            on_progress(done_mb, max(expected_mb, done_mb))


@contextlib.contextmanager
def _exclusive(lock: Path, while_waiting: Callable[[], None]) -> Iterator[bool]:
    """Hold a lock file that threads and processes share; the system frees it when its holder dies.

    Yields
    ------
    bool
        False where the file system knows no locks, such as some of networks: others may be inside, too.
    """
    with lock.open("a+b") as file:
        while (held := _try_lock(file.fileno())) is False:
            while_waiting()
            time.sleep(WAIT_SECONDS)
        try:
            yield held is not None
        finally:
            if held:
                _unlock(file.fileno())


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool | None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        except OSError:
            return None
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool | None:
        """Whether the lock is held now; None where there are no locks."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return None
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
