"""Small phrases of sentences for people."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from convfe_core.base.folders import is_address, split_address

LONGEST_STEM = 120
"""Bytes; into the 255 that the usual file systems give a name must fit two stems, a number and a suffix."""

_KEPT_END = 24
_UNFIT_FOR_FILES = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_DEVICE = re.compile(r"con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]", re.IGNORECASE)
_LONGEST_NAME = 80
_ZERO_WIDTH_JOINER = "\u200d"  # holds emoji such as an astronaut together


def in_words(names: Sequence[str]) -> str:
    """``A, B and C``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def counted(number: int, thing: str, things: str = "") -> str:
    """A number and what it counts, in the plural unless it is one.

    Examples
    --------
    >>> counted(1, "class", "classes"), counted(1200, "box", "boxes"), counted(0, "image")
    ('1 class', '1,200 boxes', '0 images')
    """
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"


def display_name(name: str) -> str:
    r"""Make a file name fit for one line of text.

    The folder goes, control and direction-changing characters become spaces, bytes that are no text become
    ``\ufffd``, and a long name keeps its beginning and its end. Emoji stay. Markup is not escaped: that is
    for whoever writes HTML.

    Examples
    --------
    >>> display_name("../../etc/pass\nwd.jpg")
    'pass wd.jpg'
    """
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    shown = "".join(_shown_character(character) for character in last)
    shown = " ".join(shown.split()) or "unnamed"
    if len(shown) > _LONGEST_NAME:
        tail = 20
        shown = shown[: _LONGEST_NAME - tail - 1] + "…" + shown[-tail:]
    return shown


def file_name(where: str | Path) -> str:
    """The last part of a path or an address."""
    return split_address(str(where))[1] if is_address(where) else Path(where).name


def _shown_character(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cs":
        return "\ufffd"
    if character == _ZERO_WIDTH_JOINER or category not in {"Cc", "Cf", "Zl", "Zp"}:
        return character
    return " "


def file_stem(label: str) -> str:
    """Make a label fit for a file's name on any system.

    Characters that file systems dislike become ``_``, names that Windows keeps for devices begin with one, and a long
    label keeps its beginning and its end.

    Examples
    --------
    >>> file_stem("VGG16:untrained"), file_stem("aux.keras")
    ('VGG16_untrained', '_aux.keras')
    """
    fit = _UNFIT_FOR_FILES.sub("_", label).strip(" .")
    if _DEVICE.fullmatch(fit.partition(".")[0].rstrip()):
        fit = f"_{fit}"
    if _bytes(fit) > LONGEST_STEM:
        head, tail = fit[:-_KEPT_END], fit[-_KEPT_END:]
        while _bytes(f"{head}_{tail}") > LONGEST_STEM:
            head = head[:-1]
        fit = f"{head}_{tail}"
    return fit or "_"


def _bytes(name: str) -> int:
    return len(name.encode("utf-8", "surrogatepass"))
