"""Archives and HDF5 files that reach out of themselves, or hold more than anybody has room for: each is refused."""

import json
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from convfe_core.base.errors import WeightsError
from tests.model_files.described_models import hdf5_model, keras_file, refuse, sequential


def test_hdf5_that_reaches_into_other_files_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["numbers"] = np.arange(4.0)
    (tmp_path / "raw.bin").write_bytes(bytes(32))

    def link(file):
        file["model_weights/there"] = h5py.ExternalLink(str(secret), "/numbers")

    def external(file):
        file.create_dataset("model_weights/there", (4,), "f8", external=[(str(tmp_path / "raw.bin"), 0, 32)])

    def virtual(file):
        layout = h5py.VirtualLayout((4,), "f8")
        layout[:] = h5py.VirtualSource(str(secret), "numbers", (4,))
        file.create_virtual_dataset("model_weights/there", layout)

    def bomb(file):
        file.create_dataset("model_weights/there", (10**9,), "f8", chunks=(10**6,), compression="gzip")

    for plant, word in ((link, "secret.h5"), (external, "another file"), (virtual, "another file"), (bomb, "GB")):
        path = hdf5_model(tmp_path / "m.h5", sequential())
        with h5py.File(path, "a") as file:
            plant(file)
        refuse(path, word)
        packed = tmp_path / "m.keras"
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("config.json", json.dumps(sequential()))
            archive.write(path, "model.weights.h5")
        refuse(packed, word)


@pytest.mark.parametrize("entry", ["../../evil.h5", "/etc/evil", "a\\..\\..\\evil", "C:evil"])
def test_an_archive_that_writes_outside_is_refused(tmp_path: Path, entry: str) -> None:
    refuse(keras_file(tmp_path / "m.keras", sequential(), **{entry: b"x"}), "outside")


def test_an_archive_with_a_link_is_refused(tmp_path: Path) -> None:
    path = keras_file(tmp_path / "m.keras", sequential())
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("variables")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc")
    refuse(path, "outside")


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convfe_core.model_files.safety.MOST_BYTES", 1000)
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", " " * 10**6)
    refuse(path, "GB")


def test_what_unpacks_to_many_times_its_size_is_refused_before_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convfe_core.model_files.safety.HARMLESS_BYTES", 10**5)
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps(sequential()))
        archive.writestr("model.weights.h5", bytes(10**6))
    refuse(path, "unpack to 1 MB")
    inner = hdf5_model(tmp_path / "m.h5", sequential())
    with h5py.File(inner, "a") as file:
        file.create_dataset("model_weights/there", data=np.zeros(10**6, np.float32), compression="gzip")
    refuse(inner, "unpack to 4 MB")


def test_a_weight_file_with_external_links_is_refused_too(tmp_path: Path) -> None:
    from convfe_core.catalog.builders import build_model
    from convfe_core.catalog.specs import find_architecture
    from convfe_core.model_files.load_weights import load_weights

    path = tmp_path / "w.weights.h5"
    with h5py.File(path, "w") as file:
        file["layers"] = h5py.ExternalLink("/etc/secret.h5", "/x")
    architecture = find_architecture("MobileNet-0.25")
    with pytest.raises(WeightsError, match=r"secret\.h5"):
        load_weights(build_model(architecture), path, architecture)
