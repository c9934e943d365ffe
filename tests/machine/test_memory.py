from pathlib import Path

from convfe_core.machine.memory import memory_limit_mb


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
