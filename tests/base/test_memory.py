import os
import subprocess
import sys
from pathlib import Path

import pytest

from convfe_core.base.memory import memory_limit_mb


def test_the_containers_limit_counts_where_it_is_lower(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text(f"{512 * 2**20}\n")
    assert memory_limit_mb({}, (limit,)) == 512


def test_no_limit_means_the_machines_memory(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("max\n")
    assert memory_limit_mb({}, (limit,)) == memory_limit_mb({}, ())
    assert memory_limit_mb({}, ()) > 128


def test_the_setting_decides(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("1048576")
    assert memory_limit_mb({"CONVFE_MEMORY_MB": "1000"}, (limit,)) == 1000


@pytest.mark.machine
def test_where_tensorflow_keeps_no_count_of_its_memory_a_backbone_is_loaded_and_charged_all_the_same() -> None:
    code = """
import tensorflow as tf
from convfe_core.catalog.specs import parse_spec
from convfe_core.base.memory import room_mb, used_mb
from convfe_core.serving.backbone_pool import BackbonePool
try:
    tf.config.experimental.get_memory_info("CPU:0")
except ValueError:
    print("no count")
pool = BackbonePool(1000)
pool.get(parse_spec("TinyResNet"))
print(0 < pool.held()[0].megabytes < 100 < used_mb(), room_mb() > 0)
"""
    environ = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ)
    assert done.stdout.split() == ["no", "count", "True", "True"]
