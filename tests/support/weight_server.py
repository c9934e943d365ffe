"""A server on the loopback interface that hands out one file, well or badly."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class WeightServer:
    """What it does with the next request is `manner`; events tell a test where a request is.

    Attributes
    ----------
    manner : ``whole``, ``truncated`` (closes half-way), ``wrong`` (other bytes), ``missing`` (404), ``held`` (half,
        then the rest when `go_on` is set)
    requests : the paths asked for
    """

    body: bytes
    manner: str = "whole"
    url: str = ""
    requests: list[str] = field(default_factory=list)
    half_sent: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append(handler.path)
        if self.manner == "missing":
            handler.send_error(404)
            return
        body = bytes(len(self.body)) if self.manner == "wrong" else self.body
        half = len(body) // 2
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[:half])
        handler.wfile.flush()
        if self.manner == "held":
            self.half_sent.set()
            self.go_on.wait(60)
        if self.manner != "truncated":
            handler.wfile.write(body[half:])


@contextmanager
def serve(body: bytes) -> Iterator[WeightServer]:
    server = WeightServer(body)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                server.answer(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        server.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.go_on.set()
            http.shutdown()
            thread.join()
