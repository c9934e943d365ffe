import json
import os
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from convfe_core.backbones.backbone import load_backbone
from convfe_core.catalog.specs import CATALOG, parse_spec
from convfe_core.cli.commands import main
from convfe_core.maps.extraction import extract_maps
from convfe_core.maps.input_size import Size
from convfe_core.maps.pca_colours import extract_coloured
from convfe_core.photos.photo import open_photo
from tests.conftest import posix
from tests.support.builders import noise, png
from tests.support.children import python

SMALL = "TinyResNet:untrained"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "street.png"
    path.parent.mkdir()
    path.write_bytes(png(noise(90, 160)))
    return path


@pytest.mark.machine
def test_maps_writes_a_picture_and_arrays_for_each_image_and_backbone(picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    status = main(
        [
            "maps",
            str(picture),
            "--backbone",
            SMALL,
            "--backbone",
            "MobileNet-0.25:untrained",
            "--out",
            str(out),
        ]
    )
    assert status == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "manifest.json",
        "parts",
        "street.MobileNet-0.25_untrained.npz",
        "street.MobileNet-0.25_untrained.png",
        "street.TinyResNet_untrained.npz",
        "street.TinyResNet_untrained.png",
    ]
    manifest = json.loads((out / "manifest.json").read_text())
    assert [entry["backbone"] for entry in manifest["maps"]] == [SMALL, "MobileNet-0.25:untrained"]
    assert manifest["failed"] == []


def test_the_arrays_are_the_maps_that_the_core_computes(picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["maps", str(picture), "--backbone", SMALL, "--size", "160", "--out", str(out)]) == 0
    with np.load(out / "street.TinyResNet_untrained.npz") as arrays:
        maps = next(extract_maps(load_backbone(parse_spec(SMALL)), [open_photo(picture)], Size("160")))
        np.testing.assert_array_equal(arrays["max"], maps.max)
        np.testing.assert_array_equal(arrays["mean"], maps.mean)
        assert arrays["max"].dtype == np.float32
        assert {"image_size", "stride", "offset"} <= set(arrays.files)
        np.testing.assert_array_equal(arrays["image_size"], [90, 160])


@pytest.mark.machine
def test_pca_colours_have_one_basis_for_the_images_of_a_call(picture: Path, tmp_path: Path) -> None:
    other, broken, out = tmp_path / "other.png", tmp_path / "broken.png", tmp_path / "out"
    other.write_bytes(png(noise(120, 96, seed=4)))
    broken.write_bytes(b"no picture")
    paths = [str(broken), str(picture), str(other)]
    call = ["maps", *paths, "--backbone", SMALL, "--size", "160", "--reductions", "PCA,max", "--out", str(out)]
    assert main(call) == 1
    known = extract_coloured(load_backbone(parse_spec(SMALL)), [open_photo(picture), open_photo(other)], Size("160"))
    for stem, maps in zip(("street", "other"), known, strict=True):
        with np.load(out / f"{stem}.TinyResNet_untrained.npz") as arrays:
            assert arrays["pca"].dtype == np.uint8
            assert np.abs(arrays["pca"].astype(int) - maps.pca).max() <= 1
            np.testing.assert_allclose(arrays["mean"], maps.mean, rtol=1e-4, atol=1e-5)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["reductions"] == ["max", "pca"]
    assert [entry["image"] for entry in manifest["failed"]] == [str(broken)]


def test_a_reduction_that_does_not_exist_is_named(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["maps", str(picture), "--backbone", SMALL, "--reductions", "max,median", "--out", "nowhere"])
    assert "expected some of max,mean,pca, got 'max,median'" in capsys.readouterr().err


