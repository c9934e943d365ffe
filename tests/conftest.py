"""What tests share: the material beside the checkout, real weights, and a plain word when something is missing."""

from __future__ import annotations

import gc
import os
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from xdist.scheduler import LoadFileScheduling

from convfe_core.geometry.cell_geometry import CellGrid
from convfe_core.maps.feature_maps import FeatureMaps
from convfe_core.photos.letterbox import Frame
from convfe_core.photos.photo import Photo
from tests.support.builders import noise, png

if TYPE_CHECKING:
    from convfe_core.ranking.results import RankResult

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Several processes share the cores. Linear algebra on one thread for each core waits for its other threads by asking
# again and again, which took up to ten times as much of the processor. For the processes that are started from here.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Ray listens on all addresses of the machine: this lets in who knows it, and leaves the home folder as it is.
os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32), RAY_USAGE_STATS_ENABLED="0")
os.environ.update(RAY_worker_niceness="0")  # or Ray's workers would let all other tests go first

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
CHROMIUM = Path("/usr/bin/chromium")
QUICK_TOGETHER = {
    "tests/browser/": "browser",
    "tests/jobs/test_ray_": "cluster",
    "tests/ranking/": "ranking",
    "tests/reports/": "ranking",
}
"""Beginnings of the names of files that share something dear: what it is. One process of pytest-xdist has them all."""
TOGETHER = {
    **{f"tests/browser/{name}": "rows" for name in ("rows/", "test_compare", "test_marks")},
    **{f"tests/browser/{name}": "visitors" for name in ("test_inside", "test_memory", "test_visitors")},
    **QUICK_TOGETHER,
}
"""The same with the slow tests: those in the browser are many enough for two servers. The first that fits counts."""

posix = pytest.mark.skipif(os.name != "posix", reason="needs a system of the Unix family")
"""For tests of what Windows does otherwise: rights of files, signals, closed streams, limits of a process."""


def need(present: bool, what: str) -> None:
    """Skip the test when `what` is missing; in CI, where it must not be, fail."""
    if present:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must provide {what}")
    pytest.skip(f"needs {what}")


def groups(config: pytest.Config) -> dict[str, str]:
    """What stays together of the tests that were asked for."""
    return QUICK_TOGETHER if config.getoption("markexpr") == "not slow" else TOGETHER


class Together(LoadFileScheduling):
    """Hands the processes a file at a time, or a whole group."""

    def _split_scope(self, nodeid: str) -> str:
        own: str = super()._split_scope(nodeid)
        return next((group for start, group in groups(self.config).items() if nodeid.startswith(start)), own)


@pytest.hookimpl(optionalhook=True)  # without pytest-xdist nobody asks
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Together | None:
    return Together(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave files alone in which the one mark that was asked for does not stand: importing all takes seconds."""
    mark = config.getoption("markexpr")
    if mark not in ("slow", "machine") or not collection_path.match("test_*.py"):
        return None
    return True if f"mark.{mark}" not in collection_path.read_text(encoding="utf-8") else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest, or the others wait for it: the groups, and then the files of most slow tests."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow") is not None)
    items.sort(key=lambda item: (not item.nodeid.startswith(tuple(groups(config))), -slow[item.path]))


def pytest_collection_finish() -> None:
    freeze_imported(len(sys.modules) // 500)


def pytest_runtest_logfinish() -> None:
    freeze_imported(len(sys.modules) // 500)


@cache
def freeze_imported(_five_hundreds: int) -> None:
    """Have garbage collections skip what is alive, again whenever hundreds of modules have been imported since.

    Each backbone that is loaded asks for two collections, and each of these went through all of TensorFlow, Streamlit
    and pytest: about half of the processor time of a page's test. `convfe_core.machine.tensorflow_import` does the
    same once for programs of our own.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of test material beside the checkout."""
    need(SHARED.is_dir(), "the folder of test material beside the checkout")
    return SHARED


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What commands keep for the next call stays within a test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True, scope="session")
def few_timings() -> Iterator[None]:
    """Rankings time a backbone for a moment only: how times are taken is proved in tests/scoring."""
    from convfe_core.backbones.measured_cost import time_batches

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("convfe_core.ranking.score_rows.time_batches", partial(time_batches, seconds=0.05))
        yield


@pytest.fixture
def real_weights(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Keras cache with the ImageNet weights of MobileNet-0.25 and MobileNetV2-0.35."""
    home = shared / "keras"
    need((home / "models").is_dir(), "ImageNet weights in Keras' cache layout")
    monkeypatch.setenv("KERAS_HOME", str(home))
    return home


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Keras cache, and a mirror that refuses every connection: a machine with no network."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("CONVFE_WEIGHTS_MIRROR", "http://127.0.0.1:9")
    return tmp_path / "keras"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A photograph of noise, 200 x 150 pixels."""
    path = tmp_path / "picture.png"
    path.write_bytes(png(noise(150, 200)))
    return path


@pytest.fixture
def make_maps() -> Callable[..., FeatureMaps]:
    """Maps of a photograph of 96 x 64 pixels, seen in its own size with a stride of 32: 2 x 3 cells."""

    def make(
        maximum: object, mean: object, *, digest: str = "a", label: str = "VGG16", **changes: object
    ) -> FeatureMaps:
        arguments: dict[str, object] = {
            "image": f"{digest}.png",
            "digest": digest,
            "label": label,
            "weights": "imagenet",
            "tap": "block5_conv3",
            "max": np.array(maximum, np.float32),
            "mean": np.array(mean, np.float32),
            "frame": Frame(64, 96, 64, 96, 64, 96),
            "grid": CellGrid(2, 3, 32.0, 32.0, 16.0, 16.0),
        }
        return FeatureMaps(**{**arguments, **changes})

    return make


@pytest.fixture
def plain_photo() -> Photo:
    """The photograph of `make_maps`: 96 x 64 pixels, orange."""
    return Photo("a.png", np.full((64, 96, 3), (230, 120, 20), np.uint8), "a")


@pytest.fixture(scope="session")
def full() -> RankResult:
    """A ranking of two backbones with everything."""
    from convfe_core.catalog.specs import parse_spec
    from convfe_core.ranking.run import RankRun
    from tests.support.rankings import FULL, OTHER, SMALL, dataset, patches

    return RankRun(dataset(patches(24)), [parse_spec(SMALL), parse_spec(OTHER)], FULL).run()
