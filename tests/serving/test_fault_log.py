import io
import logging
import re
from collections.abc import Iterator

import pytest

from convfe_core.serving.fault_log import LOGGER, STRUCK_OUT, configure_log, record_fault


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    LOGGER.addHandler(handler)
    yield written
    LOGGER.removeHandler(handler)
    LOGGER.setLevel(logging.NOTSET)


def broken(name: str) -> Exception:
    try:
        {}[name]
    except KeyError as error:
        return error
    raise AssertionError


def test_the_log_has_the_traceback_under_the_reference_that_the_visitor_sees(log: io.StringIO) -> None:
    reference = record_fault(broken("key"))
    assert re.fullmatch("[0-9A-F]{8}", reference)
    assert f"fault {reference}\nTraceback (most recent call last):" in log.getvalue()
    assert "KeyError: 'key'" in log.getvalue()


def test_two_faults_have_two_references(log: io.StringIO) -> None:
    assert record_fault(broken("a")) != record_fault(broken("a"))


@pytest.mark.parametrize("name", ["aunt mary.png", "tab\there's.png", "ä.png"])
def test_names_of_what_visitors_handed_in_do_not_stand_in_the_log(log: io.StringIO, name: str) -> None:
    record_fault(broken(name), [name, "mary"])
    assert name not in log.getvalue()
    assert repr(name) not in log.getvalue()
    assert STRUCK_OUT in log.getvalue()


@pytest.mark.parametrize(
    ("setting", "level"),
    [("debug", "DEBUG"), ("ERROR", "ERROR"), ("", "WARNING"), ("loud", "WARNING")],
)
def test_a_setting_decides_what_is_logged(log: io.StringIO, setting: str, level: str) -> None:
    configure_log({"CONVFE_LOG_LEVEL": setting})
    assert logging.getLevelName(LOGGER.level) == level
    assert ("LOUD" in log.getvalue()) == (setting == "loud")


def test_setting_up_twice_writes_every_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    handlers = list(LOGGER.handlers)
    configure_log({})
    configure_log({})
    assert len(LOGGER.handlers) - len(handlers) <= 1
    LOGGER.handlers[:] = handlers
