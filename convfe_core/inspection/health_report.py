"""Is this network in order? Checks over photographs, in words with numbers and a likely cause, and a verdict."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from convfe_core.backbones.backbone import Network
from convfe_core.base.errors import ImageError
from convfe_core.catalog.architectures import Preprocessing
from convfe_core.inspection.activation_watch import Activity, ActivityGatherer
from convfe_core.inspection.channel_statistics import ChannelGatherer, ChannelStatistics
from convfe_core.inspection.layer_faults import (
    NormGatherer,
    NormMisfit,
    WeightFault,
    first_not_finite,
    layers_of,
    weight_faults,
)
from convfe_core.maps.input_size import Size
from convfe_core.maps.whole_features import canvas_of, read_features
from convfe_core.photos.photo import Photo
from convfe_core.user_models.input_scaling import SCALING_WORDS, InputAudit, audit_input, norm_misfits

DEAD_SHARE, DEAD_LOOK = 0.5, 0.05
"""From these shares of dead channels on, something is wrong, or worth a look. Over one or two photographs most channels
of a network that is in order may be silent (74 % and 45 % were seen), so that more of them must be."""
SILENT_SHARE, FEW = 0.9, 3
"""Of the channels of a layer, or over fewer than so many photographs."""
CAPPED_SHARE, CAPPED_LOOK = 0.5, 0.2
"""Of the values of an activation with a cap: ReLU6 in trained MobileNets has up to 7 % there."""
IGNORING_SHARE = 0.05
SATURATED_SHARE = 0.05
COLLAPSED_RANK = 2.0
LOW_RANK = 0.02
"""Of the highest possible rank."""
SAME_MAP = 0.01
BORDER_LEAD = 0.85
"""Of the pairs of a border's and an inner cell: networks in order had 17 to 45 % over the sample photographs, whose
objects are inside, and a filter that answers to every edge 61 to 79 %."""
MISFIT, MISFIT_LOOK = 2.0, 0.5
"""Nats between stored and real statistics of a BatchNormalization, median over its channels: networks that are in order
stayed below 0.46 over four photographs or more and below 2.3 on one, the wrong scaling of pixels gave 0.3 to 10,000."""
ENOUGH = 5
"""Over fewer photographs, statistics must be further off."""
CLOSER, CLOSER_MISFIT = 4, 0.25
"""Another scaling is named that fits so many times better, if the chosen one is as far off as this. With three
photographs or more that never happened to the right one."""

MOST_COMPARED = 12
"""Photographs under which ways of scaling are compared."""

OnStep = Callable[[int, int], None]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name : what, in a word or two
    state : ``fine``, ``look`` or ``bad``
    finding : what was found, with numbers
    cause : what usually causes it and what to do; empty where all is fine
    """

    name: str
    state: str
    finding: str
    cause: str = ""


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

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong; what is worth a look does not count."""
        return all(check.state != "bad" for check in self.checks)


def examine(
    network: Network, photos: Sequence[Photo], size: Size, on_step: OnStep = lambda _done, _total: None
) -> HealthReport:
    """Run photographs through a network and report on its health.

    Parameters
    ----------
    network : tapped where the report is about
    photos : at least one; what channels do is judged over all of them
    on_step : told how many photographs of how many are done

    Raises
    ------
    ImageError : no photograph
    """
    if not photos:
        raise ImageError("Expected at least one photograph to examine a network on. Received: none.")
    photos = _different(photos)
    reader, norms, activity = read_features(network), NormGatherer(network), ActivityGatherer(network)
    gatherer = ChannelGatherer(len(photos))
    for number, features in enumerate(reader.read(photos, size), start=1):
        gatherer.add(features.values)
        canvas = canvas_of(features.photo, network, size)
        norms.add(canvas)
        activity.add(canvas)
        on_step(number, len(photos))
    statistics = gatherer.finish()
    first_canvas = canvas_of(photos[0], network, size)
    broken = first_not_finite(network, first_canvas) if statistics.not_finite else None
    audit = audit_input(network.model, network.preprocessing, photos[0], first_canvas.shape[1:3])
    faults = weight_faults(network)
    closer = None if audit.scaled_by else _closer_scaling(network, photos, size)
    checks = [
        _numbers(statistics, broken, faults),
        _input(audit, norms.misfits(), closer, len(photos)),
        _weights(faults),
        *_on_the_way(network, statistics, norms, activity.activities()),
        _image(statistics),
        _rank(statistics, faults),
        _dead(statistics),
        _ignoring(statistics),
        _border(statistics),
    ]
    if statistics.not_finite:
        checks = [*checks[:3], *(Check(check.name, "fine", _NO_NUMBERS) for check in checks[3:])]
    order = ("bad", "look", "fine")
    ranked = tuple(sorted(checks, key=lambda check: order.index(check.state)))
    return HealthReport(network.label, _verdict(ranked, statistics), ranked, statistics, audit)


_NO_NUMBERS = "Not judged: values are no numbers."


def _different(photos: Sequence[Photo]) -> list[Photo]:
    """Photographs that do not show the same pixels: a copy under another name tells nothing new."""
    return list({hashlib.sha256(photo.pixels.tobytes()).digest(): photo for photo in reversed(photos)}.values())[::-1]


def _closer_scaling(network: Network, photos: Sequence[Photo], size: Size) -> Preprocessing | None:
    """The way of scaling pixels that fits a user's own weights far better than the chosen one, if there is one."""
    if network.weights in ("imagenet", "untrained", "builtin") or len(photos) < FEW:
        return None
    misfits = norm_misfits(network.model, (canvas_of(photo, network, size)[0] for photo in photos[:MOST_COMPARED]))
    mine = misfits.get(network.preprocessing, 0.0)
    best = min(misfits, key=lambda mode: misfits[mode], default=network.preprocessing)
    return best if mine > CLOSER_MISFIT and misfits[best] * CLOSER < mine else None


