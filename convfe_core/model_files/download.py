"""Downloads one file: to a hidden file beside its place, checked, then moved; one download however many threads ask."""

from __future__ import annotations

import errno
import hashlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests
from filelock import FileLock, Timeout

from convfe_core.base.errors import DownloadError
from convfe_core.base.folders import onto_disk

MegabyteProgress = Callable[[float, float], None]
"""Called with the megabytes (10^6 bytes) done and in all."""

CONNECT_SECONDS = 10.0
STALL_SECONDS = 30.0
CHUNK_BYTES = 1 << 18
WAIT_SECONDS = 0.1
"""How often somebody who waits for another one's download is told how far it is."""


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
    asks meanwhile waits for that download. One that was killed does not hinder the next.

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
        with _alone(lock, partial(_report_part, part, expected_mb, on_progress)) as alone:
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
    with _open(url, stall_seconds) as (size, chunks), part.open("wb") as file:
        total = size or round(expected_mb * 1e6)
        done = 0
        for chunk in chunks:
            file.write(chunk)
            done += len(chunk)
            if on_progress is not None:
                on_progress(done / 1e6, max(total, done) / 1e6)
        onto_disk(file)
    if size is not None and done != size:
        raise DownloadError(f"{_host(url)} sent {done / 1e6:.1f} of {size / 1e6:.1f} MB")


@contextmanager
def _open(url: str, stall_seconds: float) -> Iterator[tuple[int | None, Iterator[bytes]]]:
    """Open an address: how many bytes it holds, None if the server does not say, and these in chunks."""
    scheme = urlsplit(url).scheme
    if scheme == "file":
        path = Path(url2pathname(urlsplit(url).path))
        if not path.is_file():
            raise DownloadError(f"there is no file {path}")
        with path.open("rb") as file:
            yield path.stat().st_size, iter(partial(file.read, CHUNK_BYTES), b"")
    elif scheme in ("http", "https"):
        with _told_as_reasons(url, stall_seconds):
            response = requests.get(
                url,
                stream=True,
                timeout=(min(CONNECT_SECONDS, stall_seconds), stall_seconds),
                headers={"Accept-Encoding": "identity"},
            )
        with response:
            if not response.ok:
                raise DownloadError(f"{_host(url)} answered {response.status_code} {response.reason}".rstrip())
            length = response.headers.get("Content-Length", "")
            yield int(length) if length.isdecimal() else None, _chunks(response, url, stall_seconds)
    else:
        raise DownloadError(f"expected an address that begins with https://, http:// or file://, got {url!r}")


def _chunks(response: requests.Response, url: str, stall_seconds: float) -> Iterator[bytes]:
    with _told_as_reasons(url, stall_seconds):
        yield from response.iter_content(CHUNK_BYTES)


@contextmanager
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
        with suppress(OSError):
            done_mb = part.stat().st_size / 1e6
            on_progress(done_mb, max(expected_mb, done_mb))


@contextmanager
def _alone(path: Path, while_waiting: Callable[[], None]) -> Iterator[bool]:
    """Hold a lock file that threads and processes share; the system frees it when its holder dies.

    Yields
    ------
    bool
        False where the file system knows no locks, such as some of networks: others may be inside, too.
    """
    lock = FileLock(path)
    while True:
        try:
            held = lock.acquire(timeout=WAIT_SECONDS)
        except Timeout:
            while_waiting()
        except (OSError, NotImplementedError):
            yield False
            return
        else:
            break
    with held:
        yield True
