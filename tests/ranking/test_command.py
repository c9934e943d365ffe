"""The command `convfe rank`: a verdict and files, or one line that says what is wrong with the call."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from convfe_core.cli.commands import main
from tests.support.rankings import SMALL, patches


@pytest.mark.machine
def test_the_command_prints_a_verdict_and_writes_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, data in patches(4).items():
        (tmp_path / name).write_bytes(data)
    out = tmp_path / "out"
    out.mkdir()
    command = ["rank", str(tmp_path), "--backbone", SMALL, "--size", "96", "--no-probe", "--no-control", "--limit", "3"]
    files = [f"--{kind}={out / kind}" for kind in ("json", "csv", "html")]
    assert main([*command, *files]) == 0
    said = capsys.readouterr()
    assert "No winner is named" in said.out.splitlines()[-1]
    assert re.search(r"image 3 of 3, [\d.]+ images/s", said.err)
    found = json.loads((out / "json").read_text())
    assert found["dataset"]["images"] == 3
    assert found["backbones"][0]["probe"] is None
    assert found["backbones"][0]["separation"]["mean"]["control"] is None
    assert (out / "csv").read_text().startswith("spec,")
    assert (out / "html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (["missing", "--backbone", SMALL], 1, "expected a folder"),
        ([".", "--backbone", SMALL], 1, "expected pictures with boxes, got no picture"),
        ([".", "--backbone", "VGG61"], 2, "VGG16"),
        ([".", "--backbone", SMALL, "--html", "nowhere/page.html"], 2, "for --html. Received: nowhere/page.html"),
    ],
)
def test_a_wrong_call_is_one_line(
    arguments: list[str],
    status: int,
    word: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["rank", *arguments]) == status
    error = capsys.readouterr().err
    assert word in error
    assert error.count("\n") == 1
