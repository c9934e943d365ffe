"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from convfe_core.files import write_whole


def test_a_file_is_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_whole(tmp_path / "maps.npz", b"new")
    assert (tmp_path / "maps.npz").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["maps.npz"]


def test_a_result_is_as_readable_as_any_other_file(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"")
    write_whole(str(tmp_path / "maps.npz"), b"")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("other", "maps.npz")}
    assert len(modes) == 1


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_no_other(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a disk that fills up is noticed: when the bytes go out, or when the name changes."""
    (tmp_path / "maps.npz").write_bytes(b"old")

    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os if step == "fsync" else Path, step, full)
    with pytest.raises(OSError, match="No space left on device"):
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