def test_an_unreadable_image_is_one_line_and_the_others_come_out(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = picture.parent / "broken.jpg"
    broken.write_text("not a picture")
    out = tmp_path / "out"
    assert main(["maps", str(picture.parent), "--backbone", SMALL, "--out", str(out)]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "broken.jpg" in line]
    assert len(lines) == 1
    assert "xpected" in lines[0]
    assert (out / "street.TinyResNet_untrained.png").is_file()
    failed = json.loads((out / "manifest.json").read_text())["failed"]
    assert [Path(entry["image"]).name for entry in failed] == ["broken.jpg"]


MISSING = "convfe: gone.png: expected a picture, got a path where there is no file."


def test_a_path_without_a_file_is_said_before_any_backbone_is_loaded(tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = "import sys; from convfe_core.cli.commands import main; print(main(), 'tensorflow' in sys.modules)"
    done = python("-c", script, "maps", tmp_path / "gone.png", "--backbone", SMALL, "--out", out)
    assert done.stdout == "1 False\n"
    assert done.stderr.splitlines() == [MISSING, f"0 maps in {out}, 1 failed"]
    failed = json.loads((out / "manifest.json").read_text())["failed"]
    assert [entry["image"] for entry in failed] == [str(tmp_path / "gone.png")]


def test_beside_a_path_without_a_file_the_others_come_out(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["maps", str(tmp_path / "gone.png"), str(picture), "--backbone", SMALL, "--out", str(out)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [MISSING, f"{SMALL}: loading"]
    assert (out / "street.TinyResNet_untrained.npz").is_file()


def test_images_of_one_name_in_two_folders_do_not_overwrite_each_other(picture: Path, tmp_path: Path) -> None:
    twin = tmp_path / "other" / "street.png"
    twin.parent.mkdir()
    twin.write_bytes(png(noise(90, 160, seed=4)))
    out = tmp_path / "out"
    assert main(["maps", str(picture), str(twin), "--backbone", SMALL, "--out", str(out)]) == 0
    files = [entry["npz"] for entry in json.loads((out / "manifest.json").read_text())["maps"]]
    assert len(set(files)) == 2
    first, second = (np.load(out / name)["max"] for name in files)
    assert not np.array_equal(first, second)


@posix
def test_names_that_some_file_systems_refuse_or_see_alike_come_out(tmp_path: Path) -> None:
    names = ["aux", "caf\u00e9", "cafe\u0301", "Dog", "dog", "x" * 250]
    (tmp_path / "in").mkdir()
    for seed, name in enumerate(names):
        (tmp_path / "in" / f"{name}.png").write_bytes(png(noise(64, 64, seed=seed)))
    out = tmp_path / "out"
    assert main(["maps", str(tmp_path / "in"), "--backbone", "TinyResNet", "--out", str(out)]) == 0
    written = [entry["npz"] for entry in json.loads((out / "manifest.json").read_text("utf-8"))["maps"]]
    seen_alike = {unicodedata.normalize("NFC", name).casefold() for name in written}
    assert len(seen_alike) == len(list((tmp_path / "in").iterdir()))
    assert any(name.startswith("_aux.") for name in written)
    assert max(map(len, written)) < 150


def test_what_nobody_foresaw_is_one_sentence_with_a_reference_and_debug_shows_where(
    picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("convfe_core.maps.input_size.parse_size", lambda _: {}["gone"])
    call = ["maps", str(picture), "--backbone", SMALL, "--out", str(tmp_path / "out")]
    assert main(call) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("convfe: something broke in this program (KeyError), not in your call; ")
    (kept,) = tmp_path.rglob("fault-*.txt")
    assert str(kept) in line
    assert kept.stem.removeprefix("fault-") in line.partition("the reference ")[2]
    assert "KeyError: 'gone'" in kept.read_text("utf-8")
    for debugging in (["--debug", *call], [*call, "--debug"]):
        assert main(debugging) == 1
        said = capsys.readouterr().err
        assert said.startswith("Traceback (most recent call last):")
        assert said.splitlines()[-1].startswith("convfe: something broke")


def test_where_no_fault_can_be_kept_the_sentence_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("convfe_core.cli.catalog_table.catalog_table", lambda: {}["gone"])
    assert main(["list"]) == 1
    assert "not in your call; the same call with --debug shows where." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--backbone", "VGG61"], "VGG16"),
        (["--backbone", SMALL, "--size", "huge"], "huge"),
        (["--backbone", SMALL, "--tap", "block_99"], "block_99"),
        (["--backbone", "mine=a.keras", "--backbone", "Mine=b.keras"], "mine=a.keras and Mine=b.keras"),
        (["--backbone", "VGG16:a/w.h5", "--backbone", "VGG16:b/w.h5"], "VGG16:a/w.h5 and VGG16:b/w.h5"),
    ],
)
def test_a_call_that_cannot_be_right_is_one_line_and_status_2(
    picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], word: str
) -> None:
    out = tmp_path / "out"
    assert main(["maps", str(picture), *arguments, "--out", str(out)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert word in lines[-1]
    assert lines[-1].startswith("convfe: ")
    assert not (out / "manifest.json").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["rank"], "the following arguments are required: DATASET, --backbone"),
        (["rank", ".", "--backbone", SMALL, "--limit", "few"], "expected a whole number, 1 or more, got 'few'"),
        (["rank", ".", "--backbone", SMALL, "--worker-cpus", "none"], "expected a number above 0, got 'none'"),
    ],
)
def test_a_call_that_cannot_be_read_is_one_line_that_names_the_help(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("convfe: ")
    assert sentence in line
    assert line.endswith(f"`{' '.join(['convfe', *arguments[:1]])} --help` tells more.")


@pytest.mark.parametrize("command", [[], ["list"], ["fetch"], ["doctor"], ["maps"], ["rank"]])
def test_every_help_says_what_a_spec_is(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    assert "ResNet50:untrained" in capsys.readouterr().out


def test_the_version_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert re.fullmatch(r"convfe \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_without_a_network_the_missing_weight_file_is_named(
    picture: Path, tmp_path: Path, no_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["maps", str(picture), "--backbone", "VGG16", "--backbone", SMALL, "--out", str(out)]) == 1
    text = capsys.readouterr().err
    assert "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5" in text
    assert str(no_weights) in text
    assert (out / "street.TinyResNet_untrained.npz").is_file()


def test_list_names_every_architecture_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [record["name"] for record in records] == list(CATALOG)
    assert main(["list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(CATALOG) + 1


@posix
def test_a_reader_that_has_gone_is_one_line() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = python("-m", "convfe_core.cli", "list", status=1, stdout=writer)
    os.close(writer)
    assert done.stderr == "convfe: whoever read this output has gone.\n"


@posix
def test_a_folder_that_cannot_be_made_is_one_line(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["maps", str(picture), "--backbone", SMALL, "--out", str(picture / "out")]) == 1
    assert capsys.readouterr().err == f"convfe: {picture / 'out'}: Not a directory\n"


def test_fetch_fills_the_cache_and_says_what_it_did(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("CONVFE_WEIGHTS_MIRROR", (shared / "keras" / "models").as_uri())
    call = ["fetch", "MobileNet-0.25", "TinyResNet", "VGG16:untrained"]
    assert main(call) == 0
    (file,) = (path for path in (tmp_path / "models").iterdir() if path.suffix == ".h5")
    nothing = ["TinyResNet: nothing to fetch", "VGG16:untrained: nothing to fetch"]
    assert capsys.readouterr().out.splitlines() == [f"MobileNet-0.25: fetched, {file}", *nothing]
    assert main(call) == 0
    assert capsys.readouterr().out.splitlines() == [f"MobileNet-0.25: already there, {file}", *nothing]
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert main(call) == 0
    assert capsys.readouterr().out.splitlines() == [f"MobileNet-0.25: fetched, {file}", *nothing]
    assert file.read_bytes() == whole


def test_fetch_names_what_could_not_be_had_and_fetches_the_rest(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("CONVFE_WEIGHTS_MIRROR", (shared / "keras" / "models").as_uri())
    assert main(["fetch", "VGG16", "MobileNet-0.25"]) == 1
    said = capsys.readouterr()
    assert said.out.startswith("MobileNet-0.25: fetched")
    assert "convfe: ImageNet weights of VGG16 are not available" in said.err
    assert "Traceback" not in said.err


def test_a_backbone_that_does_not_fit_into_memory_is_one_sentence_with_both_sizes(
    picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONVFE_MEMORY_MB", "1000")
    assert main(["maps", str(picture), "--backbone", "ResNet152:untrained", "--out", str(tmp_path / "out")]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("convfe: ")]
    assert len(lines) == 1
    assert re.search(r"ResNet152:untrained does not fit into memory: loading it takes [\d,]+ MB", lines[0])
    assert "of the 1,000 MB that this process may use" in lines[0]
