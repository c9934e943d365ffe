"""What a reader follows from one page of the documentation to the next is there, and the first page stays short."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from docs.draw_house import WINGS
from docs.write_reference import PAGE, reference
from tests.conftest import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")])
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file(page):
    missing = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()]
    assert not missing


def test_the_readme_leads_to_every_page_of_the_documentation():
    linked = {(ROOT / link).resolve() for link in LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))}
    assert {page for page in PAGES if page.parent.name == "docs"} <= linked


def test_the_readme_is_read_in_five_minutes():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150


CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PATH = re.compile(r"`((?:[a-z_]\w*/)+[a-z_]\w*\.\w+)`")
NAME_IN_PATH = re.compile(PATH.pattern + r":\s+`(?:\w+\.)*(\w+)`")


def place_of(path: str) -> Path:
    """Of a file of the core, which may be named without its first folder, or of another one."""
    return next((one for one in (ROOT / "convfe_core" / path, ROOT / path) if one.is_file()), Path("missing"))


def test_the_files_and_names_that_a_contributor_is_sent_to_are_there():
    paths = PATH.findall(CONTRIBUTING)
    assert len(paths) > 30
    assert [path for path in paths if not place_of(path).is_file()] == []
    names = NAME_IN_PATH.findall(CONTRIBUTING)
    assert len(names) > 10
    for path, name in names:
        assert re.search(rf"(def|class) {name}\b", place_of(path).read_text(encoding="utf-8")), (path, name)


def test_the_table_of_wings_says_what_each_wing_says_of_itself():
    for wing in WINGS:
        (said,) = re.findall(rf"^\| `{wing}` \| (.*) \|$", CONTRIBUTING, re.MULTILINE)
        source = (ROOT / "convfe_core" / wing / "__init__.py").read_text(encoding="utf-8")
        assert ast.get_docstring(ast.parse(source)) == said


def test_the_reference_of_options_is_what_the_commands_tell():
    """Where lines break differs between versions of Python."""
    assert PAGE.read_text(encoding="utf-8").split() == reference().split(), (
        "out of date; python -m docs.write_reference"
    )
