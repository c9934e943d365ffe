"""What a notebook imports: the list is complete, costs nothing until it is used, and the README's lines run."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import convfe_core
from tests.conftest import ROOT
from tests.support.builders import noise, png
from tests.support.children import python


def test_the_list_of_public_names_is_complete_and_every_name_is_there() -> None:
    source = ast.parse(inspect.getsource(convfe_core))
    (for_types,) = (node for node in source.body if isinstance(node, ast.If))
    imports = [node for node in for_types.body if isinstance(node, ast.ImportFrom)]
    typed = {name.name: node.module for node in imports for name in node.names}
    assert sorted(typed) == sorted(convfe_core.__all__)
    for name, module in typed.items():
        assert getattr(convfe_core, name) is getattr(importlib.import_module(str(module)), name)
    assert set(convfe_core.__all__) <= set(dir(convfe_core))


def test_no_public_name_hides_a_module() -> None:
    modules = {path.stem for path in Path(convfe_core.__file__).parent.glob("*.py")}
    assert not modules & set(convfe_core.__all__)


def test_public_functions_say_what_they_are_for() -> None:
    for name in convfe_core.__all__:
        public = getattr(convfe_core, name)
        if callable(public):
            assert inspect.getdoc(public), name


def test_a_name_that_is_not_there_is_told_as_python_does() -> None:
    with pytest.raises(AttributeError, match="module 'convfe_core' has no attribute 'load_backbones'"):
        convfe_core.load_backbones  # noqa: B018


def test_importing_the_package_imports_nothing_and_the_names_no_tensorflow(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
before = set(sys.modules)
import convfe_core
print(sorted({{name.partition(".")[0] for name in set(sys.modules) - before}} - set(sys.stdlib_module_names)))
from convfe_core import *
print("tensorflow" in sys.modules, "keras" in sys.modules, "streamlit" in sys.modules)
"""
    assert python("-c", code, cwd=tmp_path).stdout == "['convfe_core']\nFalse False False\n"


def test_the_lines_of_the_readme_run_as_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "README.md").read_text()
    section = re.search(r"^## From Python\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    lines = [line[4:] for line in section[1].splitlines() if line.startswith("    ")]
    (tmp_path / "street.jpg").write_bytes(png(noise(90, 160)))
    monkeypatch.chdir(tmp_path)
    made: dict[str, Any] = {}
    exec("\n".join(lines), made)
    assert (made["maps"].max.shape, made["maps"].mean.shape, made["maps"].label) == ((6, 10), (6, 10), "TinyResNet")
    assert (tmp_path / "street.maps.png").read_bytes().startswith(b"\x89PNG")
