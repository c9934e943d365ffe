"""Photographs from folders, and from a loopback server that behaves and one that does not."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from convfe_core.base.errors import ImageError
from convfe_core.photos.photo import ImageLimits
from convfe_core.photos.photo_folders import fetch_photo, photos_in_folder
from tests.conftest import posix

# --- folders -------------------------------------------------------------------------------------


def test_a_folder_lists_its_pictures_sorted(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "C.webp", "notes.txt", ".hidden.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "d.tiff").touch()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "e.png").touch()
    assert [path.name for path in photos_in_folder(tmp_path)] == ["a.png", "b.JPG", "C.webp"]
    deep = photos_in_folder(str(tmp_path), recursive=True)
    assert [path.name for path in deep] == ["a.png", "b.JPG", "C.webp", "d.tiff"]


@posix
def test_a_folder_that_links_to_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    assert len(photos_in_folder(tmp_path, recursive=True)) == 1


def test_a_folder_that_is_none_is_answered_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"^missing: .* got a path where there is no folder\.$"):
        photos_in_folder(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match=r"^file: .* got a file\.$"):
        photos_in_folder(tmp_path / "file")
    with pytest.raises(ImageError, match="expected a folder"):
        photos_in_folder("nul\0byte")
    (tmp_path / "file").unlink()
    with pytest.raises(ImageError, match=r"got one with no other files\.$"):
        photos_in_folder(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ImageError, match=r"got one with 1 other file\.$"):
        photos_in_folder(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(ImageError, match=r"Folders in it are not searched: name one of them\.$"):
        photos_in_folder(tmp_path)


def test_a_folder_without_permission_is_answered_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may read everything, so the refusal is put where the system would put it.
    def refuse(_path: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(ImageError, match="expected a folder that can be read, got “Permission denied”"):
        photos_in_folder(tmp_path)


# --- addresses -----------------------------------------------------------------------------------


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10), (255, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


Answer = Callable[[BaseHTTPRequestHandler], None]


def plain(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content_Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def redirect(handler: BaseHTTPRequestHandler, to: str) -> None:
    plain(handler, b"", 302, Location=to)


def unbounded(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(bytes(100_000))


def drip(handler: BaseHTTPRequestHandler, head: bytes) -> None:
    handler.wfile.write(head)
    for _ in range(100):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.05)


def chunked(handler: BaseHTTPRequestHandler) -> None:
    handler.protocol_version = "HTTP/1.1"
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for start in range(0, len(png()), 20):
        piece = png()[start : start + 20]
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
    handler.wfile.write(b"0\r\n\r\n")


ANSWERS: dict[str, Answer] = {
    "/red.png": lambda handler: plain(handler, png()),
    "/a%20b/%C3%A4.png?size=%20large": lambda handler: plain(handler, png()),
    "/": lambda handler: plain(handler, png()),
    "/chunked.png": chunked,
    "/moved.png": lambda handler: redirect(handler, "/red.png"),
    "/circle.png": lambda handler: redirect(handler, "circle.png"),
    "/file.png": lambda handler: redirect(handler, "file:///etc/hostname"),
    "/ftp.png": lambda handler: redirect(handler, "ftp://127.0.0.1/red.png"),
    "/page.png": lambda handler: plain(handler, b"<!doctype html><html></html>"),
    "/short.png": lambda handler: plain(handler, png()[:45], Content_Length=str(len(png()))),
    "/claims.png": lambda handler: plain(handler, b"", Content_Length="300000000"),
    "/unbounded.png": unbounded,
    "/drip-body.png": lambda handler: drip(handler, b"HTTP/1.0 200 OK\r\n\r\n"),
    "/drip-head.png": lambda handler: drip(handler, b"HTTP/1.0 200 OK\r\nX-Slow: "),
    "/silent.png": lambda _handler: time.sleep(1.5),
    "/garbage.png": lambda handler: handler.wfile.write(b"\0\1\2 garbage\r\n\r\n"),
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        answer = ANSWERS.get(self.path, lambda handler: plain(handler, b"", 404))
        try:
            answer(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/red.png", "red.png"),
        ("/a b/ä.png?size= large#part", "ä.png"),
        ("/a%20b/%C3%A4.png?size=%20large", "ä.png"),
        ("", "127.0.0.1"),
        ("/chunked.png", "chunked.png"),
        ("/moved.png", "red.png"),
    ],
)
def test_a_picture_is_fetched(server: str, path: str, name: str) -> None:
    photo = fetch_photo(server + path)
    assert photo.name == name
    assert photo.pixels.shape == (10, 20, 3)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/missing.png", r"^missing\.png: .* got HTTP status 404\.$"),
        ("/circle.png", r"^circle\.png: expected at most 5 redirects, got more\.$"),
        ("/file.png", r"^Expected an http or https address, got “file:///etc/hostname”\.$"),
        ("/ftp.png", r"^Expected an http or https address, got “ftp://127\.0\.0\.1/red\.png”\.$"),
        ("/page.png", r"^page\.png: .* got a web page\.$"),
        ("/short.png", r"^short\.png: .* got no connection \(the answer was cut short\)\.$"),
        ("/claims.png", r"^claims\.png: expected at most 2 MB, got more; fetch a smaller copy\.$"),
        ("/unbounded.png", r"^unbounded\.png: expected at most 2 MB, got more"),
        ("/garbage.png", r"^garbage\.png: expected a picture from 127\.0\.0\.1, got no connection"),
    ],
)
def test_a_server_that_misbehaves_is_answered_with_a_sentence(server: str, path: str, sentence: str) -> None:
    with pytest.raises(ImageError, match=sentence) as caught:
        fetch_photo(server + path, ImageLimits(max_bytes=2_000_000))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["/drip-body.png", "/drip-head.png", "/silent.png"])
def test_a_slow_server_is_cut_off(server: str, path: str) -> None:
    begun = time.monotonic()
    with pytest.raises(ImageError, match=r"expected an answer within 0\.5 seconds, got none from 127\.0\.0\.1\."):
        fetch_photo(server + path, seconds=0.5)
    assert time.monotonic() - begun < 1.4


@pytest.mark.parametrize(
    "address",
    [
        "",
        "cat.png",
        "file:///etc/hostname",
        "ftp://host/cat.png",
        "http://",
        "http://[::1",
        "http://h:99999/",
        "//h/",
    ],
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ImageError, match=r"^Expected an http or https address, got “"):
        fetch_photo(address)


def test_an_address_where_nobody_listens_is_answered_with_a_sentence(server: str) -> None:
    with pytest.raises(ImageError, match=r"got no connection \(no such host\)"):
        fetch_photo("http://host.invalid/cat.png")
    with pytest.raises(ImageError, match=r"got no connection \(Connection refused\)"):
        fetch_photo("http://127.0.0.1:1/cat.png")
    with pytest.raises(ImageError, match=r"^red\.png: expected a picture from 127\.0\.0\.1, got no connection"):
        fetch_photo(server.replace("http:", "https:") + "/red.png")
    with pytest.raises(ImageError, match="got no connection"):
        fetch_photo("http://bad host\x01/cat.png")


def test_no_timer_outlives_a_fetch(server: str) -> None:
    fetch_photo(server + "/red.png")
    assert not [
        thread
        for thread in threading.enumerate()
        if isinstance(thread, threading.Timer) and not thread.finished.is_set()
    ]