def _on_the_way(
    network: Network, seen: ChannelStatistics, norms: NormGatherer, activities: Sequence[Activity]
) -> list[Check]:
    """Checks of the layers before the map, that first which finds something first: what comes after it follows."""
    order = {str(layer.name): depth for depth, layer in enumerate(layers_of(network))}
    found = [_silent(activities), _saturation(seen, activities), _norms(norms, seen.images)]
    return [check for check, layer in sorted(found, key=lambda pair: order.get(pair[1] or "", len(order)))]


def _verdict(checks: Sequence[Check], statistics: ChannelStatistics) -> str:
    worst = checks[0]
    over = f"over {statistics.images} image{'s' if statistics.images != 1 else ''}"
    if worst.state == "bad":
        return f"Not healthy. Look first at: {worst.name}. {worst.finding} {worst.cause}"
    if worst.state == "look":
        return f"Nothing broken {over}; worth a look: {worst.name}. {worst.finding}"
    return f"Healthy {over}: all {len(checks)} checks passed."


def _numbers(seen: ChannelStatistics, broken: str | None, faults: Sequence[WeightFault]) -> Check:
    name = "NaN and infinity"
    planted = next((fault.layer for fault in faults if fault.kind == "NaN"), None)
    if not seen.not_finite and planted is None:
        return Check(name, "fine", "Every value is a number.")
    share = f"{seen.not_finite:.0%} of the values are no numbers, first in layer {broken or planted!r}."
    if planted is not None:
        cause = (
            "Its weights hold NaN or infinity: the training diverged; go back to an earlier checkpoint, with a lower "
            "learning rate."
        )
        if not seen.not_finite:
            share = f"The weights of layer {planted!r} hold NaN or infinity, which the activations after it hide."
        return Check(name, "bad", share, cause)
    return Check(name, "bad", share, "Values overflow there: check the input's scaling and the weights before it.")


def _input(audit: InputAudit, misfits: Sequence[NormMisfit], closer: Preprocessing | None, images: int) -> Check:
    name = "Input scaling"
    received = f"The first layer receives {audit.low:.3g} to {audit.high:.3g} (mean {audit.mean:.3g})."
    if audit.warnings:
        return Check(name, "bad", received, audit.warnings[0])
    first = misfits[0] if misfits else None
    if first is not None and (closer is not None or first.divergence > _tolerance(images)):
        bad = first.divergence > max(MISFIT, _tolerance(images))
        better = f"{SCALING_WORDS[closer]} would fit" if closer else "choose another scaling"
        return Check(
            name,
            "bad" if bad else "look",
            f"{received} At {first.layer!r} the values spread {_times(first.wider)} as in training.",
            f"Pixels are scaled otherwise than in training, perhaps twice or not at all; {better}.",
        )
    return Check(name, "fine", received)


def _tolerance(images: int) -> float:
    """Nats that statistics of so many photographs may be off."""
    return MISFIT_LOOK * max(1.0, ENOUGH / images)


def _times(factor: float) -> str:
    return f"{factor:.3g} times as wide" if factor >= 1 else f"1/{1 / factor:.3g} as wide"


def _weights(faults: Sequence[WeightFault]) -> Check:
    name = "Weights"
    kinds = {
        "zero": ("is all zeros", "It was never loaded or was regularised away; nothing of the image passes it."),
        "alike": ("has equal filters", "All its filters started alike; initialise them randomly."),
    }
    faults = [fault for fault in faults if fault.kind in kinds]
    if not faults:
        return Check(name, "fine", "No layer's filters are all zero or all equal.")
    what, cause = kinds[faults[0].kind]
    more = f" (and {len(faults) - 1} more layers with faults)" if len(faults) > 1 else ""
    return Check(name, "bad", f"Layer {faults[0].layer!r} {what}{more}.", cause)


def _image(seen: ChannelStatistics) -> Check:
    name = "Answer to the image"
    if seen.images < 2:
        return Check(name, "fine", "Not judged: that takes two images.")
    finding = f"Between images the mean map changes by {seen.image_share:.1%} of its magnitude."
    if seen.image_share < SAME_MAP:
        cause = "A layer on the way passes nothing on: look for one that is zero, dead or saturated before the map."
        return Check(name, "bad", f"The map hardly depends on the image. {finding}", cause)
    return Check(name, "fine", finding)


