"""A ranking under way: who waits is told, progress rises, a stop keeps what is finished, and memory does not grow."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from convfe_core.base.errors import ConvfeError
from convfe_core.base.pace import Progress
from convfe_core.catalog.specs import parse_spec
from convfe_core.machine.machine_queue import MACHINE
from convfe_core.maps.input_size import Size
from convfe_core.ranking.results import RankOptions
from convfe_core.ranking.run import RankRun
from tests.support.builders import noise, png
from tests.support.children import python
from tests.support.rankings import OTHER, QUICK, SMALL, dataset, patches


def test_somebody_who_waits_for_the_machine_is_told_and_can_stop() -> None:
    said: list[str] = []
    run = RankRun(
        dataset(patches(3)),
        [parse_spec(SMALL)],
        QUICK,
        on_progress=lambda progress: said.append(progress.doing),
        should_stop=lambda: "waiting for 1 other" in said,
    )

    def wait_and_stop() -> None:
        with pytest.raises(ConvfeError, match="before the first backbone was finished"):
            run.run()

    with MACHINE.passing():
        thread = threading.Thread(target=wait_and_stop)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
    assert said[-1] == "waiting for 1 other"


def test_progress_rises_and_names_what_is_done() -> None:
    told_so_far: list[Progress] = []
    RankRun(dataset(patches(4)), [parse_spec(SMALL)], RankOptions(Size("96"), cost=False), told_so_far.append).run()
    shares = [p.share for p in told_so_far]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    doing = [p.doing for p in told_so_far]
    assert "cell probe, image 4 of 4" in doing
    assert "image 4 of 4" in doing
    assert "untrained control 3 of 3, cell probe, image 4 of 4" in doing
    assert "untrained control 3 of 3, image 4 of 4" in doing
    assert told_so_far[0].seconds_left is None
    assert told_so_far[-1].seconds_left == pytest.approx(0)
    for progress in told_so_far:
        assert (progress.images_per_second is not None) == ("image" in progress.doing)


def test_a_stop_keeps_what_is_finished() -> None:
    current: list[str] = []
    run = RankRun(
        dataset(patches(4)),
        [parse_spec(SMALL), parse_spec(OTHER)],
        QUICK,
        on_progress=lambda p: current.append(p.who),
        should_stop=lambda: bool(current) and current[-1] == OTHER,
    )
    assert [b.label for b in run.run().ranking.backbones] == [SMALL]
    with pytest.raises(ConvfeError, match="before the first backbone was finished"):
        RankRun(dataset(patches(4)), [parse_spec(SMALL)], QUICK, should_stop=lambda: True).run()


MEMORY = """
import sys
from dataclasses import replace
from pathlib import Path
from convfe_core.datasets.read_dataset import read_dataset
from convfe_core.catalog.specs import parse_spec
from convfe_core.machine.memory import resident_mb
from convfe_core.maps.input_size import Size
from convfe_core.base.file_sets import open_files
from convfe_core.ranking.run import RankRun
from convfe_core.ranking.results import RankOptions
seen = []
def watch(progress):
    if "image" in progress.doing:
        seen.append((int(progress.doing.rpartition("image ")[2].split()[0]), resident_mb()))
folder, work = map(Path, sys.argv[1:])
options = RankOptions(size=Size("96"), control=False, cost=False)
result = RankRun(
    read_dataset(open_files(folder)), [parse_spec("MobileNet-0.25:untrained")], options, watch, work=work
).run()
assert result.ranking.usable > 290
print(max(mb for images, mb in seen if images <= 150), max(mb for _, mb in seen), resident_mb())
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    """Once 150 of 300 images are through, the others add less than 47 kB each: a picture takes 111 kB decoded.

    So it is while the cell probe learns and while images are scored: they are too many to be kept until then. What
    comes after the last one takes room once: 50 MB, most of it for scikit-learn.
    """
    kinds = [png(noise(192, 192, seed=seed)) for seed in range(25)]
    folder = tmp_path / "in"
    folder.mkdir()
    for n in range(300):
        (folder / f"{n:04}.png").write_bytes(kinds[n % len(kinds)])
        (folder / f"{n:04}.txt").write_text(f"{n % 2} 0.{30 + n % 40} 0.5 0.4 0.4")
    done = python("-c", MEMORY, folder, tmp_path / "work")
    early, late, end = map(float, done.stdout.split())
    assert late - early < 7
    assert end - early < 50
