"""What Community Cloud does: the tracked files, a new environment, the dependency file; then the app starts.

Of an environment that has the extra [test] too, the new one gets links to what the dependency file asks for, and to
nothing else. Only the project itself is installed afresh: what pip found missing it would fetch, as it does for CI.
"""

from __future__ import annotations

import subprocess
import sysconfig
import tomllib
import urllib.request
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from playwright.sync_api import Page, expect

from tests.conftest import ROOT, need
from tests.support.children import python
from tests.support.servers import serve

pytestmark = pytest.mark.slow

SECONDS = 900
SITE = Path(sysconfig.get_path("purelib"))


def copy_tracked_files(target: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    need(listed.returncode == 0, "a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes((ROOT / name).read_bytes())


def closure(needed: Iterable[str], extras: Iterable[str] = (), found: frozenset[str] = frozenset()) -> frozenset[str]:
    """The names of packages that are needed on this machine, and of what these need in turn."""
    for one in map(Requirement, needed):
        wanted = one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *extras))
        if wanted and one.name not in found:
            found = closure(distribution(one.name).requires or [], one.extras, found | {one.name})
    return found


def link_dependencies(site: Path) -> None:
    """Give an empty environment what the project's file asks for, from the environment that runs the tests."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name in closure(project["dependencies"]):
        for top in {file.parts[0] for file in distribution(name).files or []} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(SITE / top)


@pytest.mark.timeout(2 * SECONDS)
def test_a_fresh_environment_from_the_dependency_file_paints_the_first_page(page: Page, tmp_path: Path) -> None:
    checkout, environment, elsewhere = (tmp_path / name for name in ("checkout", "environment", "elsewhere"))
    copy_tracked_files(checkout)
    elsewhere.mkdir()
    python("-m", "venv", "--without-pip", environment, timeout=SECONDS)
    (site,) = environment.glob("lib/python*/site-packages")
    link_dependencies(site)
    fresh = environment / "bin" / "python"
    pip = ("-m", "pip", "--python", fresh)  # so that the new environment needs none of its own
    install = ("install", "--quiet", "--no-compile", "--requirement", "requirements.txt")
    python(*pip, *install, cwd=checkout, timeout=SECONDS)
    python(*pip, "check", timeout=SECONDS)
    for name in ("pytest", "ray"):
        assert not (site / name).exists()
    with serve(tmp_path, script=checkout / "dashboard.py", working_directory=elsewhere, python=fresh) as server:
        with urllib.request.urlopen(f"{server.address}/_stcore/health", timeout=30) as answer:
            assert answer.read() == b"ok"
        page.goto(server.address)
        expect(page.locator(".js-plotly-plot")).to_have_count(3, timeout=180_000)
        expect(page.locator(".js-plotly-plot .heatmaplayer image").first).to_be_attached()
