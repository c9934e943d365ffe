import pytest

from convfe_core.hosting import LOCAL, VISITOR, is_hosted

AT_HOME = {"Host": "localhost:8501"}


@pytest.mark.parametrize("host", ["localhost:8501", "127.0.0.1:8501", "[::1]:8501"])
def test_someone_at_this_machine_is_local(host: str) -> None:
    assert not is_hosted({}, None, {"Host": host})


@pytest.mark.parametrize(
    ("ip_address", "headers", "folder"),
    [
        ("192.0.2.7", AT_HOME, ""),
        (None, {**AT_HOME, "X-Forwarded-For": "192.0.2.7"}, ""),
        (None, {**AT_HOME, "Forwarded": "for=192.0.2.7"}, ""),
        (None, {**AT_HOME, "x-real-ip": "192.0.2.7"}, ""),
        (None, {"Host": "app.example"}, ""),
        (None, {"Host": "localhost.example"}, ""),
        (None, {}, ""),
        (None, AT_HOME, "/mount/src/convfe"),
    ],
)
def test_anybody_else_is_a_visitor(ip_address: str | None, headers: dict[str, str], folder: str) -> None:
    assert is_hosted({}, ip_address, headers, folder)


def test_the_setting_decides_over_the_connection() -> None:
    assert is_hosted({"CONVFE_HOSTED": "1"}, None, AT_HOME)
    assert not is_hosted({"CONVFE_HOSTED": "0"}, "192.0.2.7", {})


def test_a_visitor_may_ask_for_less_than_someone_at_this_machine() -> None:
    assert LOCAL.this_machine
    assert not VISITOR.this_machine
    for name in ("most_images", "longest_side", "most_backbones", "model_mb", "maps_mb"):
        assert getattr(VISITOR, name) < getattr(LOCAL, name)
    assert VISITOR.images.max_bytes < LOCAL.images.max_bytes
    assert VISITOR.images.max_pixels < LOCAL.images.max_pixels


def test_what_ten_visitors_keep_at_most_is_stated_and_bounded() -> None:
    pixels_mb = VISITOR.most_images * VISITOR.longest_side**2 * 3 / 2**20
    assert pixels_mb + VISITOR.maps_mb < 150
