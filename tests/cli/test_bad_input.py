"""The same bad files handed to the core, the command line and the page: a sentence each, and the rest unharmed."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from convfe_core.base.errors import ImageError
from convfe_core.base.wording import display_name, file_stem
from convfe_core.cli.commands import main
from convfe_core.model_files import weight_cache as weights
from convfe_core.photos.photo import open_photo, read_photo
from convfe_core.serving.visitors import VISITOR
from tests.cli.bad_input import CASES, ODD_NAMES, Case
from tests.conftest import posix
from tests.support.apps import charts, new_app, open_page
from tests.support.builders import noise, png
from tests.support.children import python
from tests.support.datasets import voc, zipped

GOOD = [case for case in CASES if case.says is None]
BAD = [case for case in CASES if case.says is not None]
BACKBONE = "TinyResNet:untrained"


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
    refused = [line for line in lines if ": expected " in line]
    assert [line for line in lines if line not in refused] == [
        "convfe: animation.gif: the first of its frames is shown."
    ]
    assert len(refused) == len(BAD)
    for case in BAD:
        (line,) = (line for line in refused if line.startswith(f"convfe: {display_name(case.name)}: "))
        assert_one_sentence(line, case)
    written = [path.name for path in out.iterdir() if path.suffix == ".npz"]
    assert len(written) == len(GOOD)
    assert any(name.startswith(file_stem("cmyk")) for name in written)


def test_the_page_shows_what_it_can_read_and_names_the_rest(no_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVFE_HOSTED", "1")
    assert len(CASES) < VISITOR.most_images
    app = new_app(backbones=BACKBONE, samples="").run()
    for case in CASES:
        app.file_uploader(key="uploads").upload(case.name, case.data)
    app.run()
    assert not app.exception
    assert len(charts(app)) == min(8, len(GOOD))
    errors = [error.value.replace("\\", "") for error in app.error]
    assert len(errors) == len(BAD)
    for case, error in zip(BAD, errors, strict=True):
        assert error.startswith(f"{display_name(case.name)}: ")
        assert_one_sentence(error, case)
    kept = app.session_state["map_store"]._kept
    assert len({key.digest for key in kept}) == min(8, len(GOOD))


def test_the_page_shows_a_picture_whatever_it_is_called(no_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVFE_HOSTED", "1")
    app = new_app(backbones=BACKBONE, samples="").run()
    # Streamlit itself turns away names without one of the endings asked for, and those with a null byte.
    names = [name for name in ODD_NAMES[len(CASES) :] if name.endswith(".png")]
    names = [name.replace("\x00", "") for name in names]
    assert len(names) == 5
    for number, name in enumerate(names):
        app.file_uploader(key="uploads").upload(name, png(noise(32, 32, number)))
    app.run()
    assert not app.exception
    assert not app.error
    assert [photo.name for photo in app.session_state["decoded"].values()] == [display_name(name) for name in names]
    assert len(charts(app)) == len(names)


UNWRITABLE = "ImageNet weights of VGG16 are not available: "


@pytest.fixture
def no_place_for_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither Keras' home nor what it falls back on can be written, whoever asks."""
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file" / "keras"))
    monkeypatch.setattr(weights, "_fallback_dir", lambda: tmp_path / "file" / "fallback")


@pytest.mark.usefixtures("no_place_for_weights")
def test_a_keras_home_that_cannot_be_written_costs_the_downloads_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, out = tmp_path / "one.png", tmp_path / "out"
    picture.write_bytes(png(noise(32, 32)))
    call = ["maps", str(picture), "--backbone", "VGG16", "--backbone", BACKBONE, "--out", str(out)]
    assert main(call) == 1
    (line,) = own_lines(capsys.readouterr().err)
    assert UNWRITABLE in line
    assert "cannot be written" in line
    assert len(list(out.glob("*.npz"))) == 1
    assert main(["fetch", "VGG16"]) == 1
    (line,) = own_lines(capsys.readouterr().err)
    assert "cannot be written" in line
    monkeypatch.setenv("CONVFE_HOSTED", "0")
    app = new_app(backbones=f"VGG16,{BACKBONE}", samples="gravel").run()
    assert not app.exception
    assert "cannot be written" in app.error[0].value
    assert len(charts(app)) == 1


