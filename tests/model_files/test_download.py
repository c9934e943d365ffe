"""Weight files arrive whole or not at all."""

import errno
import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convfe_core.base.errors import DownloadError, WeightsError
from convfe_core.catalog.specs import CATALOG, Architecture, WeightFile
from convfe_core.model_files import weight_cache as weights
from convfe_core.model_files.weight_cache import cached_path, fetch_weights, keras_cache_dir, weights_state
from convfe_core.model_files.weight_numbers import open_arrays
from tests.conftest import need, posix
from tests.support.children import kill_when, python
from tests.support.weight_server import WeightServer, serve

BODY = np.random.default_rng(0).bytes(1_000_000)
PARAMETERS = 250_000


def architecture_of(body: bytes) -> Architecture:
    """An architecture whose weight file is `body`."""
    file = WeightFile("body.h5", "http://127.0.0.1:9/never", hashlib.md5(body).hexdigest(), len(body) / 1e6)
    return replace(CATALOG["VGG16"], parameters=len(body) // 4, weight_file=file)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Keras home of the test's own; nothing goes to the machine's folder for temporary files."""
    folder = tmp_path / "keras"
    monkeypatch.setenv("KERAS_HOME", str(folder))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("CONVFE_WEIGHTS_MIRROR", raising=False)
    monkeypatch.setattr(weights, "_fallback_dir", lambda: tmp_path / "fallback")
    return folder


@pytest.fixture
def server(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WeightServer]:
    with serve(BODY) as running:
        monkeypatch.setenv("CONVFE_WEIGHTS_MIRROR", running.url)
        yield running


def assert_only_whole_files(folder: Path) -> None:
    left = {path.name for path in folder.iterdir()} - {".body.h5.lock"}
    assert left <= {"body.h5"}


def test_a_download_lands_in_keras_cache_and_is_made_once(server: WeightServer, home: Path) -> None:
    architecture = architecture_of(BODY)
    assert weights_state(architecture) == weights.WeightsState(ready=False, megabytes=1.0)
    progress: list[tuple[float, float]] = []
    path = fetch_weights(architecture, lambda done, total: progress.append((done, total)))
    assert path == home / "models" / "body.h5" == cached_path(architecture.weight_file)
    assert path.read_bytes() == BODY
    assert progress[-1] == (1.0, 1.0)
    assert [done for done, _ in progress] == sorted(done for done, _ in progress)
    assert len(progress) > 2
    assert weights_state(architecture) == weights.WeightsState(ready=True, megabytes=0.0)
    assert fetch_weights(architecture) == path
    assert server.requests == ["/body.h5"]
    assert_only_whole_files(path.parent)


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("truncated", r"the connection to 127\.0\.0\.1 broke off|sent 0\.5 of 1\.0 MB"),
        ("wrong", "is not the file, its MD5 is not the right one"),
        ("missing", "answered 404 Not Found"),
    ],
)
def test_a_bad_answer_is_one_sentence_and_the_next_try_works(
    server: WeightServer, home: Path, manner: str, reason: str
) -> None:
    architecture = architecture_of(BODY)
    server.manner = manner
    with pytest.raises(DownloadError, match=reason) as error:
        fetch_weights(architecture)
    sentence = str(error.value)
    assert "\n" not in sentence
    for needed in ("VGG16", "body.h5", str(home / "models"), "VGG16:untrained", "built-in"):
        assert needed in sentence
    assert_only_whole_files(home / "models")
    assert not weights_state(architecture).ready
    server.manner = "whole"
    assert fetch_weights(architecture).read_bytes() == BODY


def test_where_files_cannot_be_locked_everybody_downloads_alone(
    server: WeightServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    server.manner = "held"
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(fetch_weights, architecture_of(BODY))
        assert server.half_sent.wait(30)
        server.manner = "whole"
        assert threads.submit(fetch_weights, architecture_of(BODY)).result(30).read_bytes() == BODY
        server.go_on.set()
        assert first.result(30).read_bytes() == BODY
    assert_only_whole_files(home / "models")
    assert server.requests == ["/body.h5", "/body.h5"]


def test_a_server_that_goes_silent_is_given_up(server: WeightServer, home: Path) -> None:
    server.manner = "held"
    with pytest.raises(DownloadError, match=r"sent nothing for 0\.3 seconds"):
        fetch_weights(architecture_of(BODY), stall_seconds=0.3)
    assert_only_whole_files(home / "models")


def test_a_refused_connection_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVFE_WEIGHTS_MIRROR", "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match=r"there is no connection to 127\.0\.0\.1"):
        fetch_weights(architecture_of(BODY))


