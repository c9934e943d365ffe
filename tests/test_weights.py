"""Weights arrive whole or not at all, and only where they belong."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convfe_core import weights
from convfe_core.catalog import CATALOG, Architecture, WeightFile, build_model
from convfe_core.errors import DownloadError, WeightsError
from convfe_core.weights import cached_path, fetch_weights, keras_cache_dir, load_weights, weights_state
from tests.weight_server import WeightServer, serve

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


def test_a_download_killed_in_the_middle_is_begun_again(server: WeightServer, home: Path) -> None:
    server.manner = "held"
    script = "from tests.test_weights import *; fetch_weights(architecture_of(BODY))"
    child = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parent.parent, env=os.environ)
    try:
        assert server.half_sent.wait(60)
        part = home / "models" / ".body.h5.part"
        while not part.exists():  # what is sent need not have been written; the test's time limit ends this
            assert child.poll() is None
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert not weights_state(architecture_of(BODY)).ready
    server.go_on.set()
    server.manner = "whole"
    assert fetch_weights(architecture_of(BODY)).read_bytes() == BODY
    assert_only_whole_files(home / "models")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_named(server: WeightServer, home: Path) -> None:
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


def test_the_cache_is_where_keras_has_it(tmp_path: Path) -> None:
    """In a process of its own, since Keras reads the environment when it is imported."""
    environment = {key: value for key, value in os.environ.items() if key != "KERAS_HOME"} | {"HOME": str(tmp_path)}
    script = (
        "import importlib, os; from keras.src.backend import config; from convfe_core.weights import keras_cache_dir\n"
        "print(config.keras_home(), keras_cache_dir())\n"
        "os.environ['KERAS_HOME'] = os.path.expanduser('~/elsewhere')\n"
        "print(importlib.reload(config).keras_home(), keras_cache_dir())"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parent.parent,
        env=environment,
        capture_output=True,
        text=True,
    )
    expected = [tmp_path / ".keras"] * 2 + [tmp_path / "elsewhere"] * 2
    assert run.stdout.split() == [str(folder) for folder in expected], run.stderr


def test_built_in_backbones_are_ready_and_have_nothing_to_fetch(home: Path) -> None:
    assert weights_state(CATALOG["TinyResNet"]) == weights.WeightsState(ready=True, megabytes=0.0)
    with pytest.raises(WeightsError, match="no ImageNet weights for TinyResNet"):
        fetch_weights(CATALOG["TinyResNet"])


# Files of real weights

SMALL = CATALOG["MobileNetV2-0.35"]


@pytest.fixture(scope="module")
def trained():
    """A network whose weights all differ, standing in for a trained one."""
    model = build_model(SMALL)
    random = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(random.normal(size=variable.shape))
    return model


def assert_same_weights(model, other) -> None:
    for variable, expected in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(variable.numpy(), expected.numpy(), err_msg=variable.path)


def save(model, path: Path) -> Path:
    if path.name.endswith(".weights.h5"):
        model.save_weights(path)
    else:
        model.save(path)
    return path


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("name", ["w.h5", "w.weights.h5", "w.keras"])
def test_each_format_of_keras_is_read(trained, tmp_path: Path, name: str) -> None:
    model = build_model(SMALL)
    load_weights(model, save(trained, tmp_path / name), SMALL)
    assert_same_weights(model, trained)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_head_on_top_is_left_out(trained, tmp_path: Path) -> None:
    import keras

    top = keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(trained.output))
    model = build_model(SMALL)
    load_weights(model, save(keras.Model(trained.input, top), tmp_path / "w.h5"), SMALL)
    assert_same_weights(model, trained)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_backbone_inside_a_larger_model_is_found_by_its_names(trained, tmp_path: Path) -> None:
    import keras

    whole = keras.Sequential([keras.Input((64, 64, 3)), trained, keras.layers.GlobalAveragePooling2D()])
    model = build_model(SMALL)
    load_weights(model, save(whole, tmp_path / "w.h5"), SMALL)
    assert_same_weights(model, trained)


def test_teachable_machine_s_backbone_is_found(shared: Path) -> None:
    model = build_model(SMALL)
    before = model.get_layer("block_5_depthwise").get_weights()[0]
    load_weights(model, shared / "models" / "teachable_machine_waste.h5", SMALL)
    assert not np.allclose(model.get_layer("block_5_depthwise").get_weights()[0], before)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("name", ["w.h5", "w.weights.h5", "w.keras"])
@pytest.mark.parametrize("other", ["MobileNetV2-0.5", "MobileNet-0.25", "MobileNetV3Small-1.0"])
def test_another_architecture_s_file_is_refused_by_name(trained, tmp_path: Path, name: str, other: str) -> None:
    model = build_model(CATALOG[other])
    path = save(trained, tmp_path / name)
    expected = rf"Expected weights of {other} \([0-9,]+ numbers\), the file {name} holds "
    with pytest.raises(WeightsError, match=expected) as error:
        load_weights(model, path, CATALOG[other])
    assert "410,208 numbers, as many as MobileNetV2-0.35" in str(error.value)


NO_WEIGHTS = "Expected weights of MobileNetV2-0.35 (410,208 numbers), the file {} holds no weights that can be read."
DAMAGED = "{}: expected a whole file, but it is damaged or cut off; copy it again."


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5", ".keras"])
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", NO_WEIGHTS),
        (b"<html>not found</html>", NO_WEIGHTS),
        (b"\x89HDF\r\n\x1a\n" + bytes(500), DAMAGED),
    ],
    ids=["empty", "another kind", "only the beginning"],
)
def test_a_file_that_is_no_weight_file_is_refused(tmp_path: Path, suffix: str, content: bytes, sentence: str) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as error:
        load_weights(build_model(SMALL), path, SMALL)
    assert str(error.value) == sentence.format(path.name)


def test_a_keras_file_whose_numbers_are_cut_off_is_refused(trained, tmp_path: Path) -> None:
    whole, cut = save(trained, tmp_path / "whole.keras"), tmp_path / "w.keras"
    with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(cut, "w") as written:
        numbers = archive.read("model.weights.h5")
        written.writestr("model.weights.h5", numbers[: len(numbers) // 2])
    with pytest.raises(WeightsError) as error:
        load_weights(build_model(SMALL), cut, SMALL)
    assert str(error.value) == DAMAGED.format("w.keras")
    changed = bytearray(whole.read_bytes())
    changed[len(changed) // 2] ^= 0xFF
    cut.write_bytes(changed)
    with pytest.raises(WeightsError) as error:
        load_weights(build_model(SMALL), cut, SMALL)
    assert str(error.value) == DAMAGED.format("w.keras")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="there is no such file"):
        load_weights(build_model(SMALL), tmp_path / "w.h5", SMALL)


@pytest.mark.parametrize("name", ["MobileNet-0.25", "MobileNetV2-0.35"])
def test_imagenet_weights_are_the_ones_that_keras_loads(real_weights: Path, name: str) -> None:
    import keras

    architecture = CATALOG[name]
    assert weights_state(architecture).ready
    model = build_model(architecture)
    load_weights(model, fetch_weights(architecture), architecture)
    theirs = getattr(keras.applications, architecture.keras_name)(
        alpha=architecture.width, include_top=False, weights=None, input_shape=(224, 224, 3)
    )
    theirs.load_weights(cached_path(architecture.weight_file))
    assert_same_weights(model, theirs)


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


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_efficientnet_sees_what_keras_own_imagenet_network_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras adds a layer for ``weights="imagenet"`` that a network built without weights lacks."""
    import keras
    from keras.src.utils import file_utils

    from convfe_core.preprocessing import IMAGENET_MEAN, IMAGENET_STD

    architecture = CATALOG["EfficientNetB0"]
    source = keras.applications.EfficientNetB0(include_top=False, weights=None)
    normalization = next(layer for layer in source.layers if isinstance(layer, keras.layers.Normalization))
    values = [IMAGENET_MEAN, IMAGENET_STD, np.int32(0)]
    normalization.set_weights([np.reshape(v, w.shape) for v, w in zip(values, normalization.weights, strict=True)])
    path = save(source, tmp_path / "efficientnetb0_notop.h5")
    monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: str(path))
    theirs = keras.applications.EfficientNetB0(include_top=False, weights="imagenet")
    ours = build_model(architecture)
    load_weights(ours, path, architecture)
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
    expected = np.asarray(theirs(pixels))
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(ours(pixels), expected, atol=1e-4 * np.ptp(expected))
