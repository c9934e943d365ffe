"""The next backbone is loaded while the one before it runs, where that is possible."""

import threading
from collections.abc import Callable

import pytest

from convfe_core.backbones.load_ahead import LoadAhead
from convfe_core.base.errors import MemoryLimitError, SpecError
from convfe_core.catalog.specs import parse_spec
from convfe_core.machine.memory import SETTING

LIMIT_S = 60.0
SMALL = ("TinyMobileNet", "TinyResNet")


class Loads:
    """A loader that keeps where and when it was asked for what."""

    def __init__(self, fail: Callable[[str], None] = lambda _name: None) -> None:
        self.threads: dict[str, list[str]] = {}
        self.done = {name: threading.Event() for name in (*SMALL, "VGG16")}
        self._fail = fail

    def __call__(self, name: str) -> str:
        self.threads.setdefault(name, []).append(threading.current_thread().name.partition("_")[0])
        try:
            self._fail(name)
        finally:
            self.done[name].set()
        return f"{name} loaded"


def ahead(loads: Loads, *names: str) -> LoadAhead[str]:
    return LoadAhead({name: parse_spec(name) for name in names}, loads)


def test_the_next_is_loaded_before_it_is_asked_for() -> None:
    loads = Loads()
    with ahead(loads, *SMALL) as loader:
        assert loader.take(SMALL[0], SMALL[1:]) == "TinyMobileNet loaded"
        assert loads.done["TinyResNet"].wait(LIMIT_S)
        assert loader.take("TinyResNet") == "TinyResNet loaded"
    assert loads.threads == {"TinyMobileNet": ["MainThread"], "TinyResNet": ["convfe-load"]}


def test_without_room_for_two_each_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTING, "100")
    loads = Loads()
    with ahead(loads, *SMALL) as loader:
        loader.take(SMALL[0], SMALL[1:])
        assert loader.take("TinyResNet") == "TinyResNet loaded"
    assert loads.threads["TinyResNet"] == ["MainThread"]


def test_a_download_waits_for_its_turn(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("empty")))
    loads = Loads()
    with ahead(loads, "TinyResNet", "VGG16") as loader:
        loader.take("TinyResNet", ["VGG16"])
        loader.take("VGG16")
    assert loads.threads["VGG16"] == ["MainThread"]


def test_what_found_no_room_ahead_is_tried_again_in_its_turn() -> None:
    def fail(_name: str) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise MemoryLimitError("no room yet")

    loads = Loads(fail)
    with ahead(loads, *SMALL) as loader:
        loader.take(SMALL[0], SMALL[1:])
        assert loader.take("TinyResNet") == "TinyResNet loaded"
    assert loads.threads["TinyResNet"] == ["convfe-load", "MainThread"]


def test_an_error_comes_in_its_turn() -> None:
    def fail(name: str) -> None:
        if name == "TinyResNet":
            raise SpecError("no such layer")

    with ahead(Loads(fail), *SMALL) as loader:
        assert loader.take(SMALL[0], SMALL[1:]) == "TinyMobileNet loaded"
        with pytest.raises(SpecError, match="no such layer"):
            loader.take("TinyResNet")
