"""What tests share: the material beside the checkout, real weights, and a plain word when something is missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
CHROMIUM = Path("/usr/bin/chromium")


def need(present: bool, what: str) -> None:
    """Skip the test when `what` is missing; in CI, where it must not be, fail."""
    if present:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must provide {what}")
    pytest.skip(f"needs {what}")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of test material beside the checkout."""
    need(SHARED.is_dir(), "the folder of test material beside the checkout")
    return SHARED


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
