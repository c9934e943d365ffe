"""The wheel carries everything that a machine without a network needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.support.builders import noise, png


@pytest.mark.slow
def test_an_installed_wheel_shows_both_built_in_backbones_without_a_network(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)],
        check=True,
    )
    (wheel,) = tmp_path.glob("convfe-*.whl")
    # The dependencies come from this environment; convfe itself from the wheel alone.
    fresh = tmp_path / "fresh"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(fresh), str(wheel)]
    subprocess.run(install, check=True)
    assert (fresh / "convfe_core" / "reports" / "report.html.jinja").is_file()
    assert (fresh / "convfe_core" / "datasets" / "sample_boxes.json").is_file()
    picture = tmp_path / "street.png"
    picture.write_bytes(png(noise(120, 160)))
    environ = {**os.environ, "KERAS_HOME": str(tmp_path / "keras"), "CONVFE_WEIGHTS_MIRROR": "http://127.0.0.1:9"}
    environ["PYTHONPATH"] = str(fresh)
    command = [fresh / "bin" / "convfe", "maps", picture, "--out", tmp_path / "out"]
    command += ["--backbone", "TinyResNet", "--backbone", "TinyMobileNet"]
    subprocess.run(command, check=True, cwd=tmp_path, env=environ)
    for name in ("TinyResNet", "TinyMobileNet"):
        with np.load(tmp_path / "out" / f"street.{name}.npz") as arrays:
            assert np.ptp(arrays["mean"]) > 0
    where = [sys.executable, "-c", "import convfe_core; print(convfe_core.__file__)"]
    found = subprocess.run(where, check=True, cwd=tmp_path, env=environ, capture_output=True, text=True).stdout
    assert str(fresh) in found
