"""Photographs from a folder and from an address: for a run on one's own machine, never for a hosted one."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from requests.certs import where as certificates

from convfe_core.base.errors import ImageError
from convfe_core.base.folders import known_folder, split_address
from convfe_core.base.wording import display_name
from convfe_core.photos.photo import DEFAULT_LIMITS, EXTENSIONS, ImageLimits, Photo, read_photo

FETCH_SECONDS = 10.0
"""How long fetching one address may take, from name to last byte."""

_MOST_REDIRECTS = 5
_CHUNK = 65536


def photos_in_folder(path: str | Path) -> list[Path]:
    """List the pictures of a folder, sorted by path, capitals and small letters alike.

    Hidden files are left out, and the folders in it are not searched.

    Parameters
    ----------
    path : the folder

    Raises
    ------
    ImageError
        When there is no such folder, it cannot be read, or it holds no file that ends like a picture.
    """
    folder = Path(path).expanduser()
    shown = display_name(str(path))
    found: list[Path] = []
    others, below = 0, False
    try:
        if not folder.is_dir():
            raise ImageError(
                f"{shown}: expected a folder with photographs, got "
                + ("a file." if folder.exists() else "a path where there is no folder.")
            )
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    below = True
                elif entry.name.lower().endswith(EXTENSIONS) and not entry.name.startswith("."):
                    found.append(folder / entry.name)
                else:
                    others += not entry.name.startswith(".")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a valid path"
        raise ImageError(f"{shown}: expected a folder that can be read, got “{reason}”.") from error
    if not found:
        raise ImageError(
            f"{shown}: expected a folder with photographs ({', '.join(EXTENSIONS)}), got one with "
            f"{others or 'no'} other file{'' if others == 1 else 's'}."
            + (" Folders in it are not searched: name one of them." if below else "")
        )
    return sorted(found, key=lambda item: (str(item).casefold(), str(item)))


def photos_at_address(address: str) -> dict[str, str]:
    """List the pictures of a folder at an address such as ``s3://bucket/photos``, sorted like those of a folder.

    Returns
    -------
    by address, what changes when the picture does

    Raises
    ------
    ImageError
        When there is no such file, or none in the folder that ends like a picture.
    StoreError
        When the address cannot be reached.
    """
    folder, name = split_address(address)
    if name.lower().endswith(EXTENSIONS):
        stamps = known_folder(folder).stamps(recursive=False)
        if name not in stamps:
            raise ImageError(f"{display_name(name)}: expected a picture, got a path where there is no file.")
        return {address: stamps[name]}
    folder = address.rstrip("/")
    found = known_folder(folder).stamps(recursive=False)
    pictures = [one for one in found if not one.startswith(".") and one.lower().endswith(EXTENSIONS)]
    if not pictures:
        raise ImageError(
            f"{address}: expected a folder with photographs ({', '.join(EXTENSIONS)}), got an address with "
            f"{len(found) or 'no'} other file{'' if len(found) == 1 else 's'}."
        )
    return {f"{folder}/{one}": found[one] for one in sorted(pictures, key=lambda one: (one.casefold(), one))}


def fetch_photo(url: str, limits: ImageLimits = DEFAULT_LIMITS, *, seconds: float = FETCH_SECONDS) -> Photo:
    """Fetch a picture from an http or https address.

    Parameters
    ----------
    url : the address; redirects are followed as long as they stay http or https
    limits : what the picture may be; no more than ``max_bytes`` is received
    seconds : how long the whole of it may take

    Raises
    ------
    ImageError
        When the address is none, does not answer in time, answers with something else, or breaks a limit.
    """
    deadline = time.monotonic() + seconds
    address = url.strip()
    for _ in range(_MOST_REDIRECTS + 1):
        parts = _split(address)
        name = _name_of(parts)
        try:
            answer = _get(parts, limits.max_bytes, deadline)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if time.monotonic() >= deadline or isinstance(error, TimeoutError):
                raise ImageError(
                    f"{name}: expected an answer within {seconds:g} seconds, got none from {parts.hostname}."
                ) from error
            raise ImageError(
                f"{name}: expected a picture from {parts.hostname}, got no connection ({_reason(error)})."
            ) from error
        if isinstance(answer, bytes):
            if len(answer) > limits.max_bytes:
                raise ImageError(
                    f"{name}: expected at most {limits.max_bytes / 1e6:g} MB, got more; fetch a smaller copy."
                )
            return read_photo(answer, name, limits)
        if isinstance(answer, int):
            raise ImageError(f"{name}: expected a picture from {parts.hostname}, got HTTP status {answer}.")
        address = urljoin(address, answer)
    raise ImageError(f"{display_name(url)}: expected at most {_MOST_REDIRECTS} redirects, got more.")


def _split(address: str) -> SplitResult:
    shown = " ".join(address.split())[:80]
    try:
        parts = urlsplit(address)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError as error:
        raise ImageError(f"Expected an http or https address, got “{shown}”.") from error
    if parts.scheme not in {"http", "https"} or not usable:
        raise ImageError(f"Expected an http or https address, got “{shown}”.")
    return parts


def _name_of(parts: SplitResult) -> str:
    return display_name(unquote(parts.path).strip("/") or parts.hostname or "")


def _reason(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "no such host"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "its certificate is not trusted"
    return " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())[:80]


def _get(parts: SplitResult, most: int, deadline: float) -> bytes | str | int:
    """Send one request.

    Returns
    -------
    bytes, at most one more than `most`; the address of a redirect; or the status of a refusal
    """
    with _connection(parts, deadline) as connection:
        # quote leaves what is escaped already alone and escapes spaces and letters beyond ASCII.
        target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~") + (
            "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~?") if parts.query else ""
        )
        connection.request("GET", target, headers={"User-Agent": "convfe", "Accept": "image/*"})
        response = connection.getresponse()
        location = response.getheader("Location")
        if response.status in {301, 302, 303, 307, 308} and location:
            return location
        if response.status != 200:
            return response.status
        if (response.length or 0) > most:
            return bytes(most + 1)
        body = bytearray()
        while len(body) <= most and (chunk := response.read(min(_CHUNK, most + 1 - len(body)))):
            body += chunk
        if time.monotonic() >= deadline:
            raise TimeoutError
        if response.length and len(body) <= most:
            raise ConnectionError("the answer was cut short")
        return bytes(body)


@contextlib.contextmanager
def _connection(parts: SplitResult, deadline: float) -> Iterator[http.client.HTTPConnection]:
    """Connect, and cut the connection at the deadline.

    A socket's own time limit starts anew with every byte, so a server that sends one now and then would hold
    us for ever; shutting the socket down ends whatever waits on it. Looking up the name has the system's own
    time limit.
    """
    host = parts.hostname or ""
    left = max(deadline - time.monotonic(), 0.001)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        trusted = ssl.create_default_context()
        trusted.load_verify_locations(certificates())
        connection = http.client.HTTPSConnection(host, parts.port or 443, timeout=left, context=trusted)
    else:
        connection = http.client.HTTPConnection(host, parts.port or 80, timeout=left)
    with contextlib.closing(connection):
        connection.connect()
        cut = threading.Timer(max(deadline - time.monotonic(), 0.0), _shut_down, [connection.sock])
        cut.daemon = True
        cut.start()
        try:
            yield connection
        finally:
            cut.cancel()


def _shut_down(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # Not the TLS socket's own method, which would take the session away from under a thread that reads.
        socket.socket.shutdown(connected, socket.SHUT_RDWR)
