"""Is this network in order? What it does over photographs, measured in one pass over each, and a verdict."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from convfe_core.backbones.network import Network
from convfe_core.base.arrays import FloatArray
from convfe_core.base.errors import ImageError
from convfe_core.catalog.architectures import Preprocessing
from convfe_core.inspection.activation_watch import ActivityWatch
from convfe_core.inspection.channel_statistics import ChannelGatherer, ChannelStatistics
from convfe_core.inspection.health_checks import FEW, Check, Evidence, judge
from convfe_core.inspection.layer_faults import FiniteWatch, NormWatch, weight_faults
from convfe_core.inspection.layer_watch import layers_of, watch_photos
from convfe_core.machine.machine_queue import MACHINE, OnWait, wait_silently
from convfe_core.maps.input_size import Size, frame_for
from convfe_core.photos.letterbox import place_on_canvas
from convfe_core.photos.photo import Photo
from convfe_core.user_models.input_scaling import InputAudit

CLOSER, CLOSER_MISFIT = 4, 0.25
"""Another scaling is named where it fits this many times better and the chosen one is at least this far off, in nats.
With three photographs or more that never happened to the right one."""

MOST_COMPARED = 12
"""Photographs under which ways of scaling are compared."""

OnStep = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class HealthReport:
    """What a network does over several photographs.

    Attributes
    ----------
    checks : the worst first
    audit : what its first layer receives for the first photograph
    """

    label: str
    verdict: str
    checks: tuple[Check, ...]
    statistics: ChannelStatistics
    audit: InputAudit


def examine(
    network: Network,
    photos: Sequence[Photo],
    size: Size,
    on_step: OnStep = lambda _done, _total: None,
    on_wait: OnWait = wait_silently,
) -> HealthReport:
    """Run photographs through a network and report on its health.

    Parameters
    ----------
    network : tapped where the report is about
    photos : at least one; what channels do is judged over all of them
    on_step : told how many photographs of how many are done
    on_wait : called while others' passes run, see `Gate.passing`

    Raises
    ------
    ImageError : no photograph
    """
    if not photos:
        raise ImageError("Expected at least one photograph to examine a network on. Received: none.")
    photos = _different(photos)
    layers = layers_of(network)
    finite, norms, activity = FiniteWatch(layers), NormWatch(layers), ActivityWatch(layers)
    gatherer = ChannelGatherer(len(photos))
    done = 0

    def see(features: FloatArray) -> None:
        nonlocal done
        gatherer.add(features)
        done += 1
        on_step(done, len(photos))

    watch_photos(network, photos, size, [finite, norms, activity], see, on_wait)
    statistics = gatherer.finish()
    frame = frame_for(photos[0].height, photos[0].width, network, size)
    with MACHINE.passing(on_wait):
        audit = network.audit(photos[0], frame.input_height, frame.input_width)
        closer = None if audit.scaled_by else _closer_scaling(network, photos, size)
    evidence = Evidence(
        statistics=statistics,
        broken=finite.first_layer(),
        faults=weight_faults(layers),
        audit=audit,
        closer=closer,
        activities=activity.activities(),
        misfits=norms.misfits(),
        never_trained=norms.never_trained,
        depths={layer.name: depth for depth, layer in enumerate(layers)},
    )
    checks = judge(evidence)
    return HealthReport(network.label, _verdict(checks, statistics.images), checks, statistics, audit)


def _different(photos: Sequence[Photo]) -> list[Photo]:
    """The photographs without copies: the same pixels under another name count once."""
    return list({hashlib.sha256(photo.pixels.tobytes()).digest(): photo for photo in reversed(photos)}.values())[::-1]


def _closer_scaling(network: Network, photos: Sequence[Photo], size: Size) -> Preprocessing | None:
    """The way of scaling pixels that fits a user's own weights far better than the chosen one, if there is one."""
    if network.weights in ("imagenet", "untrained", "builtin") or len(photos) < FEW:
        return None
    canvases = (
        place_on_canvas(photo, frame_for(photo.height, photo.width, network, size)) for photo in photos[:MOST_COMPARED]
    )
    misfits = network.misfits(canvases)
    mine = misfits.get(network.preprocessing, 0.0)
    best = min(misfits, key=lambda mode: misfits[mode], default=network.preprocessing)
    return best if mine > CLOSER_MISFIT and misfits[best] * CLOSER < mine else None


def _verdict(checks: Sequence[Check], images: int) -> str:
    worst = checks[0]
    over = f"over {images} image{'s' if images != 1 else ''}"
    if worst.state == "bad":
        return f"Not healthy. Look first at: {worst.name}. {worst.finding} {worst.cause}"
    if worst.state == "look":
        return f"Nothing broken {over}; worth a look: {worst.name}. {worst.finding}"
    return f"Healthy {over}: all {len(checks)} checks passed."
