"""Files that are an archive and an HDF5 file at once, which begins at byte 512, 1024, 2048 ... where no other does."""

import json
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from convfe_core.base.errors import ModelFileError
from convfe_core.model_files.safety import check_weight_file
from convfe_core.user_models.open_model import open_model
from convfe_core.user_models.read_model_file import load_model_file
from tests.model_files.described_models import hdf5_model, layer, sequential
from tests.support.builders import noise
from tests.user_models.test_open_model import saved, small_model

PLACE = 1 << 16
_HEADER, _EXTRA_HEADER = 30, 4
"""Bytes before an entry's name and before the field after it."""


def store_at(archive: zipfile.ZipFile, name: str, data: bytes, place: int) -> None:
    """Store an entry so that its bytes begin at `place`, after a field of zeros that readers skip."""
    entry = zipfile.ZipInfo(name)
    blank = place - archive.fp.tell() - _HEADER - len(name) - _EXTRA_HEADER
    entry.extra = struct.pack("<HH", 0xFFFF, blank) + bytes(blank)
    archive.writestr(entry, data)


def test_a_model_whose_weights_lie_where_an_hdf5_file_could_begin_opens(tmp_path: Path) -> None:
    model = small_model()
    usual, moved = saved(model, tmp_path / "usual.keras"), tmp_path / "moved.keras"
    with zipfile.ZipFile(usual) as source, zipfile.ZipFile(moved, "w") as target:
        for name in ("metadata.json", "config.json"):
            target.writestr(name, source.read(name))
        store_at(target, "model.weights.h5", source.read("model.weights.h5"), PLACE)
    assert h5py.is_hdf5(moved)
    assert not h5py.is_hdf5(usual)
    batch = noise(64, 64)[None].astype(np.float32)
    first, second = (np.asarray(open_model(path).model(batch)) for path in (usual, moved))
    np.testing.assert_array_equal(first, second)


def test_the_archive_is_judged_whatever_else_the_file_is(tmp_path: Path) -> None:
    harmless = hdf5_model(tmp_path / "harmless.h5", sequential()).read_bytes()
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        store_at(archive, "first", harmless, 512)
        archive.writestr("config.json", json.dumps(sequential(layer("Lambda", function=["4wEAAAA", None, None]))))
        archive.writestr("model.weights.h5", b"")
    assert h5py.is_hdf5(path)
    with pytest.raises(ModelFileError, match=r"m\.keras: .*'evil'.*Lambda"):
        load_model_file(path)


@pytest.mark.parametrize("name", ["w.weights.h5", "w.keras"])
def test_weights_are_judged_as_both(tmp_path: Path, name: str) -> None:
    linked = tmp_path / "linked.h5"
    with h5py.File(linked, "w") as file:
        file["there"] = h5py.ExternalLink("secret.h5", "/numbers")
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["numbers"] = np.arange(4.0)
    path = tmp_path / name
    for hidden, shown in (("first", "model.weights.h5"), ("model.weights.h5", "first")):
        data = {hidden: linked.read_bytes(), shown: (tmp_path / "plain.h5").read_bytes()}
        with zipfile.ZipFile(path, "w") as archive:
            store_at(archive, "first", data["first"], 512)
            archive.writestr("model.weights.h5", data["model.weights.h5"])
        assert h5py.is_hdf5(path)
        with pytest.raises(ModelFileError, match=r"'secret\.h5'"):
            check_weight_file(path)
