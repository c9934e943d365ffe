"""What a file holds decides whether it is a picture, in a folder, an archive, an upload or at an address."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convfe_core.base.file_sets import AddressFiles, FileSet, FolderFiles, UploadedFiles, ZipFiles
from convfe_core.cli.commands import main
from convfe_core.datasets.read_dataset import read_dataset
from convfe_core.photos.photo import read_photo
from convfe_core.photos.photo_folders import photos_at_address
from convfe_core.photos.picture_formats import SUFFIXES, begins_like_picture, is_picture_name, pillow_formats
from tests.support.builders import corners, encode

WRITABLE = ("PNG", "JPEG", "MPO", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "JPEG2000", "PPM", "QOI", "SGI", "PCX", "DIB")


@pytest.mark.parametrize("kind", WRITABLE)
@pytest.mark.parametrize("name", ["a", "a.txt", "a.png", "a.jpg_large"])
def test_a_picture_is_read_whatever_its_name(kind: str, name: str) -> None:
    photo = read_photo(encode(corners(), kind), name)
    np.testing.assert_allclose(photo.pixels[3, 3].astype(int), (255, 0, 0), atol=40)
    assert (photo.height, photo.width) == (16, 24)


@pytest.mark.parametrize("compression", [None, "tga_rle"])
def test_a_tga_is_known_by_its_name_for_it_has_no_signature(compression: str | None) -> None:
    photo = read_photo(encode(corners(), "TGA", compression=compression), "a.TGA")
    np.testing.assert_array_equal(photo.pixels, np.asarray(corners()))


def test_an_icon_shows_its_largest_picture() -> None:
    data = encode(corners().resize((64, 64)), "ICO", sizes=[(16, 16), (64, 64)])
    assert read_photo(data, "a.ico").pixels.shape == (64, 64, 3)


@pytest.mark.parametrize("depth", [255, 4095, 65535])
@pytest.mark.parametrize("colour", [False, True])
def test_portable_maps_of_any_depth_are_read(depth: int, colour: bool) -> None:
    picture = np.asarray(corners()) if colour else np.asarray(corners().convert("L"))
    kind = "u1" if depth < 256 else ">u2"
    data = np.rint(picture / 255 * depth).astype(kind).tobytes()
    photo = read_photo(f"P{6 if colour else 5}\n24 16\n{depth}\n".encode() + data, "a.pnm")
    np.testing.assert_allclose(photo.pixels[..., 0].astype(int), picture if not colour else picture[..., 0], atol=1)


def test_a_jpeg_of_inks_is_no_negative() -> None:
    inks = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    np.testing.assert_allclose(read_photo(encode(inks, "JPEG"), "a.jpg").pixels[5, 5].astype(int), (254, 0, 0), atol=4)


def test_the_suffixes_are_those_that_pillow_has_for_these_formats() -> None:
    Image.init()
    known = {suffix for suffix, kind in Image.registered_extensions().items() if kind in (*pillow_formats(), "MPO")}
    left_out = {".icb", ".vda", ".vst", ".bw", ".rgba", ".avifs", ".heifs", ".heics", ".hif"}
    assert known - left_out <= set(SUFFIXES)
    assert is_picture_name("IMG_1.JFIF")
    assert not is_picture_name("notes.txt")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "JPEG2000", "PPM", "QOI"])
def test_a_picture_is_told_by_its_first_bytes(kind: str) -> None:
    assert begins_like_picture(encode(corners(), kind)[:64])


@pytest.mark.parametrize("data", [b"", b"BMW 3 series\n" * 9, b"P5", b"P6x", b"RIFF1234AVI ", b"\0" * 64, b"II*"])
def test_other_files_are_not_taken_for_pictures(data: bytes) -> None:
    assert not begins_like_picture(data[:64])


# --- the same in every place ------------------------------------------------------------------------------------------

FILES = {
    "images/a.jfif": encode(corners(), "JPEG"),
    "images/b": encode(corners()),
    "images/c.img": encode(corners(), "WEBP"),
    "labels/a.txt": b"0 0.25 0.25 0.5 0.5\n",
    "labels/b.txt": b"0 0.25 0.25 0.5 0.5\n",
    "labels/c.txt": b"0 0.25 0.25 0.5 0.5\n",
    "notes.md": b"notes",
    "images/d.svg": b"<svg></svg>",
    "Thumbs.db": b"left behind",
    "images/.DS_Store": b"left behind",
}


def folder(tmp_path: Path) -> FileSet:
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return FolderFiles(tmp_path)


def archive(_tmp_path: Path) -> FileSet:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in FILES.items():
            file.writestr(name, data)
    return ZipFiles(buffer.getvalue())


def uploads(_tmp_path: Path) -> FileSet:
    return UploadedFiles(FILES.items())


def address(tmp_path: Path) -> FileSet:
    folder(tmp_path)
    return AddressFiles(tmp_path.as_uri())


@pytest.mark.parametrize("place", [folder, archive, uploads, address])
def test_a_data_set_has_pictures_of_any_name_and_names_what_is_not_read(place: object, tmp_path: Path) -> None:
    data = read_dataset(place(tmp_path))
    assert [image.image for image in data.images] == ["images/a.jfif", "images/b", "images/c.img"]
    for image in data.images:
        np.testing.assert_allclose(image.boxes, [[0, 0, 12, 8]], atol=1e-4)
    reasons = [one.reason for one in data.skipped]
    assert "2 files are not read as pictures: images/d.svg, notes.md" in reasons


def test_pictures_at_an_address_are_told_by_what_they_hold(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "images" / "e.txt").write_text("text")
    told: list[str] = []
    at = f"{tmp_path.as_uri()}/images"
    found = photos_at_address(at, told.append)
    assert list(found) == [f"{at}/a.jfif", f"{at}/b", f"{at}/c.img"]
    assert told == [f"{at}: 2 files are not read as pictures: d.svg, e.txt."]
    assert list(photos_at_address(f"{at}/b")) == [f"{at}/b"]


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unpadded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose map has no cell for a photograph below 79 pixels."""
    import keras

    layer = entry = keras.Input((None, None, 3))
    for _ in range(4):
        layer = keras.layers.Conv2D(2, 7, strides=2)(layer)
    path = tmp_path_factory.mktemp("model") / "unpadded.keras"
    keras.Model(entry, layer).save(path)
    return path


def test_every_picture_too_small_for_a_network_is_named_and_the_others_are_shown(
    unpadded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, size in {"a.png": (40, 30), "b.png": (40, 30), "c.jpe": (400, 300)}.items():
        Image.new("RGB", size, "red").save(photos / name, "PNG")
    (photos / "d.svg").write_text("<svg></svg>")
    call = ["maps", str(photos), "--backbone", f"own={unpadded}", "--size", "image", "--out", str(tmp_path / "out")]
    assert main(call) == 1
    lines = capsys.readouterr().err
    for name in ("a.png", "b.png"):
        assert f"convfe: {name}: expected an image that own makes a map of, got one that enters it at 64 x 32" in lines
    assert "1 file is not read as pictures: d.svg." in lines
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [Path(one["image"]).name for one in manifest["maps"]] == ["c.jpe"]
    assert [Path(one["image"]).name for one in manifest["failed"]] == ["a.png", "b.png"]


def test_what_a_map_leaves_out_of_a_file_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pages = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "one.tif")
    call = ["maps", str(tmp_path), "--backbone", "TinyResNet:untrained", "--out", str(tmp_path / "out")]
    assert main(call) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines.count("convfe: scan.tif: the first of its pages is shown.") == 1
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [one.get("note") for one in manifest["maps"]] == [None, "the first of its pages is shown"]
