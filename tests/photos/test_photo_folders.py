"""Photographs from folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from convfe_core.base.errors import ImageError
from convfe_core.photos.photo_folders import photos_in_folder


def test_a_folder_lists_its_pictures_sorted(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "C.webp", "notes.txt", ".hidden.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "d.tiff").touch()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "e.png").touch()
    assert [path.name for path in photos_in_folder(tmp_path)] == ["a.png", "b.JPG", "C.webp"]
    assert photos_in_folder(str(tmp_path)) == photos_in_folder(tmp_path)


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
    with pytest.raises(ImageError, match=r"got one with no other files\.$"):
        photos_in_folder(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ImageError, match=r"got one with 1 other file\.$"):
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
