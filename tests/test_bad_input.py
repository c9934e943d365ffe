"""The same bad files handed to the core, the command line and the page: a sentence each, and the rest unharmed."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from convfe_core.catalog import file_stem
from convfe_core.cli import main
from convfe_core.errors import ImageError
from convfe_core.hosting import VISITOR
from convfe_core.images import display_name, open_photo, read_photo
from tests.bad_input import CASES, ODD_NAMES, Case
from tests.builders import noise, png
from tests.conftest import ROOT

GOOD = [case for case in CASES if case.says is None]
BAD = [case for case in CASES if case.says is not None]
BACKBONE = "TinyMobileNet:untrained"


def assert_one_sentence(text: str, case: Case) -> None:
    assert case.says is not None
    assert case.says in text
    assert text.endswith(".")
    assert "\n" not in text
    assert "Traceback" not in text


@pytest.mark.parametrize("case", CASES, ids=[case.name[:20] for case in CASES])
def test_the_core_reads_a_file_or_says_what_is_wrong(case: Case) -> None:
    if case.says is None:
        photo = read_photo(case.data, case.name)
        assert photo.pixels.shape[2] == 3
        return
    with pytest.raises(ImageError) as caught:
        read_photo(case.data, case.name)
    assert_one_sentence(str(caught.value), case)


@pytest.mark.parametrize("name", ODD_NAMES, ids=[str(number) for number in range(len(ODD_NAMES))])
def test_any_name_becomes_one_short_line_without_a_folder(name: str) -> None:
    shown = read_photo(png(noise(16, 16)), name).name
    assert shown == display_name(name)
    assert 0 < len(shown) <= 80
    assert shown.isprintable() or "\u200d" in shown
    assert "\\" not in shown
    assert "/" not in shown


def test_the_command_line_writes_what_it_can_read_and_names_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for case in CASES:
        (folder / case.name).write_bytes(case.data)
    assert main(["maps", str(folder), "--backbone", BACKBONE, "--out", str(out)]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("convfe: ")]
    assert len(lines) == len(BAD)
    for case in BAD:
        (line,) = (line for line in lines if line.startswith(f"convfe: {display_name(case.name)}: "))
        assert_one_sentence(line, case)
    written = [path.name for path in out.iterdir() if path.suffix == ".npz"]
    assert len(written) == len(GOOD)
    assert any(name.startswith(file_stem("cmyk")) for name in written)


def test_the_page_shows_what_it_can_read_and_names_the_rest(no_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVFE_HOSTED", "1")
    assert len(CASES) < VISITOR.most_images
    app = AppTest.from_file(str(ROOT / "dashboard.py"), default_timeout=120)
    app.query_params["backbones"] = BACKBONE
    app.query_params["samples"] = ""
    app.run()
    for case in CASES:
        app.file_uploader(key="uploads").upload(case.name, case.data)
    app.run()
    assert not app.exception
    assert len(app.get("plotly_chart")) == min(8, len(GOOD))
    errors = [error.value.replace("\\", "") for error in app.error]
    assert len(errors) == len(BAD)
    for case, error in zip(BAD, errors, strict=True):
        assert error.startswith(f"{display_name(case.name)}: ")
        assert_one_sentence(error, case)
    assert len(app.session_state["map_store"]) == min(8, len(GOOD))


def test_a_file_of_300_megabytes_is_refused_without_reading_it(tmp_path: Path) -> None:
    huge = tmp_path / "huge.png"
    with huge.open("wb") as file:
        file.truncate(300_000_000)
    with pytest.raises(ImageError, match=r"huge\.png: expected at most 50 MB, got 300 MB"):
        open_photo(huge)


def convfe(*arguments: str, user: int | None = None, environ: dict[str, str] | None = None, limit: int | None = None):
    """Run the command line in a process of its own, perhaps as another user or on a disk that takes little."""

    def restrict() -> None:
        if limit is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [sys.executable, "-m", "convfe_core.cli", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(environ or {})},
        user=user,
        preexec_fn=restrict,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def own_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("convfe: ")]


@pytest.mark.slow
def test_a_disk_that_fills_up_is_one_sentence_and_leaves_no_half_file(tmp_path: Path) -> None:
    picture, out = tmp_path / "one.png", tmp_path / "out"
    picture.write_bytes(png(noise(200, 300)))
    result = convfe("maps", str(picture), "--backbone", BACKBONE, "--out", str(out), limit=2_000)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert len(own_lines(result.stderr)) == 1
    assert "File too large" in own_lines(result.stderr)[0]
    assert not list(out.iterdir())


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can become another user")
def test_folders_that_may_not_be_read_or_written_are_one_sentence_each(tmp_path: Path) -> None:
    closed, out = tmp_path / "closed", tmp_path / "out"
    closed.mkdir()
    (closed / "one.png").write_bytes(png(noise(32, 32)))
    closed.chmod(0o700)
    out.mkdir(mode=0o755)
    for folder in (tmp_path, *tmp_path.parents):
        if folder != Path("/") and folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(folder.stat().st_mode | 0o005)
    nobody = 65534
    backbone = ("--backbone", BACKBONE)
    unreadable = convfe("maps", str(closed), *backbone, "--out", str(tmp_path / "made"), user=nobody)
    assert unreadable.returncode == 1
    assert "Permission denied" in own_lines(unreadable.stderr)[0]
    assert "Traceback" not in unreadable.stderr
