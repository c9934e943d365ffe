from pathlib import Path

import numpy as np
import pytest

from convfe_core.backbones.backbone import load_backbone
from convfe_core.backbones.precision import (
    bfloat16_unit,
    computes_in_bfloat16,
    explain_kept,
    explain_precision,
    parse_precision,
    require_same_arithmetic,
)
from convfe_core.base.errors import EngineError, SpecError
from convfe_core.catalog.specs import parse_spec
from tests.onnx_models.made_graphs import plain_network, written
from tests.support.builders import noise

SMALL = "MobileNetV2-0.35:untrained"


@pytest.mark.parametrize(
    ("flags", "unit"),
    [
        ("fpu sse2 avx512f amx_bf16 avx512_bf16", "AMX"),
        ("fpu sse2 avx512f avx512_bf16", "AVX512_BF16"),
        ("fpu sse2 avx512f avx512_bf16x", None),
        ("", None),
    ],
)
def test_the_processors_flags_tell_what_computes_bfloat16(tmp_path: Path, flags: str, unit: str | None) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nmodel name\t: Any\nflags\t\t: {flags}\n\nprocessor\t: 1\nflags\t: other\n")
    assert bfloat16_unit(path, {}) == unit


def test_where_no_file_tells_there_is_no_bfloat16(tmp_path: Path) -> None:
    assert bfloat16_unit(tmp_path / "missing", {}) is None


@pytest.mark.parametrize(
    ("setting", "unit"),
    [
        ({"TF_ENABLE_ONEDNN_OPTS": "0"}, None),
        ({"TF_ENABLE_ONEDNN_OPTS": "false"}, None),
        ({"TF_ENABLE_ONEDNN_OPTS": "1"}, "AMX"),
        ({"ONEDNN_MAX_CPU_ISA": "AVX2"}, None),
        ({"ONEDNN_MAX_CPU_ISA": "avx512_core_bf16"}, "AVX512_BF16"),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_AMX"}, "AMX"),
        ({"ONEDNN_MAX_CPU_ISA": "ALL"}, "AMX"),
    ],
)
def test_settings_can_keep_onednn_from_bfloat16(tmp_path: Path, setting: dict[str, str], unit: str | None) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("flags: amx_bf16 avx512_bf16\n")
    assert bfloat16_unit(path, setting) == unit


def test_a_precision_is_one_of_two_words() -> None:
    assert parse_precision(" Fast ") == "fast"
    assert parse_precision("float32") == "float32"
    with pytest.raises(SpecError, match=r"float32 or fast.*'float16'"):
        parse_precision("float16")


def test_what_fast_means_here_is_said() -> None:
    assert explain_precision("float32") == "float32"
    assert explain_precision("fast").startswith("bfloat16 with" if bfloat16_unit() else "float32, because")


@pytest.mark.machine
def test_both_precisions_live_in_one_process() -> None:
    exact, fast = (load_backbone(parse_spec(SMALL), precision=precision) for precision in ("float32", "fast"))
    batch = np.stack([noise(96, 128), noise(96, 128, seed=1)])
    first = exact.reduce(batch)
    moved = fast.reduce(batch)
    for one, other, again in zip(first, moved, exact.reduce(batch), strict=True):
        np.testing.assert_array_equal(one, again)
        assert one.shape == other.shape
        assert other.dtype == np.float32
        assert np.abs(one - other).max() < 0.05 * np.ptp(one)
        assert np.array_equal(one, other) == (not computes_in_bfloat16("fast"))


def test_a_network_whose_maps_bfloat16_would_move_too_far_stays_exact_and_says_so(real_weights: Path) -> None:
    spec = parse_spec("MobileNet-0.25")
    exact, fast = (load_backbone(spec, precision=precision) for precision in ("float32", "fast"))
    batch = noise(96, 128)[None]
    for one, other in zip(exact.reduce(batch), fast.reduce(batch), strict=True):
        np.testing.assert_array_equal(one, other)
    if computes_in_bfloat16("fast"):
        assert fast.precision == "float32"
        assert "would move its maps too far" in (explain_kept("fast", fast.precision, fast.takes_bfloat16) or "")


def test_an_onnx_file_is_computed_as_it_is_written_and_says_so(tmp_path: Path) -> None:
    fast = load_backbone(parse_spec(f"own={written(plain_network(), tmp_path / 'own.onnx')}"), precision="fast")
    assert (fast.precision == "float32") == computes_in_bfloat16("fast")
    told = explain_kept("fast", "float32", fast.takes_bfloat16)
    if computes_in_bfloat16("fast"):
        assert told == "float32 all the same, because ONNX files are computed as they are written"


def test_a_network_that_stands_bfloat16_runs_in_it() -> None:
    fast = load_backbone(parse_spec("TinyResNet"), precision="fast")
    assert fast.precision == "fast"
    assert explain_kept("fast", fast.precision, True) is None
    assert explain_kept("float32", "float32", True) is None


def test_a_machine_that_computes_otherwise_is_refused() -> None:
    require_same_arithmetic("float32", False)
    require_same_arithmetic("fast", computes_in_bfloat16("fast"))
    with pytest.raises(EngineError, match="Expected machines that all compute fast alike"):
        require_same_arithmetic("fast", not computes_in_bfloat16("fast"))
