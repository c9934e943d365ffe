"""Folders at addresses: the same promises as folders on this machine, kept against a real S3 server."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from convfe_core.base.errors import AnnotationError, ImageError, StoreError
from convfe_core.base.file_sets import AddressFiles, open_files
from convfe_core.base.folders import Folder, LocalFolder, RemoteFolder, is_address, open_folder, split_address
from convfe_core.cli.commands import main
from convfe_core.datasets.read_dataset import open_boxes, read_dataset
from convfe_core.photos.photo import open_photo
from convfe_core.photos.photo_folders import photos_at_address
from tests.support.builders import noise, png
from tests.support.datasets import coco, told
from tests.support.object_store import filled, object_store
from tests.support.rankings import patches


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with object_store(tmp_path_factory.mktemp("store")) as address:
        yield address


@pytest.fixture(params=["here", "at an address"])
def folder(request: pytest.FixtureRequest, bucket: str, tmp_path: Path) -> Folder:
    return open_folder(tmp_path / "out" if request.param == "here" else f"{bucket}/{tmp_path.name}/out")


def test_addresses_are_told_from_paths() -> None:
    assert is_address("s3://bucket/a")
    assert not is_address("C:\\a")
    assert not is_address(Path("a"))
    assert split_address("gs://bucket/a/b.png") == ("gs://bucket/a", "b.png")


def test_what_is_written_can_be_read_listed_and_removed(folder: Folder) -> None:
    assert folder.names() == set()
    assert not folder.has("a.bin")
    folder.write("a.bin", b"one")
    folder.write("a.bin", b"two")
    folder.below("deeper").write("b.bin", b"three")
    assert folder.names() == {"a.bin"}
    assert folder.has("a.bin")
    assert folder.keeps(["a.bin"])
    assert folder.read("a.bin") == b"two"
    assert folder.below("deeper").read("b.bin") == b"three"
    folder.remove("a.bin")
    folder.remove("a.bin")
    assert not folder.has("a.bin")


def test_a_file_that_could_not_be_finished_does_not_appear(folder: Folder) -> None:
    def fail() -> None:
        with folder.writing("m.json") as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert folder.names() == set()
    with folder.writing("m.json") as file:
        file.write(b"the whole")
    assert folder.read("m.json") == b"the whole"


def test_folders_travel_to_other_processes(folder: Folder) -> None:
    folder.write("a.bin", b"one")
    assert pickle.loads(pickle.dumps(folder)).read("a.bin") == b"one"


def test_a_relative_folder_travels_as_an_absolute_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    packed = pickle.dumps(LocalFolder(Path("out")))
    monkeypatch.chdir("/")
    pickle.loads(packed).write("a.bin", b"one")
    assert (tmp_path / "out" / "a.bin").is_file()


@pytest.mark.parametrize("address", ["nonsense://bucket/a", "s3://"])
def test_an_address_of_no_known_kind_is_refused(address: str) -> None:
    with pytest.raises(StoreError, match=r"expected an address .*s3://bucket/folder"):
        RemoteFolder(address)


def test_a_bucket_that_is_not_there_is_named(bucket: str) -> None:
    with pytest.raises(StoreError, match="s3://no-such-bucket/a/x: expected an address that can be reached"):
        RemoteFolder("s3://no-such-bucket/a").write("x", b"one")


def test_a_data_set_at_an_address_reads_like_one_in_a_folder(bucket: str, tmp_path: Path) -> None:
    files = {**patches(24), "sub/deep.png": png(noise(20, 20)), ".hidden/x.png": b"", "005.png": b"not a picture"}
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    there = read_dataset(open_files(filled(f"{bucket}/set", files)))
    here = read_dataset(open_files(tmp_path))
    assert [image.image for image in there.images] == [image.image for image in here.images]
    assert all((a.boxes == b.boxes).all() for a, b in zip(there.images, here.images, strict=True))
    assert told(there) == told(here)
    assert len({there.source.stamp(image.image) for image in there.images}) > 1
    sent = pickle.loads(pickle.dumps(there.source))
    assert sent.read("000.png", 10**6) == files["000.png"]


def test_boxes_may_lie_at_another_address(bucket: str) -> None:
    pictures = filled(f"{bucket}/plain", {name: data for name, data in patches(3).items() if name.endswith("png")})
    boxes = filled(f"{bucket}/boxes", {"all.json": coco({"000.png": [(1, 2, 30, 40)]}, size=(96, 96))})
    dataset = read_dataset(open_files(pictures), open_boxes(f"{boxes}/all.json"))
    assert [image.boxes.tolist() for image in dataset.images] == [[[1, 2, 30, 40]]]


def test_an_empty_address_and_a_lost_file_are_named(bucket: str) -> None:
    with pytest.raises(AnnotationError, match="expected a folder with files"):
        AddressFiles(f"{bucket}/nothing")
    source = AddressFiles(filled(f"{bucket}/going", {"a.png": b"x"}))
    RemoteFolder(f"{bucket}/going").remove("a.png")
    with pytest.raises(AnnotationError, match="not there any more"):
        source.read("a.png", 100)


def test_photographs_at_an_address(bucket: str) -> None:
    folder = filled(f"{bucket}/photos", {"b.png": png(noise(20, 30)), "A.PNG": png(noise(20, 20)), "notes.txt": b""})
    assert list(photos_at_address(folder)) == [f"{folder}/A.PNG", f"{folder}/b.png"]
    assert list(photos_at_address(f"{folder}/b.png")) == [f"{folder}/b.png"]
    assert open_photo(f"{folder}/b.png").width == 30
    with pytest.raises(ImageError, match="no file"):
        open_photo(f"{folder}/c.png")
    with pytest.raises(ImageError, match="expected a folder with photographs"):
        photos_at_address(f"{folder}/none")
    with pytest.raises(ImageError, match=r"^c\.png: expected a picture, got a path where there is no file"):
        photos_at_address(f"{folder}/c.png")


def test_maps_go_from_one_address_to_another(bucket: str, capsys: pytest.CaptureFixture[str]) -> None:
    photos = filled(f"{bucket}/in", {"a.png": png(noise(60, 40)), "broken.png": b"x"})
    call = ["maps", photos, "--backbone", "TinyResNet", "--size", "64", "--out", f"{bucket}/maps"]
    assert main(call) == 1
    assert RemoteFolder(f"{bucket}/maps").names() == {"a.TinyResNet.npz", "a.TinyResNet.png", "manifest.json"}
    assert len(RemoteFolder(f"{bucket}/maps/parts").names()) == 1
    capsys.readouterr()
    assert main(call) == 1
    assert "loading" not in capsys.readouterr().err
