"""Lines of YOLO files that are more than a box: what they are, and a word about how they were read."""

from __future__ import annotations

import numpy as np
import pytest

from tests.annotations.one_box import BOX, CENTRED, LINE, PICTURE, boxes_of, read
from tests.support.datasets import told

TAIL, TRACK = "a confidence or a track number", "a confidence and a track number"
POLYGON = "polygons or turned boxes"
DOUBT = f"though they fit {POLYGON} as well"
CORNERS = "0.1 0.1 0.6 0.1 0.6 0.6 0.1 0.6"


@pytest.mark.parametrize(
    ("lines", "shape", "reading"),
    [
        ([f"{CENTRED} 0.9"], "", f"6 values read as boxes with {TAIL}"),
        ([f"{CENTRED} 17"], "", f"6 values read as boxes with {TAIL}"),
        ([f"{CENTRED} 0.91 1"], "", f"7 values read as boxes with {TRACK}, {DOUBT}"),
        ([f"{CENTRED} 0.91 17"], "", f"7 values read as boxes with {TRACK}"),
        (["0.1 0.1 0.6 0.1 0.6 0.6"], "", f"7 values read as {POLYGON}"),
        ([CORNERS], "", f"9 values read as {POLYGON}"),
        ([f"{CORNERS} 0.9"], "", f"10 values read as {POLYGON} with {TAIL}"),
        ([f"{CORNERS} 0.9 7"], "", f"11 values read as {POLYGON} with {TRACK}"),
        ([f"{CENTRED} .2 .2 .3 .3"], "[2, 2]", "9 values read as poses of 2 keypoints"),
        ([f"{CENTRED} .2 .2 .3 .3 .9"], "[2, 2]", f"10 values read as poses of 2 keypoints with {TAIL}"),
        ([f"{CENTRED} .2 .2 .3 .3 .9 4"], "[2, 2]", f"11 values read as poses of 2 keypoints with {TRACK}"),
        ([f"{CENTRED} .4 .3 2 .7 .55 2 .5 .5 1 0 0 0"], "[4, 3]", "17 values read as poses of 4 keypoints"),
        (
            [f"{CENTRED} .2 .2 .3 .3"] * 3,
            "",
            f"9 values read as poses of 2 keypoints, {DOUBT}",
        ),
        (
            [CENTRED + " .2 .3" * 17] * 3,
            "",
            f"39 values read as poses of 17 keypoints, {DOUBT}",
        ),
        (
            [CENTRED + " .2 .3 2" * 17],
            "",
            f"56 values read as poses of 17 keypoints, though they fit {POLYGON} with {TAIL} as well",
        ),
    ],
)
def test_lines_are_told_apart_and_the_reading_is_said(lines: list[str], shape: str, reading: str) -> None:
    files = {f"{n}.jpg": PICTURE for n in range(len(lines))} | {
        f"{n}.txt": f"0 {line}\n".encode() for n, line in enumerate(lines)
    }
    described = f"names: [cat]\n{f'kpt_shape: {shape}' if shape else ''}".encode()
    dataset = read({**files, "data.yaml": described})
    assert dataset.skipped == ()
    assert set(map(str, boxes_of(dataset).values())) == {str([list(BOX)])}
    count = f"{len(lines)} box{'es' if len(lines) > 1 else ''}"
    assert dataset.notes == (f"label lines of {reading} ({count})",)


def test_all_lines_of_a_data_set_are_judged_together() -> None:
    """One damaged line does not turn poses into polygons, and tracks of polygons are known by their varied lengths."""
    lines = [CENTRED + " .2 .2 2 .3 .3 1"] * 60 + [CENTRED + " .2 .2 2 .3 .3 1.5", "0.35 0.35 0.5 7 .2 .2 2 .3 .3 1"]
    labels = "".join(f"0 {line}\n" for line in lines).encode()
    dataset = read({"a.jpg": PICTURE, "a.txt": labels, "classes.txt": b"cat"})
    np.testing.assert_allclose(dataset.images[0].boxes, [BOX] * 61)
    assert "line 62 has values far outside 0 to 1" in told(dataset)["a.txt"]
    tracked = f"0 {CORNERS} .9 1\n0 0.1 0.1 0.6 0.1 0.6 0.6 .8 2\n0 0.1 0.1 0.6 0.1 0.6 0.6 .2 .3 .7 1"
    dataset = read({"a.jpg": PICTURE, "a.txt": tracked.encode(), "classes.txt": b"cat"})
    np.testing.assert_allclose(dataset.images[0].boxes, [BOX] * 3)


@pytest.mark.parametrize("line", [f"0 {CENTRED} # a comment", f"0 {CENTRED} cat", f"0.0\t{CENTRED}\r\n\r\n"])
def test_words_after_the_numbers_are_no_part_of_a_label(line: str) -> None:
    assert boxes_of(read({"a.jpg": PICTURE, "a.txt": line.encode(), "classes.txt": b"cat"})) == {"a.jpg": [list(BOX)]}


def test_a_line_that_fits_nothing_is_named() -> None:
    files = {"a.jpg": PICTURE, "b.jpg": PICTURE, "b.txt": LINE, "a.txt": f"0 {CENTRED} -1.2".encode()}
    assert told(read(files)) == {"a.txt": "line 1 has 6 values that are neither a box, a pose nor a polygon"}
    files["a.txt"] = b"images/a.jpg\nimages/b.jpg\n"
    assert told(read(files)) == {"a.txt": "is a list of pictures and no label file"}


def test_labels_of_a_picture_that_is_called_labels_are_labels() -> None:
    dataset = read({"labels.jpg": PICTURE, "labels.txt": LINE, "classes.txt": b"cat"})
    assert boxes_of(dataset) == {"labels.jpg": [list(BOX)]}
    assert dataset.skipped == ()
