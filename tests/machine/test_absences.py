"""What a machine may lack: each thing is taken away once, and the program goes on as it says it does."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from convfe_core.backbones.backbone import load_backbone
from convfe_core.base.folders import write_whole
from convfe_core.catalog.memory_need import TENSORFLOW_MB
from convfe_core.catalog.specs import parse_spec
from convfe_core.machine import memory
from convfe_core.machine import tensorflow_import as lean
from convfe_core.machine.c_library import c_function
from convfe_core.machine.memory import give_back, memory_limit, memory_limit_mb, used_mb
from convfe_core.machine.onednn import prefer_onednn
from convfe_core.machine.processor import instruction_sets, is_x86, usable_cores
from convfe_core.machine.versions import installed_version
from convfe_core.maps.extraction import extract_maps
from convfe_core.maps.input_size import parse_size
from convfe_core.photos.gallery import load_sample
from convfe_core.ranking.results import RankOptions
from convfe_core.ranking.run import work_folder
from convfe_core.serving.backbone_pool import BackbonePool
from tests.conftest import ROOT, posix
from tests.support.builders import noise, png
from tests.support.children import PYTHON, python
from tests.support.rankings import dataset, patches


@pytest.mark.parametrize("content", [b"max\n", b"", b"0\n", b"-1\n", b"lots", b"\xff\xfe\x00"])
def test_a_containers_limit_that_is_no_number_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "memory.max").write_bytes(content)
    assert memory_limit({}, (tmp_path / "memory.max",)) == memory_limit({}, ())


def test_a_containers_limit_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / "memory.max").mkdir()
    assert memory_limit_mb({}, (tmp_path / "memory.max", tmp_path / "gone")) == memory_limit_mb({}, ())


def test_who_limits_the_memory_is_said(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text(str(512 * 2**20))
    assert memory_limit({}, (tmp_path / "memory.max",)) == (512, f"the container's limit, {tmp_path / 'memory.max'}")
    assert memory_limit({"CONVFE_MEMORY_MB": "700"}, ()) == (700, "set by CONVFE_MEMORY_MB")
    assert memory_limit({"CONVFE_MEMORY_MB": "plenty"}, ()) == memory_limit({"CONVFE_MEMORY_MB": "0"}, ())
    assert memory_limit({}, ())[1] == "the machine's memory"


def test_a_c_library_without_its_functions_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert c_function("no_such_function") is None
    monkeypatch.setattr(ctypes, "CDLL", _raise(OSError("no library")))
    assert c_function("malloc_trim") is None
    give_back()
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(lean, "_lean", False)
    lean.keep_lean()


def test_a_system_that_does_not_tell_shared_memory_counts_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    resident = namedtuple("resident", "rss")
    monkeypatch.setattr(memory, "_kept_for_tensors_mb", lambda: 0.0)
    monkeypatch.setattr(psutil.Process, "memory_info", lambda _: resident(300 * 2**20))
    assert used_mb() == 300


def test_a_processor_that_is_not_told_has_no_instruction_sets(tmp_path: Path) -> None:
    assert instruction_sets(tmp_path) == instruction_sets(tmp_path / "gone") == frozenset()
    (tmp_path / "arm").write_text("processor\t: 0\nFeatures\t: fp asimd bf16\n")
    assert instruction_sets(tmp_path / "arm") == {"fp", "asimd", "bf16"}


def test_a_system_that_does_not_tell_our_cores_lends_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert usable_cores() == (os.cpu_count() or 1)


def test_a_disk_that_cannot_be_asked_to_write_at_once_is_not_and_one_that_fails_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", _raise(OSError(errno.EINVAL, "no fsync here")))
    write_whole(tmp_path / "a", b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"
    monkeypatch.setattr(os, "fsync", _raise(OSError(errno.EIO, "broken")))
    with pytest.raises(OSError, match="broken"):
        write_whole(tmp_path / "a", b"other")
    assert (tmp_path / "a").read_bytes() == b"whole"


def test_a_ranking_needs_no_cache_folder(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    folder = work_folder(RankOptions(), dataset(patches(2)), [parse_spec("TinyResNet")], tmp_path / "cache")
    assert folder.is_dir()
    folder.rmdir()


def test_a_package_that_is_not_installed_has_no_version() -> None:
    assert installed_version("convfe-no-such-package") == "not installed"


@posix
@pytest.mark.slow
def test_a_process_without_streams_writes_its_maps_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(noise(64, 64)))
    out = tmp_path / "out"
    call = ["convfe", "maps", str(tmp_path / "a.png"), "--backbone", "TinyMobileNet", "--out", str(out)]
    code = f"import sys; sys.argv = {call!r}; from convfe_core.cli.commands import main; sys.exit(main())"
    assert subprocess.run(["sh", "-c", 'exec "$0" "$@" >&- 2>&-', *PYTHON, "-c", code], cwd=ROOT).returncode == 0
    assert (out / "a.TinyMobileNet.npz").is_file()


def test_a_terminal_that_lacks_characters_gets_others() -> None:
    code = "import sys; from convfe_core.cli.commands import main; main(['list']); print('S \\u00d7 \\u201c7\\u201d')"
    done = python("-c", code, env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.stdout.splitlines()[-1] == "S ? ?7?"


@pytest.mark.parametrize(
    ("config", "environ", "sentence"),
    [
        (
            '{"image_data_format": "channels_first", "floatx": "float16"}',
            {},
            "got channels_first and float16; set image_data_format and floatx in its keras.json",
        ),
        ("{}", {"KERAS_BACKEND": "jax"}, "Expected Keras on TensorFlow, got jax; set KERAS_BACKEND=tensorflow"),
    ],
)
def test_a_keras_that_is_set_up_for_something_else_is_one_sentence(
    tmp_path: Path, config: str, environ: dict[str, str], sentence: str
) -> None:
    (tmp_path / "keras.json").write_text(config)
    (tmp_path / "a.png").write_bytes(png(noise(64, 64)))
    call = ["convfe", "maps", str(tmp_path / "a.png"), "--backbone", "TinyMobileNet", "--out", str(tmp_path / "out")]
    code = f"import sys; sys.argv = {call!r}; from convfe_core.cli.commands import main; sys.exit(main())"
    done = python("-c", code, status=1, env={**os.environ, "KERAS_HOME": str(tmp_path), **environ})
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_onednn_is_preferred_on_x86_unless_somebody_decided_or_tensorflow_is_there() -> None:
    for imported, x86, before, after in (
        ({}, True, {}, {"TF_ENABLE_ONEDNN_OPTS": "1"}),
        ({}, True, {"TF_ENABLE_ONEDNN_OPTS": "0"}, {"TF_ENABLE_ONEDNN_OPTS": "0"}),
        ({}, False, {}, {}),
        ({"tensorflow": None}, True, {}, {}),
    ):
        environ = dict(before)
        prefer_onednn(environ, imported, x86=x86)
        assert environ == after


@pytest.mark.parametrize(
    "module",
    [
        "convfe_core",
        "convfe_core.cli",
        "convfe_core.serving.backbone_pool",
        "convfe_core.jobs.ray_workers",
        "pages.app.compute_maps",
    ],
)
def test_every_way_to_tensorflow_prefers_onednn_before_it(module: str) -> None:
    code = f"import os, sys, {module}; print(os.environ.get('TF_ENABLE_ONEDNN_OPTS'), 'tensorflow' in sys.modules)"
    without = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    assert python("-c", code, env=without).stdout == f"{'1' if is_x86() else None} False\n"


def write_what_is_seen(path: Path) -> None:
    """What this process has and computes: whether TensorFlow counts its memory, what a backbone is charged, some maps.

    TensorFlow counts where it has oneDNN.
    """
    pool = BackbonePool(1000)
    pool.get(parse_spec("TinyResNet"))
    found: dict[str, object] = {"counts": memory.tensor_memory() is not None, "charged": pool.held()[0].megabytes}
    found |= {"used": used_mb(), "room": memory.room_mb()}
    for name in ("TinyResNet", "MobileNet-0.25:untrained"):
        (maps,) = extract_maps(load_backbone(parse_spec(name)), [load_sample("chelsea")], parse_size("own"))
        found |= {f"{name} max": maps.max, f"{name} mean": maps.mean}
    np.savez(path, **found)


@pytest.fixture(scope="module")
def kinds_of_machine(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What this process sees, and one of the other kind: a setting that counts once for each decides."""
    here, there = (tmp_path_factory.mktemp("kinds") / f"{name}.npz" for name in ("here", "there"))
    write_what_is_seen(here)
    with np.load(here) as seen:
        other = "0" if seen["counts"] else "1"
    code = f"from pathlib import Path; from {__name__} import *; write_what_is_seen(Path({str(there)!r}))"
    python("-c", code, env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": other})
    found = [dict(np.load(path)) for path in (here, there)]
    assert {bool(one["counts"]) for one in found} == ({True, False} if is_x86() else {False})
    return found


@pytest.mark.slow
def test_where_tensorflow_keeps_no_count_of_its_memory_a_backbone_is_loaded_and_charged_all_the_same(
    kinds_of_machine: list[dict[str, Any]],
) -> None:
    without = next(one for one in kinds_of_machine if not one["counts"])
    assert 0 < without["charged"] < 100 < without["used"]
    assert without["room"] > 0


@pytest.mark.slow
def test_the_first_backbone_of_a_process_is_not_charged_for_tensorflow(kinds_of_machine: list[dict[str, Any]]) -> None:
    _, fresh = kinds_of_machine
    assert fresh["charged"] < TENSORFLOW_MB / 4


@pytest.mark.slow
def test_maps_of_float32_are_those_without_onednn_to_a_hundred_thousandth_of_their_range(
    kinds_of_machine: list[dict[str, Any]],
) -> None:
    one, other = kinds_of_machine
    names = [name for name in one if name.endswith((" max", " mean"))]
    assert len(names) == 4
    for name in names:
        assert abs(one[name] - other[name]).max() <= 1e-5 * np.ptp(one[name]), name


def _raise(error: Exception):
    def raising(*_: object, **__: object) -> None:
        raise error

    return raising
