"""Finds the picture that an annotation means, by the name that a tool on another machine wrote down."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from convfe_core.photos.picture_formats import is_picture_name

_ROLES = frozenset(
    [
        *("images", "image", "img", "imgs", "jpegimages", "photos", "pictures", "data", "obj_train_data"),
        *("labels", "label", "annotations", "annotation", "ann", "anns", "boxes", "bboxes"),
        *("xml", "xmls", "txt", "json"),
    ]
)
"""Folder names that say what kind of file is in them; they do not tell pictures apart."""

_QUERY_NAME = re.compile(r"[?&]d=([^&]*)")
"""The file's path in addresses of Label Studio: ``/data/local-files/?d=images/a.jpg``."""

_HOST = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/]*/")
_UPLOAD_MARK = re.compile(r"[0-9a-f]{8}-(?=.)")
"""What Label Studio puts before the name of an uploaded picture."""

_ENCODINGS = 3
"""How often a name may be percent encoded: some tools encode what another one has encoded."""
_SAME_FOLDERS = (True, 0)


@dataclass(frozen=True)
class Match:
    """Pictures that go by a name.

    Attributes
    ----------
    pictures : one, several that cannot be told apart, or none
    closeness : how well the folders agree, larger is better: whether all do, and if not, how many before the name
    """

    pictures: tuple[str, ...] = ()
    closeness: tuple[bool, int] = (False, 0)


NO_MATCH = Match()


class Pictures:
    """Pictures by the names that annotations may call them.

    A name is looked for as it is written and, where no picture has exactly this path, without regard to case, Unicode
    form, percent encoding and suffix. Of several pictures with the same name, those are taken whose suffix and folders
    agree best.

    Parameters
    ----------
    names : the pictures
    place : the folder that they are named from, so that annotations of another folder can be compared
    """

    def __init__(self, names: Iterable[str], place: str = "") -> None:
        self.names = tuple(names)
        self.place = place
        self._known = frozenset(self.names)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        self._by_folder: dict[str, list[str]] = defaultdict(list)
        for name in self.names:
            folder, base = posixpath.split(posixpath.join(place, name))
            stem = _folded(posixpath.splitext(base)[0])
            self._by_stem[stem].append(name)
            self._by_folder[f"{_last_folder(folder)}/{stem}"].append(name)

    def match(self, names: Sequence[str], file: str) -> Match:
        """Find the picture by the first of several names whose folders agree, or else by the first that fits at all.

        Parameters
        ----------
        names : what the picture may be called, best first
        file : path of the file that says so, `place` and all
        """
        found = [match for match in (self.find(name, file) for name in names) if match.pictures]
        return next((match for match in found if match.closeness[0]), found[0] if found else NO_MATCH)

    def find(self, name: str, file: str = "") -> Match:
        """Find the picture that `file` calls `name`."""
        folder = posixpath.dirname(file)
        name = name.replace("\\", "/")
        stated = _without_address(name)
        for where in (posixpath.join(folder, name), posixpath.join(self.place, name), posixpath.join(folder, stated)):
            known = self._within(posixpath.normpath(where))
            if known in self._known:
                return Match((known,), _SAME_FOLDERS)
        wanted, base = posixpath.split(posixpath.normpath(posixpath.join(folder, stated)))
        for stem in _stems(base):
            candidates = self._by_folder.get(f"{_last_folder(wanted)}/{stem}") or self._by_stem.get(stem)
            if candidates:
                return self._nearest(candidates, wanted, base, posixpath.basename(file))
        return NO_MATCH

    def _within(self, path: str) -> str:
        place = self.place.rstrip("/") + "/" if self.place else ""
        return path[len(place) :] if path.startswith(place) else path

    def _nearest(self, candidates: Sequence[str], folder: str, base: str, file: str) -> Match:
        """Of pictures with one stem, those that agree best with what `file` calls `base` in `folder`."""
        stem = posixpath.splitext(base)[0]
        wanted = _folders(folder)
        folders = {name: _folders(posixpath.dirname(posixpath.join(self.place, name))) for name in candidates}
        bases = {name: posixpath.basename(name) for name in candidates}
        words = set(re.findall(r"[^\W\d_]+", _folded(file)))
        criteria: tuple[Callable[[str], int], ...] = (
            lambda name: _folded(bases[name]) in (_folded(base), _folded(stem)),
            lambda name: _common_tail(folders[name], wanted),
            lambda name: folders[name] == wanted,
            lambda name: any(one.rstrip("0123456789") in words for one in folders[name]),
            lambda name: stem in (bases[name], posixpath.splitext(bases[name])[0]),
        )
        left = list(candidates)
        for criterion in criteria:
            if len(left) == 1:
                break
            best = max(map(criterion, left))
            left = [name for name in left if criterion(name) == best]
        same = folders[left[0]] == wanted
        return Match(tuple(left), _SAME_FOLDERS if same else (False, _common_tail(folders[left[0]], wanted)))


def _without_address(name: str) -> str:
    """A path out of what may be an address: without scheme, host and query, and with its percent signs resolved."""
    if query := _QUERY_NAME.search(name):
        name = query[1]
    else:
        before, mark, _ = name.partition("?")
        name = before if mark and is_picture_name(before) else name
        name = _HOST.sub("", name)
    return unquote(name).replace("\\", "/")


def _folded(name: str) -> str:
    """A name in the form in which names are compared."""
    if name.isascii() and "%" not in name and "+" not in name:
        return name.lower().strip()
    for _ in range(_ENCODINGS):
        name = unquote(name)
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()).replace("+", " ").strip()


def _stems(base: str) -> Iterator[str]:
    """Folded stems of the pictures that a file's name may mean, likeliest first."""
    stem = posixpath.splitext(base)[0]
    stems = [stem, base]  # a name without a suffix may hold a dot
    if is_picture_name(stem):  # a.jpg.txt
        stems.append(posixpath.splitext(stem)[0])
    for one in stems:
        yield _folded(one)
    for one in map(_folded, stems):
        if _UPLOAD_MARK.match(one):
            yield _UPLOAD_MARK.sub("", one, count=1)


@lru_cache(10_000)
def _folders(path: str) -> tuple[str, ...]:
    """The folders of a path that tell pictures apart."""
    folded = (_folded(part) for part in path.split("/") if part not in ("", ".", ".."))
    return tuple(part for part in folded if part not in _ROLES)


def _last_folder(path: str) -> str:
    return next(iter(_folders(path)[-1:]), "")


def _common_tail(one: Sequence[str], other: Sequence[str]) -> int:
    """How many items at the ends of both are the same."""
    length = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        length += 1
    return length
