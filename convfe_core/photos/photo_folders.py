"""Photographs from a folder and from an address: for a run on one's own machine, never for a hosted one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from convfe_core.base.background import map_ahead
from convfe_core.base.errors import ImageError, StoreError
from convfe_core.base.folders import READERS_OVER_NETWORK, counts, is_address, known_folder, split_address
from convfe_core.base.wording import display_name
from convfe_core.photos.picture_formats import BEGINNING, Beginnings, is_picture_name, others_in_words, sort_out

Say = Callable[[str], None]


def photos_in_folder(path: str | Path, tell: Say = lambda _line: None) -> list[Path]:
    """List the pictures of a folder, sorted by path, capitals and small letters alike.

    Files whose names tell nothing are looked into. Hidden files and folders are left out, links to folders are not
    followed.

    Parameters
    ----------
    path : the folder
    tell : takes a sentence that names the files which are no pictures

    Raises
    ------
    ImageError : there is no such folder, it cannot be read, or it holds no picture
    """
    folder = Path(path).expanduser()
    shown = display_name(str(path))
    try:
        if not folder.is_dir():
            raise ImageError(
                f"{shown}: expected a folder with photographs, got "
                + ("a file." if folder.exists() else "a path where there is no folder.")
            )
        names, below = _names(folder)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a valid path"
        raise ImageError(f"{shown}: expected a folder that can be read, got “{reason}”.") from error
    hint = " Folders in it are not searched: name one of them." if below else ""
    pictures = _pictures(names, lambda unclear: (_beginning(folder / name) for name in unclear), shown, tell, hint)
    return [folder / name for name in pictures]


def photos_at_address(address: str, tell: Say = lambda _line: None) -> dict[str, str]:
    """List the pictures of a folder at an address such as ``s3://bucket/photos``, sorted like those of a folder.

    Parameters
    ----------
    address : of a folder or of one picture
    tell : takes a sentence that names the files which are no pictures

    Returns
    -------
    by address, what changes when the picture does

    Raises
    ------
    ImageError : there is no such file, or no picture in the folder
    StoreError : the address cannot be reached
    """
    address = address.rstrip("/")
    folder, name = split_address(address)
    if is_picture_name(name) or _is_file(folder, name):
        stamps = known_folder(folder).stamps(recursive=False)
        if name not in stamps:
            raise ImageError(f"{display_name(name)}: expected a picture, got a path where there is no file.")
        return {address: stamps[name]}
    found = known_folder(address).stamps(recursive=False)
    names = [one for one in found if counts(one)]

    def beginning(one: str) -> bytes:
        return known_folder(address).read(one, BEGINNING)

    pictures = _pictures(names, lambda unclear: map_ahead(beginning, unclear, READERS_OVER_NETWORK), address, tell)
    return {f"{address}/{one}": found[one] for one in pictures}


def _names(folder: Path) -> tuple[list[str], bool]:
    """The files of a folder, and whether there are folders in it."""
    with os.scandir(folder) as entries:
        inside = {entry.name: entry.is_dir() for entry in entries}
    return [name for name, is_folder in inside.items() if not is_folder and counts(name)], any(inside.values())


def _beginning(path: Path) -> bytes:
    """A file's first bytes, or nothing of one that cannot be read or is no ordinary file."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(BEGINNING)
    except OSError:
        return b""


def _is_file(folder: str, name: str) -> bool:
    """Whether there is a file of this name at an address; a bucket lies in no folder that could be asked."""
    try:
        return known_folder(folder).has(name)
    except StoreError:
        return False


def _pictures(names: Sequence[str], beginnings: Beginnings, where: str, tell: Say, hint: str = "") -> list[str]:
    """The pictures among the files of a folder, sorted; ImageError with a hint where there are none."""
    pictures, others = sort_out(sorted(names, key=lambda name: (name.casefold(), name)), beginnings)
    if not pictures:
        kind = "an address" if is_address(where) else "one"
        but = f"; {others_in_words(others)}." if others else " any file."
        raise ImageError(f"{where}: expected a folder with photographs, got {kind} without{but}{hint}")
    if others:
        tell(f"{where}: {others_in_words(others)}.")
    return pictures
