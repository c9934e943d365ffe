"""The data set to start with: whole, honest about being few, and the same wherever it is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from convfe_core.cli.commands import main
from convfe_core.datasets.samples import SAMPLE_BOXES, read_samples, sample_files
from convfe_core.photos.gallery import SAMPLES, load_sample
from convfe_core.ranking.sentence import FEWEST_IMAGES
from tests.support.datasets import coco

RANK = ["rank", "samples", "--backbone", "TinyResNet", "--no-probe", "--no-control"]


def test_every_box_lies_on_its_photograph_and_nothing_is_left_out() -> None:
    found = read_samples()
    assert (found.name, found.box_count, found.skipped, found.notes) == ("samples", 49, (), ())
    assert (found.clipped, found.degenerate) == (0, 0)
    assert len(found.images) == len(json.loads(SAMPLE_BOXES.read_text())["images"]) == 11 < FEWEST_IMAGES
    names = {sample.file: sample.name for sample in SAMPLES}
    for image in found.images:
        photo = load_sample(names[image.image])
        assert (photo.height, photo.width) == (image.height, image.width)


def test_fewer_of_them_can_be_asked_for() -> None:
    assert len(read_samples(limit=2).images) == 2


def test_boxes_of_ones_own_find_every_photograph_of_the_gallery() -> None:
    assert set(sample_files().names) == {sample.file for sample in SAMPLES}


def test_the_command_ranks_the_samples_and_names_no_winner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(RANK) == 0
    said = capsys.readouterr().out
    assert said.startswith("samples: 11 images, 49 boxes, 19 classes (COCO); 11 images usable.")
    assert said.rstrip().endswith("No winner is named: 11 images can be scored, 20 are needed, so 9 more images with "
                                  "boxes are missing.")  # fmt: skip


def test_the_command_takes_boxes_of_ones_own_for_the_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.json").write_bytes(coco({"gravel.png": [(10, 10, 200, 200)]}, size=(512, 512)))
    assert main([*RANK, "--boxes", "mine.json", "--json", "out.json"]) == 0
    found = json.loads(Path("out.json").read_text())["dataset"]
    assert (found["source"], found["images"], found["boxes"]) == ("samples", 1, 1)
    assert "gravel" not in capsys.readouterr().err


def test_a_folder_of_that_name_goes_before_the_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("samples").mkdir()
    assert main(RANK) == 1
    assert capsys.readouterr().err == "convfe: samples: expected pictures with boxes, got no picture.\n"
