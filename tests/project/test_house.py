"""The house stays one that a stranger can walk: wings import one way, folders are small, a name means one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

from docs.draw_house import PICTURE, WINGS, draw, imported_modules
from tests.conftest import ROOT
from tests.support.children import python

CORE, PAGES = ROOT / "convfe_core", ROOT / "pages"
MOST_ROOMS = 9
FOLDERS = sorted({path.parent for top in (CORE, PAGES, ROOT / "tests") for path in top.rglob("*.py")})


def modules(*tops: Path) -> list[Path]:
    return [path for top in tops for path in sorted(top.rglob("*.py"))]


def packages(path: Path) -> set[str]:
    """Top-level packages that a file imports."""
    return {name.partition(".")[0] for name in imported_modules(path)}


@pytest.mark.parametrize("wing", WINGS)
def test_a_wing_imports_only_from_those_before_it(wing):
    later = WINGS[WINGS.index(wing) + 1 :]
    for path in modules(CORE / wing):
        wrong = [name for name in imported_modules(path) if name.startswith(tuple(f"convfe_core.{w}" for w in later))]
        assert not wrong, f"{path.relative_to(ROOT)} imports {', '.join(sorted(wrong))}"


def test_every_module_of_the_core_lies_in_a_wing_of_the_stated_order():
    assert {path.name for path in CORE.iterdir() if path.is_dir() and any(path.glob("*.py"))} == set(WINGS)
    assert [path.name for path in CORE.glob("*.py")] == ["__init__.py"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_folder_holds_more_than_nine_modules(folder):
    rooms = [path.stem for path in folder.glob("*.py") if not path.stem.startswith("__") and path.stem != "conftest"]
    assert len(rooms) <= MOST_ROOMS, sorted(rooms)


def test_the_core_never_imports_streamlit_or_pages():
    for path in modules(CORE):
        assert not packages(path) & {"streamlit", "pages"}, path


def test_pages_never_import_keras_or_tensorflow():
    for path in modules(PAGES):
        assert not packages(path) & {"keras", "tensorflow", "tf_keras"}, path


def test_a_page_holds_no_bare_strings():
    """Streamlit writes them onto the page, also what would be a constant's docstring elsewhere."""
    for path in (*PAGES.glob("*.py"), ROOT / "dashboard.py"):
        _, *others = ast.parse(path.read_text(encoding="utf-8")).body
        assert not [one for one in others if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)], path


def test_nothing_imports_a_modules_private_names():
    for path in modules(CORE, PAGES):
        for name in imported_modules(path):
            if name.startswith(("convfe_core", "pages")):
                assert not any(part.startswith("_") and not part.startswith("__") for part in name.split(".")), path


def test_no_public_name_means_two_things():
    homes: defaultdict[str, list[str]] = defaultdict(list)
    for path in modules(CORE, PAGES):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [node.name] if isinstance(node, ast.ClassDef) else []
            if isinstance(node, ast.Assign):
                names = [one.id for one in node.targets if isinstance(one, ast.Name) and not one.id.isupper()]
            for name in names:
                if not name.startswith("_") and name[0].isupper():
                    homes[name].append(str(path.relative_to(ROOT)))
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


def test_the_drawn_picture_is_that_of_the_code():
    assert PICTURE.read_text(encoding="utf-8") == draw(), "out of date; python -m docs.draw_house"


def test_a_first_page_waits_for_no_import_of_tensorflow_or_of_scipys_statistics():
    names = imported_modules(PAGES / "compare.py")
    ours = sorted(name for name in names if (ROOT / f"{name.replace('.', '/')}.py").exists())
    slow = {"tensorflow", "keras", "scipy.stats", "sklearn", "pandas"}
    assert "pages.views.grid" in ours
    code = f"import sys, {', '.join(ours)}\nprint(sorted({slow} & set(sys.modules)))"
    assert python("-c", code).stdout.strip() == "[]"
