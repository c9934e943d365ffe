"""The wheel carries everything that a machine without a network needs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.support.builders import noise, png
from tests.support.children import python


@pytest.mark.slow
def test_an_installed_wheel_shows_both_built_in_backbones_without_a_network(tmp_path: Path) -> None:
    python("-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("convfe-*.whl")
    # The dependencies come from this environment; convfe itself from the wheel alone.
    fresh = tmp_path / "fresh"
    python("-m", "pip", "install", "--quiet", "--no-deps", "--target", fresh, wheel)
    assert (fresh / "convfe_core" / "reports" / "report.html.jinja").is_file()
    assert (fresh / "convfe_core" / "datasets" / "sample_boxes.json").is_file()
    picture = tmp_path / "street.png"
    picture.write_bytes(png(noise(120, 160)))
    environ = {**os.environ, "KERAS_HOME": str(tmp_path / "keras"), "CONVFE_WEIGHTS_MIRROR": "http://127.0.0.1:9"}
    environ["PYTHONPATH"] = str(fresh)
    command = [fresh / "bin" / "convfe", "maps", picture, "--out", tmp_path / "out"]
    command += ["--backbone", "TinyResNet", "--backbone", "TinyMobileNet"]
    python(*command, cwd=tmp_path, env=environ)
    for name in ("TinyResNet", "TinyMobileNet"):
        with np.load(tmp_path / "out" / f"street.{name}.npz") as arrays:
            assert np.ptp(arrays["mean"]) > 0
    where = python("-c", "import convfe_core; print(convfe_core.__file__)", cwd=tmp_path, env=environ).stdout
    assert str(fresh) in where
