"""The doctor tells what is there, what to do, and whether a backbone runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from convfe_core.cli.commands import main
from convfe_core.inspection import doctor as module
from convfe_core.inspection.doctor import Doctor, Finding, as_text


def by_topic(doctor: Doctor) -> dict[str, Finding]:
    return {one.topic: one for one in doctor.findings()}


@pytest.mark.machine
def test_the_command_names_everything_and_ends_with_a_backbone_that_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    topics = "CONV-FE Python Processor Memory TensorFlow Keras oneDNN fast Accelerators Weights ONNX Ray Chromium"
    assert [line[4:18].strip() for line in lines] == [*topics.split(), "Graphviz", "A real pass"]
    assert lines[-1].startswith("ok  A real pass   TinyResNet on “chelsea”: maps of 7 x 10 cells")


def test_a_backbone_that_does_not_run_is_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "SAMPLE", "no such photograph")
    assert main(["doctor"]) == 1
    last = capsys.readouterr().out.splitlines()[-2:]
    assert last[0].startswith("--  A real pass   failed, ImageError: Expected one of the samples")
    assert last[1].strip() == "-> look above for the cause, or report all of this"


def test_what_is_missing_comes_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(module, "CHROMIUM", tmp_path / "chromium")
    monkeypatch.setattr(module, "installed_version", lambda _: "not installed")
    monkeypatch.setenv("CONVFE_MEMORY_MB", "500")
    (tmp_path / "home").write_text("a file where the folder should be")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    found = by_topic(Doctor())
    assert found["Chromium"].advice == "apt-get install chromium"
    assert found["Graphviz"].advice.startswith("apt-get install graphviz")
    assert found["Ray"].advice == 'pip install "convfe[ray]"'
    assert found["Memory"].found.startswith("500 MB may be used (set by CONVFE_MEMORY_MB)")
    assert found["Memory"].advice.startswith("give it 1,000 MB or more")
    assert found["Weights"].advice == "set KERAS_HOME to a folder that can be"
    assert found["CONV-FE"].advice.startswith("pip install -e .")


def test_what_cannot_be_found_out_is_a_finding_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "instruction_sets", lambda: {}["gone"])
    doctor = Doctor()
    found = by_topic(doctor)
    assert found["Processor"] == Finding("Processor", "could not be found out", "report this: KeyError: 'gone'")
    assert doctor.works


def test_a_processor_for_which_tensorflow_is_not_made_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "instruction_sets", lambda: frozenset({"sse2"}))
    monkeypatch.setattr(module, "is_x86", lambda: True)
    assert "need AVX" in by_topic(Doctor())["Processor"].advice


def test_a_finding_is_one_line_and_its_advice_another() -> None:
    lines = list(as_text([Finding("Ray", "2.60"), Finding("Chromium", "not installed", "install it")]))
    assert lines == [
        "ok  Ray           2.60",
        "--  Chromium      not installed",
        "                  -> install it",
    ]
