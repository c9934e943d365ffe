"""Photographs from folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from convfe_core.base.errors import ImageError
from convfe_core.base.wording import display_name
from convfe_core.photos.photo_folders import photos_in_folder
from tests.support.builders import noise, png


def test_a_folder_lists_its_pictures_sorted(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "C.webp", "notes.txt", ".hidden.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "d.tiff").touch()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "e.png").touch()
    assert [path.name for path in photos_in_folder(tmp_path)] == ["a.png", "b.JPG", "C.webp"]
    assert photos_in_folder(str(tmp_path)) == photos_in_folder(tmp_path)


def test_files_are_pictures_by_what_they_hold_and_the_others_are_named(tmp_path: Path) -> None:
    for name in ("photo", "photo.jpg_large", "scan.dat", "b.jfif", "c.jpe"):
        (tmp_path / name).write_bytes(png(noise(8, 8)))
    others = ["a.svg", "drawing.abc", "empty", "n1.txt", "n2.txt", "n3.txt", "sound.mp3"]
    for name in (*others, "Thumbs.db", ".DS_Store", "desktop.ini"):
        (tmp_path / name).write_text("BM is no bitmap\n" if name != "empty" else "")
    told: list[str] = []
    found = [path.name for path in photos_in_folder(tmp_path, tell=told.append)]
    assert found == ["b.jfif", "c.jpe", "photo", "photo.jpg_large", "scan.dat"]
    shown = display_name(str(tmp_path))
    assert told == [f"{shown}: 7 files are not read as pictures: {', '.join(others[:5])} and 2 more."]


def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    os.mkfifo(tmp_path / "pipe")
    told: list[str] = []
    assert len(photos_in_folder(tmp_path, tell=told.append)) == 1
    assert told[0].endswith("1 file is not read as pictures: pipe.")


def test_a_folder_that_links_to_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    assert len(photos_in_folder(tmp_path)) == 1


def test_a_folder_that_is_none_is_answered_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"^missing: .* got a path where there is no folder\.$"):
        photos_in_folder(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match=r"^file: .* got a file\.$"):
        photos_in_folder(tmp_path / "file")
    with pytest.raises(ImageError, match="expected a folder"):
        photos_in_folder("nul\0byte")
    (tmp_path / "file").unlink()
    with pytest.raises(ImageError, match=r"got one without any file\.$"):
        photos_in_folder(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ImageError, match=r"got one without; 1 file is not read as pictures: notes\.txt\.$"):
        photos_in_folder(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(ImageError, match=r"Folders in it are not searched: name one of them\.$"):
        photos_in_folder(tmp_path)


def test_a_folder_without_permission_is_answered_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may read everything, so the refusal is put where the system would put it.
    def refuse(_path: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(ImageError, match="expected a folder that can be read, got “Permission denied”"):
        photos_in_folder(tmp_path)
