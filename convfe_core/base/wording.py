"""Small phrases of sentences for people."""

from __future__ import annotations

from collections.abc import Sequence


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
