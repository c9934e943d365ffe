"""Keras leaves packages out that nothing here needs it to have; everybody else has them."""

import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.support.children import python

FIRST = """
import sys
from convfe_core.machine.tensorflow_import import (
    TAKEN_ALONG, import_tensorflow, keep_lean, keep_session, load_library_early
)
"""


def run(code: str) -> list[str]:
    return finished(code).stdout.split()


def finished(code: str) -> subprocess.CompletedProcess[str]:
    return python("-c", FIRST + code)


@pytest.mark.slow
def test_keras_works_without_what_it_takes_along_and_others_still_find_it() -> None:
    code = """
keep_lean()
import_tensorflow()
import keras, numpy
print(sorted(TAKEN_ALONG & set(sys.modules)))
print(keras.layers.ReLU()(numpy.ones((1, 2))).shape)
import pandas, scipy.stats, sklearn.metrics
print(pandas.DataFrame({"a": [1]}).shape)
"""
    assert run(code) == ["[]", "(1,", "2)", "(1,", "1)"]


@pytest.fixture(scope="module")
def usual() -> list[str]:
    """What a process tells that imports TensorFlow without asking for less, and keeps the session of Keras then."""
    return run("""
import_tensorflow()
print('pandas' in sys.modules)
keep_session()
import_tensorflow()
import keras, threading
from streamlit.runtime.scriptrunner.script_runner import _clean_problem_modules
picture = keras.Input((8, 8, 3))
first = keras.layers.ZeroPadding2D()(picture)
other = threading.Thread(target=_clean_problem_modules)
other.start()
other.join()
print(*(layer.name for layer in keras.Model(picture, keras.layers.ZeroPadding2D()(first)).layers[1:]))
""")


@pytest.mark.slow
def test_a_program_of_others_is_left_as_it_is(usual: list[str]) -> None:
    assert usual[0] == "True"


@pytest.mark.slow
def test_a_network_that_is_built_does_not_lose_its_names_when_another_page_has_run(usual: list[str]) -> None:
    """Streamlit clears Keras' session whenever a page has run, whatever other visitors' pages do then."""
    assert usual[1:] == ["zero_padding2d", "zero_padding2d_1"]


def test_another_thread_finds_them_while_keras_is_imported(tmp_path: Path) -> None:
    (tmp_path / "keras.py").write_text(
        "import threading\n"
        "class backend: backend = staticmethod(lambda: 'tensorflow')\n"
        "class config: image_data_format, floatx = (lambda: 'channels_last'), (lambda: 'float32')\n"
        "def ask():\n    global found\n    import scipy\n    found = scipy.__name__\n"
        "asking = threading.Thread(target=ask)\nasking.start()\nasking.join()\n"
        "try:\n    import sklearn\nexcept ModuleNotFoundError as error:\n    print(error.name, found)\n"
    )
    (tmp_path / "tensorflow.py").touch()
    code = f"sys.path.insert(0, {str(tmp_path)!r})\nkeep_lean()\nbefore = list(sys.meta_path)\n" + (
        "import_tensorflow()\nprint(sys.meta_path == before)"
    )
    assert run(code) == ["sklearn", "scipy", "True"]


def test_the_command_line_asks_for_it_and_says_nothing_but_its_own_lines(tmp_path: Path) -> None:
    image, out = tmp_path / "teal.png", tmp_path / "out"
    Image.new("RGB", (64, 64), "teal").save(image)
    code = f"""
from convfe_core.cli.commands import main
sys.argv = ["convfe", "maps", {str(image)!r}, "--backbone", "TinyResNet", "--out", {str(out)!r}]
print(main(), sorted(TAKEN_ALONG & set(sys.modules)))
"""
    done = finished(code)
    assert done.stdout.split() == ["0", "[]"]
    said = done.stderr.splitlines()
    assert said[0] == "TinyResNet: loading"
    assert all(line.startswith("TinyResNet: ") for line in said[:-1])
    assert said[-1] == f"1 map in {out}"


def test_the_library_that_is_loaded_early_is_silent_and_what_python_prints_meanwhile_is_not_lost() -> None:
    done = finished("""
keep_lean()
load_library_early()
print("loading", file=sys.stderr)
import_tensorflow(muted=True)
print("loaded", file=sys.stderr)
import tensorflow
print(int(tensorflow.add(1, 2)))
""")
    assert done.stderr.split() == ["loading", "loaded"]
    assert done.stdout.split() == ["3"]


def test_a_tensorflow_without_that_library_is_imported_as_ever(tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text("version = 'none'")
    code = f"sys.path.insert(0, {str(tmp_path)!r})\nload_library_early()\nimport tensorflow\nprint(tensorflow.version)"
    assert run(code) == ["none"]
