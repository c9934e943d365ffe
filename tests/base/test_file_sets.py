"""File sets: folders, uploads and archives look alike, and a hostile archive does no harm."""

from __future__ import annotations

import io
import os
import pickle
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from convfe_core.base.errors import AnnotationError, Skipped
from convfe_core.base.file_sets import DatasetLimits, FileSet, FolderFiles, UploadedFiles, ZipFiles, open_files
from convfe_core.datasets.read_dataset import open_boxes, read_dataset
from tests.conftest import posix
from tests.support.datasets import zipped
from tests.support.rankings import patches

NOBODY = 65534
FILES = {"a.jpg": b"picture", "labels/a.txt": b"0 1 1 1 1", "labels/deep/b.txt": b""}
LEFT_ALONE = {".DS_Store": b"x", ".git/config": b"x", "__MACOSX/a.jpg": b"x", "labels/Thumbs.db": b"x"}


@pytest.fixture(params=["folder", "uploads", "zip", "zip on disk"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> FileSet:
    given = {**FILES, **LEFT_ALONE}
    if request.param == "uploads":
        return UploadedFiles(given.items())
    if request.param == "zip":
        return ZipFiles(zipped(given))
    if request.param == "zip on disk":
        (tmp_path / "set.zip").write_bytes(zipped(given))
        return open_files(tmp_path / "set.zip")
    for name, data in given.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return open_files(tmp_path)


def test_every_kind_lists_and_reads_the_same_files(files: FileSet) -> None:
    assert files.names == tuple(sorted(FILES))
    assert {name: files.read(name, 100) for name in files.names} == FILES
    assert files.problems == ()


def test_every_kind_can_be_read_by_another_process(files: FileSet) -> None:
    assert pickle.loads(pickle.dumps(files)).read(files.names[0], 100) == files.read(files.names[0], 100)


def test_relative_paths_mean_the_same_to_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.txt").write_bytes(b"one")
    (tmp_path / "set.zip").write_bytes(zipped({"a.txt": b"one"}))
    monkeypatch.chdir(tmp_path)
    sent = [pickle.dumps(open_files(name)) for name in ("set", "set.zip")]
    monkeypatch.chdir("/")
    assert [pickle.loads(one).read("a.txt", 10) for one in sent] == [b"one", b"one"]


@contextmanager
def without_rights() -> Iterator[None]:
    """As somebody whom permissions bind, as they do not bind root; Python's own files may be closed to them too."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that nobody may read in the one that we are in."""
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)  # the way here may be closed
    folder = Path("closed")
    folder.mkdir()
    (folder / "x.png").write_bytes(b"")
    folder.chmod(0)
    yield folder
    folder.chmod(0o700)


@posix
def test_a_folder_that_may_not_be_read_is_a_problem_and_the_others_are_read(closed: Path) -> None:
    for name, data in patches(3).items():
        closed.with_name(name).write_bytes(data)
    with without_rights():
        found, boxes = open_files("."), open_boxes(".")
    expected = Skipped("closed/", "cannot be read (Permission denied)")
    assert found.problems == (expected,)
    dataset = read_dataset(found, boxes)
    assert len(dataset.images) == 3
    assert dataset.skipped == (expected,)


@posix
def test_where_nothing_may_be_read_that_is_said(closed: Path) -> None:
    with without_rights():
        found = open_files(".")
        with pytest.raises(AnnotationError, match=r"^closed: expected a folder that can be read, got “Permission"):
            open_files(closed)
    with pytest.raises(AnnotationError, match=r"got no picture \(closed/: cannot be read \(Permission denied\)\)"):
        read_dataset(found)


def test_a_file_over_the_limit_is_not_read(files: FileSet) -> None:
    with pytest.raises(AnnotationError, match="expected at most"):
        files.read("a.jpg", 3)


def test_the_first_of_two_uploads_of_one_name_counts() -> None:
    files = UploadedFiles([("a.txt", b"1"), ("a.txt", b"2")])
    assert files.read("a.txt", 9) == b"1"
    assert files.problems == (Skipped("a.txt", "a second file of this name; the first one is used"),)


def test_entries_that_point_outside_are_named_and_left_alone() -> None:
    hostile = dict.fromkeys(("../up.txt", "/etc/passwd", "a/../../b.txt", "C:\\windows\\c.txt", "..\\d.txt"), b"x")
    files = ZipFiles(zipped({**hostile, "good.txt": b"1"}))
    assert files.names == ("good.txt",)
    assert {p.reason for p in files.problems} == {"points outside the archive"}
    assert len(files.problems) == 5


def test_links_in_an_archive_are_left_alone() -> None:
    link = zipfile.ZipInfo("link.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert ZipFiles(buffer.getvalue()).problems == (Skipped("link.txt", "is a link"),)


def test_archives_that_unpack_to_too_much_are_refused() -> None:
    bomb = zipped({"zeros.txt": b"\0" * 3_000_000})
    assert len(bomb) < 10_000
    with pytest.raises(AnnotationError, match=r"bomb: expected at most 1 MB once unpacked, got 3 MB"):
        ZipFiles(bomb, "bomb", DatasetLimits(max_bytes=1_000_000))
    with pytest.raises(AnnotationError, match="expected at most 2 files, got 3"):
        ZipFiles(zipped(FILES), limits=DatasetLimits(max_files=2))


def test_an_archive_that_lies_about_its_sizes_is_never_unpacked_beyond_them() -> None:
    data = bytearray(zipped({"zeros.txt": b"\0" * 3_000_000}))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = data.index(signature) + offset
        data[place : place + 4] = (1000).to_bytes(4, "little")
    files = ZipFiles(bytes(data), limits=DatasetLimits(max_bytes=10_000))
    with pytest.raises(AnnotationError):
        files.read("zeros.txt", 5000)


def test_encrypted_entries_are_named() -> None:
    data = bytearray(zipped({"secret.txt": b"1"}, zipfile.ZIP_STORED))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    assert ZipFiles(bytes(data)).problems == (Skipped("secret.txt", "is encrypted"),)


@pytest.mark.parametrize("data", [b"", b"no archive", zipped(FILES)[:40]], ids=["empty", "text", "cut off"])
def test_what_is_no_archive_is_refused_in_one_sentence(data: bytes) -> None:
    with pytest.raises(AnnotationError, match=r"set\.zip: expected a zip archive"):
        ZipFiles(data, "set.zip")


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="expected a folder, got a path where there is nothing"):
        FolderFiles(tmp_path / "missing")
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(AnnotationError, match="expected a folder, got a file"):
        FolderFiles(tmp_path / "file.txt")
