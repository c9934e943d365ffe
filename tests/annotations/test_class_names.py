"""Names of classes are found where YOLO sets keep them, and stay the words that they are."""

from __future__ import annotations

import pytest

from tests.annotations.one_box import LINE, PICTURE, read
from tests.support.datasets import told


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("labels.txt", b"cat\n\n"),
        ("Classes.txt", b"\xef\xbb\xbfcat\r\n"),
        ("custom.names", b"cat"),
        ("OBJ.NAMES", b"cat"),
        ("_darknet.labels", b"cat"),
        ("class_names.txt", b"0 cat"),
        ("classes.txt", "cat".encode("utf-16")),
        ("labels/train/classes.txt", b"cat"),
        ("dataset.YAML", b"names: {'0': cat}"),
        ("coco8.yml", b"path: ../coco8\ntrain: [a, b]\nnc: 1\nnames:\n  0: cat\n"),
        ("data.yaml", b"names: {cat: 0}"),
    ],
)
def test_class_names_are_found(file: str, content: bytes) -> None:
    dataset = read({"images/train/a.jpg": PICTURE, "labels/train/a.txt": LINE, file: content})
    assert dataset.classes == ("cat",)
    assert dataset.skipped == dataset.notes == ()


@pytest.mark.parametrize("word", ["no", "yes", "on", "off", "null", "~", "1e3", "0x1F", "2024-01-01", "true", "1_000"])
def test_words_of_yaml_stay_words(word: str) -> None:
    for names in (f"names: [{word}]", f"names:\n  0: {word}"):
        assert read({"a.jpg": PICTURE, "a.txt": LINE, "data.yaml": names.encode()}).classes == (word,)


def test_what_class_names_leave_open_is_said() -> None:
    labels = {"a.jpg": PICTURE, "a.txt": LINE}
    assert read(labels).notes == ("no file names the classes, which go by their numbers",)
    assert read({**labels, "data.yaml": b"nc: 3\nnames: [cat]"}).notes == ("data.yaml states 3 classes and names 1",)
    assert told(read({**labels, "classes.txt": b"caf\xe9"})) == {"classes.txt": "is no text in UTF-8; save it as UTF-8"}


def test_each_of_two_data_sets_has_its_own_classes() -> None:
    files = {}
    for name, number in (("cat", 1), ("dog", 2)):
        files |= {f"{name}s/images/{number}.jpg": PICTURE, f"{name}s/labels/{number}.txt": LINE}
        files[f"{name}s/data.yaml"] = f"names: [{name}]".encode()
    dataset = read(files)
    assert [image.labels for image in dataset.images] == [("cat",), ("dog",)]
    assert dataset.notes == (
        "the classes are named differently in cats/data.yaml, dogs/data.yaml; labels go by the one nearest above them",
    )