@pytest.mark.parametrize("mirror", ["ftp://127.0.0.1", "weights.example", "http://"])
def test_a_mirror_that_is_no_address_is_named(home: Path, monkeypatch: pytest.MonkeyPatch, mirror: str) -> None:
    monkeypatch.setenv("CONVFE_WEIGHTS_MIRROR", mirror)
    with pytest.raises(DownloadError, match=r"expected an address|cannot be fetched"):
        fetch_weights(architecture_of(BODY))


def test_a_folder_can_be_the_mirror(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "our mirror"
    folder.mkdir()
    monkeypatch.setenv("CONVFE_WEIGHTS_MIRROR", folder.as_uri() + "/")
    with pytest.raises(DownloadError, match="there is no file"):
        fetch_weights(architecture_of(BODY))
    (folder / "body.h5").write_bytes(BODY)
    assert fetch_weights(architecture_of(BODY)).read_bytes() == BODY


@pytest.mark.parametrize("cached", [BODY[:500_000], bytes(len(BODY)), b""], ids=["truncated", "corrupt", "empty"])
def test_a_damaged_file_in_the_cache_is_fetched_again(server: WeightServer, home: Path, cached: bytes) -> None:
    """Plain Keras leaves such files behind when it is killed."""
    path = home / "models" / "body.h5"
    path.parent.mkdir(parents=True)
    path.write_bytes(cached)
    assert fetch_weights(architecture_of(BODY)) == path
    assert path.read_bytes() == BODY


def test_a_damaged_file_that_cannot_be_fetched_again_is_kept_and_named(server: WeightServer, home: Path) -> None:
    path = home / "models" / "body.h5"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"brought by hand")
    server.manner = "missing"
    with pytest.raises(DownloadError, match="the file in the cache is damaged"):
        fetch_weights(architecture_of(BODY))
    assert path.read_bytes() == b"brought by hand"


def test_two_who_want_a_file_share_one_download(server: WeightServer) -> None:
    architecture = architecture_of(BODY)
    server.manner = "held"
    seen_by_second: list[float] = []

    def second_waits(done_mb: float, _total_mb: float) -> None:
        seen_by_second.append(done_mb)
        server.go_on.set()

    paths: list[Path] = []
    first = threading.Thread(target=lambda: paths.append(fetch_weights(architecture)))
    second = threading.Thread(target=lambda: paths.append(fetch_weights(architecture, second_waits)))
    first.start()
    assert server.half_sent.wait(30)
    second.start()
    first.join(30)
    second.join(30)
    assert len(paths) == 2
    assert paths[0] == paths[1]
    assert paths[0].read_bytes() == BODY
    assert seen_by_second
    assert len(server.requests) == 1


@posix
def test_a_download_killed_in_the_middle_is_begun_again(server: WeightServer, home: Path) -> None:
    server.manner = "held"
    script = "from tests.model_files.test_download import *; fetch_weights(architecture_of(BODY))"
    part = home / "models" / ".body.h5.part"  # what is sent need not have been written
    kill_when(lambda: server.half_sent.is_set() and part.exists(), "-c", script)
    assert not weights_state(architecture_of(BODY)).ready
    server.go_on.set()
    server.manner = "whole"
    assert fetch_weights(architecture_of(BODY)).read_bytes() == BODY
    assert_only_whole_files(home / "models")


@posix
def test_a_full_disk_is_named(server: WeightServer, home: Path) -> None:
    need(Path("/dev/full").exists(), "Linux's /dev/full, which is always full")
    models = home / "models"
    models.mkdir(parents=True)
    (models / ".body.h5.part").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match="is full"):
        fetch_weights(architecture_of(BODY))
    assert_only_whole_files(models)


