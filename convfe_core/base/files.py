"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def write_whole(path: str | Path, data: bytes) -> None:
    """Write a file so that nobody ever sees half of it.

    The bytes go to a hidden file in the same folder, which then takes the name in one step. When that fails,
    what was there before stays as it was, and nothing else is left behind.

    Raises
    ------
    OSError
        When the folder is missing or cannot be written, or the disk is full.
    """
    with whole_file(path) as file:
        file.write(data)


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file to be written piece by piece, which takes its name when the block ends; see `write_whole`.

    Raises
    ------
    OSError
        As in `write_whole`.
    """
    path = Path(path)
    temporary = path.with_name(f".convfe-{secrets.token_hex(8)}.part")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
