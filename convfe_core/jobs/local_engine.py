"""Shards computed by this process, one backbone after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any

from convfe_core.backbones.load_ahead import LoadAhead
from convfe_core.base.errors import ConvfeError, ModelFileError, SpecError
from convfe_core.base.pace import Pace, Tell
from convfe_core.catalog.specs import Spec
from convfe_core.jobs.parts import Parts
from convfe_core.jobs.shards import Job, Shard

AHEAD = 2
"""So many backbones may be loaded while another one runs: one that is small may have run before the next is there."""


@dataclass(frozen=True)
class LocalEngine:
    """Finishes shards here, as a `convfe_core.jobs.shards.Engine`.

    Parameters
    ----------
    early : the backbones, by name, that may be loaded while the one before them runs
    """

    early: Mapping[str, Spec] = field(default_factory=dict)
    elsewhere = False

    def finish(self, job: Job, shards: Sequence[Shard], parts: Parts, pace: Pace, tell: Tell) -> dict[str, ConvfeError]:
        """Compute those shards that are not finished; see `convfe_core.jobs.shards.Engine`.

        Raises
        ------
        SpecError : no such backbone or layer
        """

        def say(name: str, phrase: str, step: float = 0.0) -> None:
            who, doing = job.called(name)
            tell(pace.progress(who, f"{doing}, {phrase}" if doing else phrase, step))

        def compute(name: str, loaded: Any, left: Sequence[Shard]) -> None:
            for task, group in groupby(left, lambda one: one.task):
                alike = list(group)
                of = images[name, task]
                done = of - _images(alike) + parts.begun(alike)
                for shard in alike:
                    for rows in parts.compute(shard, partial(job.rows, loaded)):
                        pace.count(len(rows))
                        done += len(rows)
                        say(name, f"{task and f'{task}, '}image {done} of {of}", done / of)

        errors: dict[str, ConvfeError] = {}
        images = Counter[tuple[str, str]]()  # by backbone and task
        for shard in shards:
            images[shard.backbone, shard.task] += len(shard.images)
        missing = {name: list(group) for name, group in groupby(parts.missing(shards), lambda one: one.backbone)}
        pace.skip(images.total() - sum(map(_images, missing.values())))
        names = [*missing]
        with LoadAhead(self.early, lambda name: job.load(name, partial(say, name))) as loader:
            for number, (name, left) in enumerate(missing.items(), start=1):
                following = [other for other in names[number : number + AHEAD] if other in self.early]
                say(name, "loading")
                try:
                    loaded = loader.take(name, following)
                except SpecError:
                    raise
                except ConvfeError as error:
                    errors |= dict.fromkeys((shard.name for shard in left), error)
                    pace.skip(_images(left))
                    continue
                if remark := job.remark(loaded):
                    say(name, remark)
                end = pace.done + _images(left)
                pace.skip(parts.begun(left))
                pace.restart()
                try:
                    compute(name, loaded, left)
                except ModelFileError as error:  # its layers do not run on these pictures; those of others may
                    errors |= {shard.name: error for shard in parts.missing(left)}
                    pace.skip(end - pace.done)
                pace.restart()
                del loaded  # before the next one is taken: two at once would take twice the memory
        return errors


def _images(shards: Sequence[Shard]) -> int:
    return sum(len(shard.images) for shard in shards)
