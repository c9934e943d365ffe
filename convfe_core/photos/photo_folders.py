"""The photographs of a folder: for a run on one's own machine, never for a hosted one."""

from __future__ import annotations

import os
from pathlib import Path

from convfe_core.base.errors import ImageError
from convfe_core.base.folders import known_folder, split_address
from convfe_core.base.wording import display_name
from convfe_core.photos.photo import EXTENSIONS


def photos_in_folder(path: str | Path) -> list[Path]:
    """List the pictures of a folder, sorted by path, capitals and small letters alike.

    Hidden files and the folders in it are left out.

    Raises
    ------
    ImageError
        When there is no such folder, it cannot be read, or it holds no file that ends like a picture.
    """
    folder = Path(path).expanduser()
    shown = display_name(str(path))
    try:
        if not folder.is_dir():
            raise ImageError(
                f"{shown}: expected a folder with photographs, got "
                + ("a file." if folder.exists() else "a path where there is no folder.")
            )
        with os.scandir(folder) as entries:
            inside = {entry.name: entry.is_dir() for entry in entries}
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a valid path"
        raise ImageError(f"{shown}: expected a folder that can be read, got “{reason}”.") from error
    files = [name for name, is_folder in inside.items() if not is_folder and not name.startswith(".")]
    found = [folder / name for name in files if name.lower().endswith(EXTENSIONS)]
    if not found:
        raise ImageError(
            f"{shown}: expected a folder with photographs ({', '.join(EXTENSIONS)}), got one with "
            f"{len(files) or 'no'} other file{'' if len(files) == 1 else 's'}."
            + (" Folders in it are not searched: name one of them." if any(inside.values()) else "")
        )
    return sorted(found, key=lambda item: (str(item).casefold(), str(item)))


def photos_at_address(address: str) -> dict[str, str]:
    """List the pictures of a folder at an address such as ``s3://bucket/photos``, sorted like those of a folder.

    Returns
    -------
    by address, what changes when the picture does

    Raises
    ------
    ImageError
        When there is no such file, or none in the folder that ends like a picture.
    StoreError
        When the address cannot be reached.
    """
    folder, name = split_address(address)
    if name.lower().endswith(EXTENSIONS):
        stamps = known_folder(folder).stamps(recursive=False)
        if name not in stamps:
            raise ImageError(f"{display_name(name)}: expected a picture, got a path where there is no file.")
        return {address: stamps[name]}
    folder = address.rstrip("/")
    found = known_folder(folder).stamps(recursive=False)
    pictures = [one for one in found if not one.startswith(".") and one.lower().endswith(EXTENSIONS)]
    if not pictures:
        raise ImageError(
            f"{address}: expected a folder with photographs ({', '.join(EXTENSIONS)}), got an address with "
            f"{len(found) or 'no'} other file{'' if len(found) == 1 else 's'}."
        )
    return {f"{folder}/{one}": found[one] for one in sorted(pictures, key=lambda one: (one.casefold(), one))}
