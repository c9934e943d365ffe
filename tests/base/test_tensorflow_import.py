"""Keras leaves packages out that nothing here needs it to have; everybody else has them."""

import subprocess
import sys
from pathlib import Path

from PIL import Image

FIRST = "import sys\nfrom convfe_core.base.tensorflow_import import TAKEN_ALONG, keep_lean\n"


def run(code: str) -> list[str]:
    return finished(code).stdout.split()


def finished(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", FIRST + code], capture_output=True, text=True, check=True)


def test_keras_works_without_what_it_takes_along_and_others_still_find_it() -> None:
    code = """
keep_lean()
import keras, numpy
print(sorted(TAKEN_ALONG & set(sys.modules)))
print(keras.layers.ReLU()(numpy.ones((1, 2))).shape)
import pandas, scipy.stats, sklearn.metrics
print(pandas.DataFrame({"a": [1]}).shape)
"""
    assert run(code) == ["[]", "(1,", "2)", "(1,", "1)"]


def test_asking_twice_is_asking_once() -> None:
    assert run("keep_lean()\nbefore = len(sys.meta_path)\nkeep_lean()\nprint(len(sys.meta_path) - before)") == ["0"]


def test_the_command_line_asks_for_it_and_says_nothing_but_its_own_lines(tmp_path: Path) -> None:
    image, out = tmp_path / "teal.png", tmp_path / "out"
    Image.new("RGB", (64, 64), "teal").save(image)
    code = f"""
from convfe_core.cli.commands import main
sys.argv = ["convfe", "maps", {str(image)!r}, "--backbone", "TinyMobileNet", "--out", {str(out)!r}]
print(main(), sorted(TAKEN_ALONG & set(sys.modules)))
"""
    done = finished(code)
    assert done.stdout.split() == ["0", "[]"]
    said = done.stderr.splitlines()
    assert said[0] == "TinyMobileNet: loading"
    assert all(line.startswith("TinyMobileNet: ") for line in said[:-1])
    assert said[-1] == f"1 map in {out}"
