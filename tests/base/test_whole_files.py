"""Files appear whole or not at all."""

from __future__ import annotations

import os
import stat
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest

from convfe_core.base.folders import write_whole
from tests.conftest import need, posix
from tests.support.children import python


def test_a_file_is_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_whole(tmp_path / "maps.npz", b"new")
    assert (tmp_path / "maps.npz").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["maps.npz"]


def test_a_result_is_as_readable_as_any_other_file(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"")
    write_whole(str(tmp_path / "maps.npz"), b"")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("other", "maps.npz")}
    assert len(modes) == 1


@posix
def test_a_write_that_breaks_off_half_way_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    """A limit on file sizes ends a write in the middle, as a full disk does, and needs no disk to fill."""
    need(find_spec("resource") is not None, "Unix, which limits the size of a process's files")
    path = tmp_path / "maps.npz"
    path.write_bytes(b"old")
    code = (
        "import resource, sys; from convfe_core.base.folders import write_whole;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); write_whole(sys.argv[1], bytes(100_000))"
    )
    assert "OSError: [Errno 27] File too large" in python("-c", code, path, status=1).stderr
    assert path.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["maps.npz"]


def test_a_name_that_cannot_be_taken_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "maps.npz").mkdir()
    with pytest.raises(OSError, match=r"maps\.npz"):
        write_whole(tmp_path / "maps.npz", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["maps.npz"]


def test_giving_up_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "maps.npz").write_bytes(b"old")

    def interrupted(_handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "maps.npz", b"new")
    assert (tmp_path / "maps.npz").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["maps.npz"]


def test_a_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "missing" / "maps.npz", b"")


def test_a_reader_never_sees_half_of_it(tmp_path: Path) -> None:
    path, contents = tmp_path / "maps.npz", {b"a" * 300_000, b"b" * 300_000}
    write_whole(path, min(contents))
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(20):
            for content in contents:
                write_whole(path, content)
    finally:
        done.set()
        reader.join()
    assert seen <= contents