def _rank(seen: ChannelStatistics, faults: Sequence[WeightFault]) -> Check:
    name = "Collapse"
    finding = f"Effective rank {seen.rank:.1f} of {seen.most_rank} ({seen.channels} channels)."
    if seen.channels < 2 or seen.rank == 0:
        return Check(name, "fine", finding)
    if seen.rank < COLLAPSED_RANK:
        equal = any(fault.kind == "alike" for fault in faults)
        cause = (
            "A layer's filters are all equal."
            if equal
            else "Untrained or collapsed weights; in training, lower the learning rate or the weight decay."
        )
        return Check(name, "bad", f"The channels are all alike. {finding}", cause)
    if seen.rank < LOW_RANK * seen.most_rank:
        return Check(name, "look", f"Few different channels. {finding}", "Common after long training on few classes.")
    return Check(name, "fine", finding)


def _dead(seen: ChannelStatistics) -> Check:
    name = "Dead channels"
    share = len(seen.dead) / seen.channels
    finding = f"{len(seen.dead)} of {seen.channels} channels are never above zero."
    cause = "Too high a learning rate or a large negative bias before a ReLU; or images unlike those of training."
    bad = share >= (DEAD_SHARE if seen.images >= FEW else SILENT_SHARE)
    state = "bad" if bad else "look" if share >= max(DEAD_LOOK, 1 / seen.images) else "fine"
    if state == "fine" and share >= DEAD_LOOK:
        finding += " Usual for so few images."
    return Check(name, state, finding, cause if state != "fine" else "")


def _ignoring(seen: ChannelStatistics) -> Check:
    name = "Constant channels"
    if seen.images < 2:
        return Check(name, "fine", "Not judged: that takes two images.")
    share = len(seen.ignoring) / seen.channels
    finding = f"{len(seen.ignoring)} of {seen.channels} channels show the same map for every image."
    if share >= IGNORING_SHARE:
        cause = "Their input is dead or they live on their bias alone."
        return Check(name, "bad" if share >= DEAD_SHARE else "look", finding, cause)
    return Check(name, "fine", finding)


def _silent(activities: Sequence[Activity]) -> tuple[Check, str | None]:
    name = "Silent layers"
    first = next((one for one in activities if one.silent >= SILENT_SHARE), None)
    if first is None:
        return Check(name, "fine", f"All {len(activities)} activations on the way pass something on."), None
    return Check(
        name,
        "bad",
        f"At {first.layer!r} {first.silent:.0%} of the channels are never above zero.",
        "Little of the image passes there: look for a large negative bias or for zeros in the layers just before.",
    ), first.layer


def _saturation(seen: ChannelStatistics, activities: Sequence[Activity]) -> tuple[Check, str | None]:
    name = "Saturation"
    cause = "An activation with a cap (ReLU6, sigmoid, tanh) is driven into it: look at the layer before."
    first = next((one for one in activities if one.capped >= CAPPED_LOOK), None)
    if first is not None:
        finding = f"At {first.layer!r} {first.capped:.0%} of the values are at its cap."
        return Check(name, "bad" if first.capped >= CAPPED_SHARE else "look", finding, cause), first.layer
    finding = f"{seen.saturated:.1%} of the values are at the highest one."
    if seen.saturated >= SATURATED_SHARE:
        return Check(name, "look", finding, cause), None
    return Check(name, "fine", finding), None


def _norms(norms: NormGatherer, images: int) -> tuple[Check, str | None]:
    name, misfits = "Batch-norm statistics", norms.misfits()
    if not misfits:
        if norms.never_trained:
            return Check(
                name,
                "look",
                "All are those of a network that was never trained.",
                "Untrained weights, or a checkpoint that was not loaded.",
            ), None
        return Check(name, "fine", "There is no BatchNormalization."), None
    off = [misfit for misfit in misfits if misfit.divergence > _tolerance(images)]
    if not off:
        worst = max(misfits, key=lambda misfit: misfit.divergence)
        return Check(name, "fine", f"All {len(misfits)} fit the images (worst {worst.divergence:.2g} nats)."), None
    finding = (
        f"{len(off)} of {len(misfits)} do not fit the images, first {off[0].layer!r}: values spread "
        f"{_times(off[0].wider)} as in training ({off[0].divergence:.2g} nats)."
    )
    cause = (
        "Images or their scaling differ from training, or the statistics were frozen or gathered over too few steps."
    )
    bad = len(off) >= len(misfits) / 2 and max(misfit.divergence for misfit in off) > MISFIT
    return Check(name, "bad" if bad else "look", finding, cause), off[0].layer


def _border(seen: ChannelStatistics) -> Check:
    name = "Border artefacts"
    if np.isnan(seen.border):
        return Check(name, "fine", "Not judged: the maps are constant or smaller than 5 x 5 cells.")
    finding = f"A cell on the border is stronger than one inside in {seen.border:.0%} of all pairs."
    if seen.border >= BORDER_LEAD and seen.images > 1:  # one photograph may itself be strongest there
        cause = "Zero padding makes an edge: take a larger input or read the border with care."
        return Check(name, "look", finding, cause)
    return Check(name, "fine", finding)
