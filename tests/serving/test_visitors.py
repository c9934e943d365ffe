from dataclasses import fields

import pytest

from convfe_core.serving.visitors import LOCAL, VISITOR, is_hosted

AT_HOME = {"Host": "localhost:8501"}


@pytest.mark.parametrize("host", ["localhost:8501", "127.0.0.1:8501", "[::1]:8501"])
def test_someone_at_this_machine_is_local(host: str) -> None:
    assert not is_hosted({}, None, {"Host": host})
    assert not is_hosted({}, "::ffff:127.0.0.1", {"Host": host, "Origin": f"http://{host}"})


@pytest.mark.parametrize(
    ("ip_address", "headers", "folder"),
    [
        ("192.0.2.7", AT_HOME, ""),
        (None, {**AT_HOME, "X-Forwarded-For": "192.0.2.7"}, ""),
        (None, {**AT_HOME, "Forwarded": "for=192.0.2.7"}, ""),
        (None, {**AT_HOME, "x-real-ip": "192.0.2.7"}, ""),
        (None, {**AT_HOME, "X-Forwarded-For": "127.0.0.1"}, ""),
        (None, {**AT_HOME, "X-Forwarded-Proto": "https"}, ""),
        (None, {**AT_HOME, "Origin": "https://app.example"}, ""),
        (None, {**AT_HOME, "Origin": "null"}, ""),
        (None, {"Host": "[::1"}, ""),
        ("2001:db8::7", AT_HOME, ""),
        ("::ffff:192.0.2.7", AT_HOME, ""),
        ("no address", AT_HOME, ""),
        (None, {"Host": "app.example"}, ""),
        (None, {"Host": "localhost.example"}, ""),
        (None, {}, ""),
        (None, AT_HOME, "/mount/src/convfe"),
    ],
)
def test_anybody_else_is_a_visitor(ip_address: str | None, headers: dict[str, str], folder: str) -> None:
    assert is_hosted({}, ip_address, headers, folder)


def test_whom_nothing_tells_apart_is_a_visitor() -> None:
    assert is_hosted({}, None, AT_HOME, direct=False)


@pytest.mark.parametrize("setting", ["1", "true", "yes", "anything"])
def test_the_setting_makes_everybody_a_visitor(setting: str) -> None:
    assert is_hosted({"CONVFE_HOSTED": setting}, None, AT_HOME)


@pytest.mark.parametrize("setting", ["0", "false", "No", " off "])
def test_the_setting_makes_nobody_a_visitor(setting: str) -> None:
    assert not is_hosted({"CONVFE_HOSTED": setting}, "192.0.2.7", {})


def test_a_visitor_may_ask_for_less_than_someone_at_this_machine() -> None:
    assert LOCAL.this_machine
    assert not VISITOR.this_machine
    for name in (field.name for field in fields(VISITOR) if field.name not in ("this_machine", "images", "dataset")):
        assert getattr(VISITOR, name) < getattr(LOCAL, name)
    assert VISITOR.images.max_bytes < LOCAL.images.max_bytes
    assert VISITOR.images.max_pixels < LOCAL.images.max_pixels
    assert VISITOR.dataset.max_pixels == VISITOR.images.max_pixels
    for name in ("max_files", "max_bytes", "text_bytes", "json_bytes"):
        assert getattr(VISITOR.dataset, name) < getattr(LOCAL.dataset, name)


def test_what_ten_visitors_keep_at_most_is_stated_and_bounded() -> None:
    pixels_mb = VISITOR.most_images * VISITOR.longest_side**2 * 3 / 2**20
    assert pixels_mb + VISITOR.maps_mb < 150
