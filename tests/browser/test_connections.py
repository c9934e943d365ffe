"""Who a real server takes for a visitor, whom it turns away, and what one visitor may upload."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from websockets.exceptions import InvalidStatus

from convfe_core.serving.visitors import VISITOR
from tests.browser.visitor_client import upload, visit
from tests.support.servers import Server, serve

pytestmark = pytest.mark.slow

OFFERED_AT_THE_MACHINE = "Folder on this machine"
LIMIT_S = 120


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server as `streamlit run` starts it, on IPv4 and IPv6, that forgets sessions after a second."""
    folder = tmp_path_factory.mktemp("connections")
    with serve(folder, {"STREAMLIT_SERVER_DISCONNECTED_SESSION_TTL": "1"}, address="::") as running:
        yield running


@pytest.mark.parametrize(
    ("headers", "local"),
    [
        ({}, True),
        ({"X-Forwarded-For": "127.0.0.1"}, False),
        ({"X-Forwarded-For": "192.0.2.7, 127.0.0.1"}, False),
        ({"Forwarded": "for=127.0.0.1"}, False),
        ({"Via": "1.1 proxy"}, False),
        ({"Host": "app.example"}, False),
        ({"Host": "app.example", "Origin": "http://app.example"}, False),
    ],
)
def test_only_who_sits_at_the_machine_is_offered_its_folders(
    server: Server, headers: dict[str, str], local: bool
) -> None:
    with visit(server.address, headers) as visitor:
        assert (OFFERED_AT_THE_MACHINE in visitor.open_page("rank")) == local


@pytest.mark.parametrize("origin", ["https://a.example", "null", "http://localhost.a.example:8501"])
def test_a_page_of_another_site_cannot_connect(server: Server, origin: str) -> None:
    with pytest.raises(InvalidStatus, match="403"), visit(server.address, {"Origin": origin}):
        pytest.fail("connected")


def test_a_visitor_uploads_so_much_and_no_more_and_nobody_else_notices(server: Server) -> None:
    megabytes = 45
    fitting = int(VISITOR.uploads_mb // megabytes)
    data = bytes(megabytes * 1_000_000)
    with visit(server.address, {"Via": "1.1 proxy"}) as greedy, visit(server.address, {"Via": "1.1 proxy"}) as other:
        greedy.open_page("compare")  # TensorFlow is loaded by this
        other.open_page("rank")
        before = server.resident_mb
        assert [upload(server.address, greedy.session, data) for _ in range(fitting + 2)] == [204] * fitting + [413] * 2
        assert upload(server.address, other.session, data[:1000]) == 204
        full = server.resident_mb
        assert full > before + 0.8 * VISITOR.uploads_mb
    end = time.monotonic() + LIMIT_S
    while server.resident_mb > full - 0.6 * VISITOR.uploads_mb:  # the session goes when it is old and others come
        assert time.monotonic() < end
        with visit(server.address) as next_one:
            next_one.open_page("system")


@pytest.mark.parametrize("spec", ["VGG16:/etc/passwd.h5", "mine=/models/mine.keras"])
def test_a_choice_that_was_never_offered_is_no_way_to_a_file(server: Server, spec: str) -> None:
    with visit(server.address, {"Via": "1.1 proxy"}) as visitor:
        visitor.open_page("depth", "samples=gravel")
        answer = visitor.open_page("depth", "samples=gravel", {"Backbone": spec})
        assert "Which level of **TinyResNet**" in answer
        assert "/etc/passwd" not in answer
        assert "mine" not in answer


def test_an_upload_without_the_token_of_the_page_is_refused(server: Server) -> None:
    with visit(server.address) as visitor:
        visitor.open_page("rank")
        assert upload(server.address, visitor.session, b"x", {"X-Xsrftoken": "forged"}) == 403
        assert upload(server.address, visitor.session, b"x") == 204
        assert upload(server.address, "nobody", b"x") == 400
