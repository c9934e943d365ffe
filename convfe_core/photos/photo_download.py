"""A photograph from an address: for somebody at their own machine, never for a visitor of a hosted one."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

import requests

from convfe_core.base.errors import ImageError
from convfe_core.base.wording import display_name
from convfe_core.photos.photo import DEFAULT_LIMITS, ImageLimits, Photo, read_photo

FETCH_SECONDS = 10.0
"""How long fetching one address may take, from name to last byte."""
FETCH_THREAD = "convfe-fetch"

_MOST_REDIRECTS = 5
_CHUNK = 65536


def fetch_photo(url: str, limits: ImageLimits = DEFAULT_LIMITS, *, seconds: float = FETCH_SECONDS) -> Photo:
    """Fetch a picture from an http or https address.

    Parameters
    ----------
    url : the address; redirects are followed as long as they stay http or https
    limits : what the picture may be; no more than ``max_bytes`` is received
    seconds : how long the whole of it may take

    Raises
    ------
    ImageError : the address is none, does not answer in time, answers with something else, or breaks a limit
    """
    deadline = time.monotonic() + seconds
    address = url.strip()
    for _ in range(_MOST_REDIRECTS + 1):
        parts = _split(address)
        name = display_name(unquote(parts.path).strip("/") or parts.hostname or "")
        try:
            answer = _wait_for(_get, address, limits.max_bytes, deadline)
        except (TimeoutError, requests.Timeout) as error:
            raise ImageError(
                f"{name}: expected an answer within {seconds:g} seconds, got none from {parts.hostname}."
            ) from error
        except (OSError, ValueError) as error:
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
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ImageError(f"Expected an http or https address, got “{shown}”.")
    return parts


_Answer = bytes | str | int


def _wait_for(get: Callable[[str, int, float], _Answer], address: str, most: int, deadline: float) -> _Answer:
    """Send a request on a thread of its own, and leave it to itself at the deadline.

    `requests` bounds each wait for bytes, not all of them together: a server that sends a byte now and then, in its
    headers even, would hold us for ever. The thread ends when that server does.
    """
    answer: Future[_Answer] = Future()

    def run() -> None:
        try:
            answer.set_result(get(address, most, deadline))
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=run, name=FETCH_THREAD, daemon=True).start()
    return answer.result(max(deadline - time.monotonic(), 0.0))


def _get(address: str, most: int, deadline: float) -> _Answer:
    """Send one request.

    Returns
    -------
    bytes, at most one more than `most`; the address of a redirect; or the status of a refusal
    """
    with requests.get(
        address,
        stream=True,
        allow_redirects=False,
        timeout=max(deadline - time.monotonic(), 0.001),
        headers={"User-Agent": "convfe", "Accept": "image/*"},
    ) as response:
        if response.is_redirect:
            return str(response.headers["Location"])
        if response.status_code != requests.codes.ok:
            return int(response.status_code)
        if int(response.headers.get("Content-Length") or 0) > most:
            return bytes(most + 1)
        body = bytearray()
        for chunk in response.iter_content(_CHUNK):
            body += chunk
            if len(body) > most or time.monotonic() > deadline:
                break
        return bytes(body[: most + 1])


def _reason(error: Exception) -> str:
    causes = list(_causes(error))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "no such host"
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return "its certificate is not trusted"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the answer was cut short"
    said = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    return " ".join(str(said[0] if said else causes[-1] or type(error).__name__).split())[:80]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those that it was raised from, the first of all last."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
