"""Runs that are killed at any moment end, started again, with the numbers of undisturbed ones.

That a run may be killed again and again is seen shard by shard in test_parts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convfe_core.cli.commands import main
from tests.conftest import posix
from tests.support.builders import noise, png
from tests.support.children import kill_when, python
from tests.support.rankings import patches

SMALL = "TinyMobileNet:untrained"
OTHER = "TinyResNet:untrained"
IMAGES = 40


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Forty pictures of three shapes, one of them broken."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(IMAGES):
        size = [(90, 160), (160, 90), (120, 120)][number // 3 % 3]
        (folder / f"{number:02d}.png").write_bytes(png(noise(*size, seed=number)))
    (folder / "17.png").write_bytes(b"not a picture")
    return folder


def arguments(pictures: Path, out: Path, *more: str) -> list[str]:
    return ["maps", str(pictures), "--backbone", SMALL, "--backbone", OTHER, "--size", "96", "--out", str(out), *more]


def results(out: Path) -> dict[str, bytes | list[list[float]]]:
    """Everything but times: the manifest, the pictures, the arrays."""
    found: dict[str, bytes | list[list[float]]] = {"manifest.json": (out / "manifest.json").read_bytes()}
    for path in out.glob("*.png"):
        found[path.name] = path.read_bytes()
    for path in out.glob("*.npz"):
        with np.load(path) as arrays:
            found[path.name] = [arrays["max"].tolist(), arrays["mean"].tolist()]
    return found


def holds(out: Path, least: int) -> bool:
    return len([*out.glob("*.npz"), *out.glob("*.png")]) >= least


@posix
@pytest.mark.slow
def test_a_run_that_is_killed_ends_with_the_same_numbers(pictures: Path, tmp_path: Path) -> None:
    quiet, killed = tmp_path / "quiet", tmp_path / "killed"
    assert main(arguments(pictures, quiet)) == 1

    random = np.random.default_rng(int.from_bytes(os.urandom(4)))
    wanted = int(random.integers(1, 120))  # PNG and NPZ files; the whole run writes 156
    kill_when(partial(holds, killed, wanted), "-m", "convfe_core.cli", *arguments(pictures, killed))
    assert not (killed / "manifest.json").exists()

    assert main(arguments(pictures, killed)) == 1
    assert results(killed) == results(quiet)
    assert len(results(killed)) == 1 + 4 * (IMAGES - 1)


@posix
@pytest.mark.slow
def test_a_ranking_that_is_killed_ends_with_the_same_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is finished lies in the user's cache, which nobody has to name."""
    folder = tmp_path / "set"
    folder.mkdir()
    for name, data in patches(IMAGES).items():
        (folder / name).write_bytes(data[: len(data) // 2] if name == "017.png" else data)
    call = ["rank", str(folder), "--backbone", "TinyMobileNet", "--size", "96", "--json"]
    assert main([*call, str(tmp_path / "quiet.json")]) == 0

    random = np.random.default_rng(int.from_bytes(os.urandom(4)))
    cache = Path(os.environ["XDG_CACHE_HOME"], "convfe", "rank")
    changes = int(random.integers(1, 10))  # pieces and parts that come or go; the whole run has twelve
    kill_when(changed(cache, changes), "-m", "convfe_core.cli", *call, tmp_path / "killed.json")
    assert parts(cache)
    assert not (tmp_path / "killed.json").exists()

    capsys.readouterr()
    assert main([*call, str(tmp_path / "killed.json")]) == 0
    assert "017.png" in capsys.readouterr().err
    assert parts(cache) == set()
    assert ranking(tmp_path / "killed.json") == ranking(tmp_path / "quiet.json")


def changed(cache: Path, times: int) -> Callable[[], bool]:
    """Whether the parts have changed so often since this was called."""
    seen = [parts(cache)]

    def often_enough() -> bool:
        if (now := parts(cache)) != seen[-1]:
            seen.append(now)
        return len(seen) > times

    return often_enough


def parts(cache: Path) -> set[str]:
    """Finished parts and pieces of rankings that are not done yet."""
    return {path.name for path in cache.glob("*/[!.]*")}


def ranking(file: Path) -> dict[str, Any]:
    """Everything but what is measured by the clock."""
    found: dict[str, Any] = json.loads(file.read_text())
    for backbone in found["backbones"]:
        del backbone["cost"]
    return found


def test_a_second_run_computes_nothing_and_says_the_same(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for broken in sorted(pictures.iterdir())[4:17]:
        broken.unlink()
    assert main(arguments(pictures, out)) == 1
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.npz")}
    manifest = (out / "manifest.json").read_bytes()
    capsys.readouterr()
    assert main(arguments(pictures, out)) == 1
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.npz")} == before
    assert (out / "manifest.json").read_bytes() == manifest
    lines = capsys.readouterr().err
    assert "loading" not in lines
    assert lines.count("17.png") == 1
    assert [Path(entry["image"]).name for entry in json.loads(manifest)["failed"]] == ["17.png"]


def test_files_that_went_missing_are_made_again(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    call = ["maps", str(pictures / "01.png"), "--backbone", SMALL, "--size", "96", "--out", str(out)]
    assert main(call) == 0
    (out / "01.TinyMobileNet_untrained.npz").unlink()
    assert main(call) == 0
    assert (out / "01.TinyMobileNet_untrained.npz").is_file()


def test_another_size_into_the_same_folder_leaves_nothing_of_the_first(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    call = ["maps", str(pictures / "01.png"), "--backbone", SMALL, "--out", str(out), "--size"]
    for size, cells in [("96", 6), ("160", 10), ("96", 6)]:
        assert main([*call, size]) == 0
        with np.load(out / "01.TinyMobileNet_untrained.npz") as arrays:
            assert max(arrays["max"].shape) == cells
    assert len(list((out / "parts").iterdir())) == 1


def test_progress_tells_images_a_second_and_time_left(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(pictures / "01.png", tmp_path / "out")) == 0
    lines = capsys.readouterr().err
    assert f"{SMALL}: image 1 of 1, " in lines
    assert "images/s" in lines
    assert " left" in lines


MEMORY = """
import sys
from pathlib import Path
from convfe_core.catalog.specs import parse_spec
from convfe_core.maps.input_size import Size
from convfe_core.machine.memory import resident_mb
from convfe_core.jobs.maps_run import MapsRun
seen = []
def watch(progress):
    if progress.doing.startswith("image "):
        seen.append((int(progress.doing.split()[1]), resident_mb()))
folder, out = map(Path, sys.argv[1:])
MapsRun((folder,), (parse_spec("MobileNet-0.25:untrained"),), Size("128"), "auto", out, print, watch).write()
print(max(mb for images, mb in seen if images <= 100), max(mb for _, mb in seen))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    """Once 100 of 250 images are through, the other 150 add less than 67 kB each: a picture takes 111 kB decoded."""
    folder = tmp_path / "in"
    folder.mkdir()
    kinds = [png(noise(192, 192, seed=seed)) for seed in range(20)]
    for number in range(250):
        (folder / f"{number:04d}.png").write_bytes(kinds[number % len(kinds)])
    done = python("-c", MEMORY, folder, tmp_path / "out")
    early, peak = map(float, done.stdout.splitlines()[-1].split())
    assert peak - early < 10
