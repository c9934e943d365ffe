"""The pool with real networks, small ones; what room there is, is handed in."""

from __future__ import annotations

import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from convfe_core.base.errors import DownloadError, MemoryLimitError, SpecError
from convfe_core.catalog.memory_need import peak_mb, weights_mb
from convfe_core.catalog.specs import CATALOG, parse_spec
from convfe_core.serving.backbone_pool import BackbonePool
from tests.support.builders import noise
from tests.support.weight_server import serve

SMALL = parse_spec("TinyResNet:untrained")
OTHER = parse_spec("TinyMobileNet:untrained")
LARGE = parse_spec("VGG16:untrained")
PLENTY = 1e6


def labels(pool: BackbonePool) -> list[str]:
    return [held.label for held in pool.held()]


@pytest.mark.machine
def test_a_backbone_is_loaded_once() -> None:
    pool = BackbonePool(budget_mb=PLENTY)
    assert not pool.ready(SMALL)
    first = pool.get(SMALL)
    assert pool.ready(SMALL)
    assert pool.get(SMALL) is first
    assert labels(pool) == ["TinyResNet:untrained"]
    assert pool.held()[0].megabytes >= first.megabytes


@pytest.mark.machine
def test_over_the_budget_the_least_recently_used_goes_and_serves_on_who_holds_it_and_the_last_one_stays() -> None:
    pool = BackbonePool(budget_mb=0.0)
    held = pool.get(SMALL)
    pool.get(OTHER)
    assert labels(pool) == ["TinyMobileNet:untrained"]
    maximum, mean = held.reduce(noise(64, 64)[None])
    assert maximum.shape == mean.shape == (1, 4, 4)


def test_what_does_not_fit_is_refused_with_both_sizes_before_anything_is_loaded_or_dropped() -> None:
    room = PLENTY
    pool = BackbonePool(budget_mb=PLENTY, room=lambda: room)
    pool.get(SMALL)
    room = 100.0
    with pytest.raises(MemoryLimitError, match=r"VGG16:untrained .* [\d,]+ MB, .* [\d,]+ MB .* 100 MB are free"):
        pool.get(LARGE)
    assert labels(pool) == ["TinyResNet:untrained"]


def test_others_are_dropped_when_that_makes_room() -> None:
    pool = BackbonePool(budget_mb=PLENTY, room=lambda: PLENTY if not pool.held() else 0.0)
    pool.get(SMALL)
    (key, (backbone, held)) = next(iter(pool._held.items()))
    pool._held[key] = backbone, replace(held, megabytes=500.0)
    pool.get(OTHER)
    assert labels(pool) == ["TinyMobileNet:untrained"]


def test_an_error_while_loading_leaves_the_next_one_undisturbed() -> None:
    pool = BackbonePool(budget_mb=PLENTY)
    with pytest.raises(SpecError):
        pool.get(SMALL, tap="no such layer")
    with pytest.raises(KeyboardInterrupt):
        pool.get(SMALL, on_progress=interrupt)
    assert labels(pool) == []
    assert pool.get(SMALL).label == "TinyResNet:untrained"


def test_a_slow_download_keeps_nobody_else_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    pool, ended = BackbonePool(budget_mb=PLENTY), []

    def get_large() -> None:
        try:
            pool.get(parse_spec("VGG16"))
        except DownloadError as error:
            ended.append(error)

    with serve(bytes(100_000)) as server:
        monkeypatch.setenv("CONVFE_WEIGHTS_MIRROR", server.url)
        server.manner = "held"
        downloading = threading.Thread(target=get_large)
        downloading.start()
        assert server.half_sent.wait(30)
        pool.get(SMALL)
        assert not ended
        server.go_on.set()
        downloading.join(30)
    assert "is not the file" in str(ended[0])


def test_what_does_not_fit_is_not_downloaded_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with serve(bytes(100_000)) as server:
        monkeypatch.setenv("CONVFE_WEIGHTS_MIRROR", server.url)
        with pytest.raises(MemoryLimitError):
            BackbonePool(budget_mb=PLENTY, room=lambda: 100.0).get(parse_spec("VGG16"))
        assert server.requests == []


@pytest.mark.machine
def test_a_network_with_all_its_layers_counts_in_the_same_budget() -> None:
    pool = BackbonePool(budget_mb=0.0)
    pool.get(SMALL)
    network = pool.every_layer(OTHER)
    assert pool.every_layer(OTHER) is network
    assert [(held.label, held.tap) for held in pool.held()] == [("TinyMobileNet:untrained", "every layer")]
    assert pool.held()[0].megabytes >= network.megabytes > 0
    assert not pool.ready(OTHER)
    pool.get(OTHER)
    assert [held.tap for held in pool.held()] != ["every layer"]


def test_a_network_with_all_its_layers_is_refused_where_it_does_not_fit() -> None:
    pool = BackbonePool(budget_mb=PLENTY, room=lambda: 100.0)
    with pytest.raises(MemoryLimitError, match="VGG16:untrained"):
        pool.every_layer(LARGE)


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_a_saved_model_counts_by_all_its_files(tmp_path: Path, packed: bool) -> None:
    place, folder = tmp_path / "model.zip", tmp_path / "model"
    files = {"saved_model.pb": bytes(2**19), "variables/variables.data-00000-of-00001": bytes(2**20)}
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    assert weights_mb(parse_spec(f"mine={place if packed else folder}")) == 1.5


def interrupt(_phrase: str, _share: float | None) -> None:
    raise KeyboardInterrupt


def test_every_catalog_entry_is_said_to_take_more_than_its_weights() -> None:
    for name in CATALOG:
        spec = parse_spec(f"{name}:untrained")
        assert 2 * weights_mb(spec) < peak_mb(spec)
