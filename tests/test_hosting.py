import pytest

from convfe_core.hosting import is_hosted

LOCAL = {"Host": "localhost:8501"}


@pytest.mark.parametrize("host", ["localhost:8501", "127.0.0.1:8501", "[::1]:8501"])
def test_someone_at_this_machine_is_local(host: str) -> None:
    assert not is_hosted({}, None, {"Host": host})


@pytest.mark.parametrize(
    ("ip_address", "headers", "folder"),
    [
        ("192.0.2.7", LOCAL, ""),
        (None, {**LOCAL, "X-Forwarded-For": "192.0.2.7"}, ""),
        (None, {**LOCAL, "Forwarded": "for=192.0.2.7"}, ""),
        (None, {**LOCAL, "x-real-ip": "192.0.2.7"}, ""),
        (None, {"Host": "app.example"}, ""),
        (None, {"Host": "localhost.example"}, ""),
        (None, {}, ""),
        (None, LOCAL, "/mount/src/convfe"),
    ],
)
def test_anybody_else_is_a_visitor(ip_address: str | None, headers: dict[str, str], folder: str) -> None:
    assert is_hosted({}, ip_address, headers, folder)


def test_the_setting_decides_over_the_connection() -> None:
    assert is_hosted({"CONVFE_HOSTED": "1"}, None, LOCAL)
    assert not is_hosted({"CONVFE_HOSTED": "0"}, "192.0.2.7", {})