def test_a_home_that_cannot_be_written_gives_way_as_in_keras(
    server: WeightServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file" / "keras"))
    assert keras_cache_dir() == tmp_path / "fallback"
    assert fetch_weights(architecture_of(BODY)) == tmp_path / "fallback" / "models" / "body.h5"


def test_no_place_to_write_is_named(server: WeightServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file" / "keras"))
    (tmp_path / "fallback").write_bytes(b"")
    with pytest.raises(DownloadError, match="cannot be written"):
        fetch_weights(architecture_of(BODY))


@pytest.mark.slow
def test_the_cache_is_where_keras_has_it(tmp_path: Path) -> None:
    """In a process of its own, since Keras reads the environment when it is imported."""
    environment = {key: value for key, value in os.environ.items() if key != "KERAS_HOME"} | {"HOME": str(tmp_path)}
    script = (
        "import importlib, os; from keras.src.backend import config\n"
        "from convfe_core.model_files.weight_cache import keras_cache_dir\n"
        "print(config.keras_home(), keras_cache_dir())\n"
        "os.environ['KERAS_HOME'] = os.path.expanduser('~/elsewhere')\n"
        "print(importlib.reload(config).keras_home(), keras_cache_dir())"
    )
    expected = [tmp_path / ".keras"] * 2 + [tmp_path / "elsewhere"] * 2
    assert python("-c", script, env=environment).stdout.split() == [str(folder) for folder in expected]


def test_built_in_backbones_are_ready_and_have_nothing_to_fetch(home: Path) -> None:
    assert weights_state(CATALOG["TinyResNet"]) == weights.WeightsState(ready=True, megabytes=0.0)
    with pytest.raises(WeightsError, match="no ImageNet weights for TinyResNet"):
        fetch_weights(CATALOG["TinyResNet"])


# Files of real weights

SMALL = CATALOG["MobileNetV2-0.35"]


def test_a_truncated_file_without_a_known_hash_is_fetched_again(
    real_weights: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras names no hash for MobileNet; HDF5 itself and the count of numbers tell."""
    real = real_weights / "models" / SMALL.weight_file.name
    monkeypatch.setenv("KERAS_HOME", str(home))
    monkeypatch.setenv("CONVFE_WEIGHTS_MIRROR", real.parent.as_uri())
    path = home / "models" / real.name
    path.parent.mkdir(parents=True)
    path.write_bytes(real.read_bytes()[:-1000])
    assert fetch_weights(SMALL) == path
    assert path.read_bytes() == real.read_bytes()
    shutil.copyfile(real.parent / CATALOG["MobileNet-0.25"].weight_file.name, path)
    assert fetch_weights(SMALL) == path
    assert path.read_bytes() == real.read_bytes()


@posix
@pytest.mark.parametrize("name", ["MobileNetV2-0.35", "MobileNet-0.25"])
@pytest.mark.parametrize("damage", ["noise", "hole"])
def test_a_file_of_the_right_size_that_a_disk_spoiled_is_fetched_again(
    real_weights: Path, home: Path, monkeypatch: pytest.MonkeyPatch, name: str, damage: str
) -> None:
    """Keras names no hash for MobileNet, and all of HDF5's own structure may be whole."""
    architecture = CATALOG[name]
    real = real_weights / "models" / architecture.weight_file.name
    monkeypatch.setenv("KERAS_HOME", str(home))
    monkeypatch.setenv("CONVFE_WEIGHTS_MIRROR", real.parent.as_uri())
    path = home / "models" / real.name
    path.parent.mkdir(parents=True)
    shutil.copyfile(real, path)
    path.chmod(0o644)
    assert fetch_weights(architecture) == path
    with open_arrays(path) as arrays:
        start = max(arrays, key=lambda found: found.size).id.get_offset()
    spoiled = bytearray(path.read_bytes())
    length = 512 if damage == "noise" else 4 * 20_000
    spoiled[start : start + length] = np.random.default_rng(0).bytes(length) if damage == "noise" else bytes(length)
    path.write_bytes(spoiled)
    assert weights_state(architecture).ready
    assert fetch_weights(architecture) == path
    assert path.read_bytes() == real.read_bytes()
