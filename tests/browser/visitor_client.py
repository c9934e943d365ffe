"""Somebody who talks to a server without a browser: with any headers, one run of a page at a time."""

from __future__ import annotations

import json
import re
import secrets
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import ClientConnection, connect

SECONDS = 120


def as_read(markdown: str) -> str:
    """What a reader sees of Markdown: no stars, and none of the letters that escape others."""
    return re.sub(r"[\\\u200b*]", "", markdown)


class Visit:
    """An open connection.

    Attributes
    ----------
    session : what the server calls it, once a page was opened
    widgets : identifiers of the choices and of the places for files on the page, by label
    shown : what the page consists of, by its place
    """

    def __init__(self, connection: ClientConnection, address: str) -> None:
        self._connection = connection
        self._address = address
        self._under_way: Iterator[tuple[bytes, ForwardMsg]] = iter(())
        self.session = ""
        self.widgets: dict[str, str] = {}
        self.shown: dict[tuple[int, ...], Element] = {}

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The figures of the photographs that the page shows with their maps."""
        parts = [one.bidi_component for _, one in sorted(self.shown.items())]
        return [json.loads(json.loads(part.json)["figure"]) for part in parts if part.component_name == "convfe.rows"]

    @property
    def alerts(self) -> list[str]:
        """What the page warns of."""
        return [as_read(one.alert.body) for one in self.shown.values() if one.HasField("alert")]

    @property
    def text(self) -> str:
        """All that the page has, to look for words in."""
        return as_read("\n".join(one.SerializeToString().decode("utf-8", "replace") for one in self.shown.values()))

    def open_page(
        self,
        name: str,
        query: str = "",
        chosen: Mapping[str, str] | None = None,
        files: Mapping[str, Sequence[tuple[str, bytes]]] | None = None,
    ) -> str:
        """Open a page and return all that its run sent, as text to look for words in.

        Parameters
        ----------
        chosen : values by the label of a choice that the page had when it was opened before, offered or not
        files : names and bytes by the label of a place for files that the page had then; they are uploaded before
        """
        asked = _request(name, query)
        for label, value in (chosen or {}).items():
            asked.rerun_script.widget_states.widgets.add(id=self.widgets[label], string_value=value)
        for label, brought in (files or {}).items():
            place = asked.rerun_script.widget_states.widgets.add(id=self.widgets[label])
            for file, content in brought:
                identifier = secrets.token_hex(8)
                assert upload(self._address, self.session, content, name=file, identifier=identifier) == 204
                place.file_uploader_state_value.uploaded_file_info.add(name=file, size=len(content), file_id=identifier)
        return "".join(data.decode("utf-8", "replace") for data, _ in self._run(asked))

    def begin_page(self, name: str, query: str = "") -> None:
        """Ask for a page and go on at once."""
        self._under_way = self._run(_request(name, query))

    def wait_for_progress(self, word: str = "") -> None:
        """Go on once a bar of progress of the page that was begun says a word, or anything."""
        for _, message in self._under_way:
            shown = message.delta.new_element
            if shown.HasField("progress") and word in shown.progress.text:
                return
        raise AssertionError(f"the page was there before a bar said {word or 'anything'}")

    def _run(self, asked: BackMsg) -> Iterator[tuple[bytes, ForwardMsg]]:
        """Ask for a run of a page, and return what it will send until it has ended."""
        self._connection.send(asked.SerializeToString())
        self.shown = {}
        return self._until_the_end()

    def _until_the_end(self) -> Iterator[tuple[bytes, ForwardMsg]]:
        ended = False
        while not ended:
            data = self._connection.recv(SECONDS)
            assert isinstance(data, bytes)
            message = ForwardMsg.FromString(data)
            if message.delta.HasField("new_element"):
                self.shown[tuple(message.metadata.delta_path)] = message.delta.new_element
            for kind in ("selectbox", "file_uploader"):
                if message.delta.new_element.HasField(kind):
                    box = getattr(message.delta.new_element, kind)
                    self.widgets[box.label] = box.id
            if message.HasField("new_session"):
                self.session = message.new_session.initialize.session_id or self.session
            ended = message.HasField("script_finished") and message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY
            yield data, message


def _request(name: str, query: str) -> BackMsg:
    """What a browser sends to open a page."""
    asked = BackMsg()
    asked.rerun_script.page_name = name
    asked.rerun_script.query_string = query
    return asked


@contextmanager
def visit(address: str, headers: Mapping[str, str] | None = None) -> Iterator[Visit]:
    """Connect to a server.

    Parameters
    ----------
    headers : besides those that such a connection always has; ``Host`` replaces its own
    """
    extra = dict(headers or {})
    where = urlsplit(address)
    uri = f"ws://{extra.pop('Host', where.netloc)}/_stcore/stream"
    there = socket.create_connection((where.hostname, where.port), SECONDS)
    with connect(uri, sock=there, additional_headers=extra, max_size=None, max_queue=None) as connection:
        yield Visit(connection, address)


def look(address: str, query: str) -> Visit:
    """Open Compare as a new visitor, who leaves once it is there."""
    with visit(address) as visitor:
        visitor.open_page("compare", query)
        return visitor


def upload(
    address: str,
    session: str,
    data: bytes,
    headers: Mapping[str, str] | None = None,
    *,
    name: str = "f.png",
    identifier: str = "",
) -> int:
    """Upload a file as a page of the server would, and return the status that it answers."""
    with urllib.request.urlopen(f"{address}/_stcore/health", timeout=SECONDS) as answer:
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
    form = (
        b'--x\r\nContent-Disposition: form-data; name="f"; filename="%b"\r\n\r\n' % name.encode()
        + data
        + b"\r\n--x--\r\n"
    )
    request = urllib.request.Request(
        f"{address}/_stcore/upload_file/{session}/{identifier or secrets.token_hex(8)}",
        data=form,
        method="PUT",
        headers={
            "Content-Type": "multipart/form-data; boundary=x",
            "Cookie": cookie,
            "X-Xsrftoken": re.sub("^[^=]*=", "", cookie),
            **(headers or {}),
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as done:
            return int(done.status)
    except urllib.error.HTTPError as refused:
        return refused.code
