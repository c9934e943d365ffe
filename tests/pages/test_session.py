"""What a visitor's session holds is written down in one place."""

import ast
from collections.abc import Iterator
from pathlib import Path

from pages.app import session
from tests.conftest import ROOT

MODULES = [ROOT / "dashboard.py", *sorted((ROOT / "pages").rglob("*.py"))]
WITHOUT_A_VALUE = {
    *("button", "download_button", "container", "plotly_chart", "show_figure"),
    *("choose_named", "choose_photos_and_backbone", "_choose_scaling"),
}
"""What takes a key and keeps nothing under it, and functions whose widgets are looked at themselves."""


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


def beginning(key: ast.expr) -> str:
    """A key as far as it is written out."""
    parts = key.values if isinstance(key, ast.JoinedStr) else [key]
    return str(parts[0].value) if isinstance(parts[0], ast.Constant) else ""


def test_no_other_module_names_a_key_of_the_session() -> None:
    naming = [path.name for path in MODULES if "session_state" in path.read_text()]
    assert naming == ["session.py"]


def test_every_key_is_described_once() -> None:
    kept = [value for value in vars(session).values() if isinstance(value, session.Kept)]
    names = [one.name for one in kept]
    assert len(set(names)) == len(names) == 29
    assert not set(names) & set(session.WIDGETS)
    for one in kept:
        name = one.set_by.replace(".", "/") + ".py"
        assert (ROOT / name).is_file() or (ROOT / "pages" / name).is_file(), one


def test_the_key_of_every_widget_is_listed() -> None:
    for path in MODULES:
        for call in calls(path):
            function = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            for keyword in call.keywords:
                key = beginning(keyword.value)
                if keyword.arg == "key" and key and function not in WITHOUT_A_VALUE:
                    assert any(key.startswith(listed) for listed in session.WIDGETS), (path.name, key)
