"""What Community Cloud does: the tracked files, a new environment, the dependency file; then the app starts."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import ROOT, need
from tests.support.servers import serve

pytestmark = pytest.mark.slow

SECONDS = 900


def copy_tracked_files(target: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    need(listed.returncode == 0, "a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes((ROOT / name).read_bytes())


@pytest.mark.timeout(2 * SECONDS)
def test_a_fresh_environment_from_the_dependency_file_paints_the_first_page(page: Page, tmp_path: Path) -> None:
    checkout, environment, elsewhere = (tmp_path / name for name in ("checkout", "environment", "elsewhere"))
    copy_tracked_files(checkout)
    elsewhere.mkdir()
    subprocess.run([sys.executable, "-m", "venv", environment], check=True, timeout=SECONDS)
    python = environment / "bin" / "python"
    # Python compiles what is imported by itself, in half the time that pip takes to compile every file there is.
    install = [python, "-m", "pip", "install", "--quiet", "--no-compile", "--requirement", "requirements.txt"]
    subprocess.run(install, cwd=checkout, check=True, timeout=SECONDS)
    with serve(tmp_path, script=checkout / "dashboard.py", working_directory=elsewhere, python=python) as server:
        with urllib.request.urlopen(f"{server.address}/_stcore/health", timeout=30) as answer:
            assert answer.read() == b"ok"
        page.goto(server.address)
        expect(page.locator(".js-plotly-plot")).to_have_count(3, timeout=180_000)
        expect(page.locator(".js-plotly-plot .heatmaplayer image").first).to_be_attached()
