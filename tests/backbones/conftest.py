"""Nearly all tests of this folder need TensorFlow: it is imported as the commands do it, in two thirds of the time."""

from pathlib import Path

import pytest

from convfe_core.machine.tensorflow_import import import_tensorflow, keep_lean
from tests.support.builders import noise, png

keep_lean()
import_tensorflow(muted=True)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A photograph of noise, 200 x 150 pixels."""
    path = tmp_path / "picture.png"
    path.write_bytes(png(noise(150, 200)))
    return path
