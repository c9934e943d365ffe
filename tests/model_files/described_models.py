"""Model files whose description says what a test wants, and that such a file is refused by reading alone."""

import json
import zipfile
from pathlib import Path

import h5py
import pytest

from convfe_core.base.errors import ModelFileError
from convfe_core.user_models import read_model_file

MARK = "ran.txt"
"""What code of a file would leave beside it."""


def refuse(path: Path, *words: str) -> None:
    """Open a file, which must be refused in a sentence with these words before any loader is reached."""

    def reached(name, loaders):
        pytest.fail("a loader was reached")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read_model_file, "_first_that_opens", reached)
        with pytest.raises(ModelFileError) as caught:
            read_model_file.load_model_file(path)
    sentence = str(caught.value)
    assert "\n" not in sentence
    for word in (path.name, *words):
        assert word in sentence
    assert not (path.parent / MARK).exists()


def layer(kind: str, name: str = "evil", module: str | None = "keras.layers", registered: str | None = None, **config):
    return {"class_name": kind, "module": module, "registered_name": registered, "config": {"name": name, **config}}


def sequential(*layers) -> dict:
    return {
        "class_name": "Sequential",
        "module": "keras",
        "registered_name": None,
        "config": {"name": "m", "layers": [layer("InputLayer", "in", batch_shape=[None, 32, 32, 3]), *layers]},
    }


def keras_file(path: Path, config: object, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
        archive.writestr("model.weights.h5", b"")
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def hdf5_model(path: Path, config: dict) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.create_group("model_weights")
    return path