GOOD_SET = {"a.png": png(noise(40, 60)), "a.xml": voc([(1, 1, 30, 30)])}


def bad_sets() -> list[tuple[dict[str, bytes], str]]:
    """Data sets, and what must be said of each; made when asked for, since one is packed for a second."""
    return [
        ({"set.zip": b""}, "expected a zip archive"),
        ({"set.zip": zipped(GOOD_SET)[:-40]}, "expected a zip archive"),
        ({"set.zip": zipped({"zeros.txt": bytes(201_000_000)})}, "expected at most 200 MB once unpacked"),
        ({"set.zip": zipped(GOOD_SET), "b.png": b""}, "Expected one zip, or files without a zip"),
        ({"a.png": b"", "a.xml": GOOD_SET["a.xml"]}, "a.png is no picture that can be read"),
        ({"a.png": GOOD_SET["a.png"], "a.xml": b""}, "is no well-formed XML"),
        ({"a.png": GOOD_SET["a.png"], "a.json": b'{"images": ' + b"[" * 50_000}, "is no well-formed JSON"),
        ({"a.png": GOOD_SET["a.png"], "a.json": bytes(10_000_001)}, "expected at most 10 MB, got more"),
    ]


def test_the_page_says_what_is_wrong_with_a_data_set_and_takes_the_next_one(
    no_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVFE_HOSTED", "1")
    app = open_page("rank", samples="", backbones=BACKBONE)

    def bring(files: dict[str, bytes]) -> None:
        app.file_uploader(key="dataset_uploads").clear().run()
        for name, data in files.items():
            app.file_uploader(key="dataset_uploads").upload(name, data)
        app.run()
        assert not app.exception

    for files, says in bad_sets():
        bring(files)
        (error,) = app.error
        assert says in error.value.replace("\\", "")
    bring(GOOD_SET)
    assert not app.error
    assert app.caption[0].value == "**the uploaded files**: 1 image, 1 box, 1 class (VOC)."


def test_a_file_of_300_megabytes_is_refused_without_reading_it(tmp_path: Path) -> None:
    huge = tmp_path / "huge.png"
    with huge.open("wb") as file:
        file.truncate(300_000_000)
    with pytest.raises(ImageError, match=r"huge\.png: expected at most 50 MB, got 300 MB"):
        open_photo(huge)


def own_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("convfe: ")]


@posix
@pytest.mark.slow
def test_a_disk_that_fills_up_is_one_sentence_and_leaves_no_half_file(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    picture, out = tmp_path / "one.png", tmp_path / "out"
    picture.write_bytes(png(noise(200, 300)))

    def let_files_grow_to_2_kilobytes() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))

    result = python(
        *("-m", "convfe_core.cli", "maps", picture, "--backbone", BACKBONE, "--out", out),
        status=1,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=let_files_grow_to_2_kilobytes,
        timeout=240,
    )
    assert "Traceback" not in result.stderr
    assert len(own_lines(result.stderr)) == 1
    assert "File too large" in own_lines(result.stderr)[0]
    assert not [path for path in out.rglob("*") if path.is_file()]


@contextmanager
def without_root_rights() -> Iterator[None]:
    """Root may read and write everything; nobody may not."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def common_folder() -> Iterator[Path]:
    """A folder that everybody may look into."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@posix
def test_folders_that_may_not_be_read_or_written_are_one_sentence_each(
    common_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    closed, out, picture = common_folder / "closed", common_folder / "out", common_folder / "one.png"
    picture.write_bytes(png(noise(32, 32)))
    picture.chmod(0o644)
    backbone = ["--backbone", BACKBONE]
    assert main(["maps", str(picture), *backbone, "--out", str(tmp_path)]) == 0  # whatever is imported later, is by now
    capsys.readouterr()
    closed.mkdir(mode=0o300)
    out.mkdir(mode=0o555)
    open_to_all = common_folder / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    for call in ([str(closed), *backbone, "--out", str(open_to_all)], [str(picture), *backbone, "--out", str(out)]):
        with without_root_rights():
            assert main(["maps", *call]) == 1
        (line,) = own_lines(capsys.readouterr().err)
        assert "Permission denied" in line
        assert "Traceback" not in line
    assert not list(out.iterdir())
