"""What a health report checks: each check reads the evidence and says what it found, in words with a likely cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from convfe_core.catalog.architectures import Preprocessing
from convfe_core.catalog.pixel_scaling import SCALING_WORDS
from convfe_core.inspection.activation_watch import Activity
from convfe_core.inspection.channel_statistics import ChannelStatistics
from convfe_core.inspection.layer_faults import NormMisfit, WeightFault
from convfe_core.user_models.input_scaling import InputAudit

DEAD_SHARE, DEAD_LOOK = 0.5, 0.05
"""Shares of dead channels from which something is wrong, or worth a look. Over one or two photographs a healthy network
may leave most channels silent (74 % and 45 % were seen), so there `SILENT_SHARE` is the limit."""
SILENT_SHARE, FEW = 0.9, 3
"""A share of a layer's channels; and with fewer photographs than `FEW`, a check must allow for chance."""
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
"""With fewer photographs the limit for statistics is higher, because they vary more by chance."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What was measured of a network over several photographs.

    Attributes
    ----------
    broken : the first layer whose output was not finite
    faults : of weights, the first layer first
    audit : what its first layer receives for the first photograph
    closer : a scaling of pixels that would fit far better than the chosen one
    activities : of the activations on the way to the map
    misfits : of every BatchNormalization that was ever trained
    never_trained : there are some, and none was
    depths : the place of each layer among those on the way to the map
    """

    statistics: ChannelStatistics
    broken: str | None
    faults: Sequence[WeightFault]
    audit: InputAudit
    closer: Preprocessing | None
    activities: Sequence[Activity]
    misfits: Sequence[NormMisfit]
    never_trained: bool
    depths: Mapping[str, int]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    name : what, in a word or two
    state : ``fine``, ``look`` or ``bad``
    finding : what was found, with numbers
    cause : what usually causes it and what to do; empty where all is fine
    layer : where it begins, if it begins somewhere
    """

    name: str
    state: str
    finding: str
    cause: str = ""
    layer: str | None = None


def judge(evidence: Evidence) -> tuple[Check, ...]:
    """Make every check, the worst first."""
    first = [check(evidence) for check in (_numbers, _input, _weights)]
    # What is wrong in an early layer causes what is wrong in later ones, and in the map.
    on_the_way = [check(evidence) for check in (_silent, _saturation, _norms)]
    on_the_way.sort(key=lambda check: evidence.depths.get(check.layer or "", len(evidence.depths)))
    of_the_map = [check(evidence) for check in (_image, _rank, _dead, _ignoring, _border)]
    rest = [*on_the_way, *of_the_map]
    if evidence.statistics.not_finite:
        rest = [Check(check.name, "fine", "Not judged: values are no numbers.") for check in rest]
    return tuple(sorted([*first, *rest], key=lambda check: ("bad", "look", "fine").index(check.state)))


def _numbers(evidence: Evidence) -> Check:
    fine = Check("NaN and infinity", "fine", "Every value is a number.")
    planted = next((fault.layer for fault in evidence.faults if fault.kind == "NaN"), None)
    share = evidence.statistics.not_finite
    found = f"{share:.0%} of the values are no numbers, first in layer {evidence.broken or planted!r}."
    if planted is not None:
        if not share:
            found = f"The weights of layer {planted!r} hold NaN or infinity, which the activations after it hide."
        cause = (
            "Its weights hold NaN or infinity: the training diverged; go back to an earlier checkpoint, with a lower "
            "learning rate."
        )
        return replace(fine, state="bad", finding=found, cause=cause)
    if share:
        cause = "Values overflow there: check the input's scaling and the weights before it."
        return replace(fine, state="bad", finding=found, cause=cause)
    return fine


def _input(evidence: Evidence) -> Check:
    audit, closer = evidence.audit, evidence.closer
    received = f"The first layer receives {audit.low:.3g} to {audit.high:.3g} (mean {audit.mean:.3g})."
    fine = Check("Input scaling", "fine", received)
    if audit.warnings:
        return replace(fine, state="bad", cause=audit.warnings[0])
    first = evidence.misfits[0] if evidence.misfits else None
    tolerance = _tolerance(evidence)
    if first is None or (closer is None and first.divergence <= tolerance):
        return fine
    better = f"{SCALING_WORDS[closer]} would fit" if closer else "choose another scaling"
    return replace(
        fine,
        state="bad" if first.divergence > max(MISFIT, tolerance) else "look",
        finding=f"{received} At {first.layer!r} the values spread {_times(first.wider)} as in training.",
        cause=f"Pixels are scaled otherwise than in training, perhaps twice or not at all; {better}.",
    )


def _tolerance(evidence: Evidence) -> float:
    """Nats that statistics of so many photographs may be off."""
    return MISFIT_LOOK * max(1.0, ENOUGH / evidence.statistics.images)


def _times(factor: float) -> str:
    return f"{factor:.3g} times as wide" if factor >= 1 else f"1/{1 / factor:.3g} as wide"


def _weights(evidence: Evidence) -> Check:
    kinds = {
        "zero": ("is all zeros", "It was never loaded or was regularised away; nothing of the image passes it."),
        "alike": ("has equal filters", "All its filters started alike; initialise them randomly."),
    }
    faults = [fault for fault in evidence.faults if fault.kind in kinds]
    if not faults:
        return Check("Weights", "fine", "No layer's filters are all zero or all equal.")
    what, cause = kinds[faults[0].kind]
    more = f" (and {len(faults) - 1} more layers with faults)" if len(faults) > 1 else ""
    return Check("Weights", "bad", f"Layer {faults[0].layer!r} {what}{more}.", cause)


def _image(evidence: Evidence) -> Check:
    name, seen = "Answer to the image", evidence.statistics
    if seen.images < 2:
        return Check(name, "fine", "Not judged: that takes two images.")
    finding = f"Between images the mean map changes by {seen.image_share:.1%} of its magnitude."
    if seen.image_share < SAME_MAP:
        cause = "A layer on the way passes nothing on: look for one that is zero, dead or saturated before the map."
        return Check(name, "bad", f"The map hardly depends on the image. {finding}", cause)
    return Check(name, "fine", finding)


def _rank(evidence: Evidence) -> Check:
    name, seen = "Collapse", evidence.statistics
    finding = f"Effective rank {seen.rank:.1f} of {seen.most_rank} ({seen.channels} channels)."
    if seen.channels > 1 and 0 < seen.rank < COLLAPSED_RANK:
        cause = "Untrained or collapsed weights; in training, lower the learning rate or the weight decay."
        if any(fault.kind == "alike" for fault in evidence.faults):
            cause = "A layer's filters are all equal."
        return Check(name, "bad", f"The channels are all alike. {finding}", cause)
    if seen.channels > 1 and 0 < seen.rank < LOW_RANK * seen.most_rank:
        return Check(name, "look", f"Few different channels. {finding}", "Common after long training on few classes.")
    return Check(name, "fine", finding)


def _dead(evidence: Evidence) -> Check:
    seen = evidence.statistics
    share = len(seen.dead) / seen.channels
    finding = f"{len(seen.dead)} of {seen.channels} channels are never above zero."
    cause = "Too high a learning rate or a large negative bias before a ReLU; or images unlike those of training."
    bad = share >= (DEAD_SHARE if seen.images >= FEW else SILENT_SHARE)
    state = "bad" if bad else "look" if share >= max(DEAD_LOOK, 1 / seen.images) else "fine"
    if state == "fine" and share >= DEAD_LOOK:
        finding += " Usual for so few images."
    return Check("Dead channels", state, finding, cause if state != "fine" else "")


def _ignoring(evidence: Evidence) -> Check:
    name, seen = "Constant channels", evidence.statistics
    if seen.images < 2:
        return Check(name, "fine", "Not judged: that takes two images.")
    share = len(seen.ignoring) / seen.channels
    finding = f"{len(seen.ignoring)} of {seen.channels} channels show the same map for every image."
    if share >= IGNORING_SHARE:
        cause = "Their input is dead or they live on their bias alone."
        return Check(name, "bad" if share >= DEAD_SHARE else "look", finding, cause)
    return Check(name, "fine", finding)


def _silent(evidence: Evidence) -> Check:
    name, activities = "Silent layers", evidence.activities
    first = next((one for one in activities if one.silent >= SILENT_SHARE), None)
    if first is None:
        return Check(name, "fine", f"All {len(activities)} activations on the way pass something on.")
    finding = f"At {first.layer!r} {first.silent:.0%} of the channels are never above zero."
    cause = "Little of the image passes there: look for a large negative bias or for zeros in the layers just before."
    return Check(name, "bad", finding, cause, first.layer)


def _saturation(evidence: Evidence) -> Check:
    name, saturated = "Saturation", evidence.statistics.saturated
    cause = "An activation with a cap (ReLU6, sigmoid, tanh) is driven into it: look at the layer before."
    first = next((one for one in evidence.activities if one.capped >= CAPPED_LOOK), None)
    if first is not None:
        finding = f"At {first.layer!r} {first.capped:.0%} of the values are at its cap."
        return Check(name, "bad" if first.capped >= CAPPED_SHARE else "look", finding, cause, first.layer)
    finding = f"{saturated:.1%} of the values are at the highest one."
    return Check(name, "look", finding, cause) if saturated >= SATURATED_SHARE else Check(name, "fine", finding)


def _norms(evidence: Evidence) -> Check:
    name, misfits = "Batch-norm statistics", evidence.misfits
    if evidence.never_trained:
        finding = "All are those of a network that was never trained."
        return Check(name, "look", finding, "Untrained weights, or a checkpoint that was not loaded.")
    if not misfits:
        return Check(name, "fine", "There is no BatchNormalization.")
    worst = max(misfit.divergence for misfit in misfits)
    off = [misfit for misfit in misfits if misfit.divergence > _tolerance(evidence)]
    if not off:
        return Check(name, "fine", f"All {len(misfits)} fit the images (worst {worst:.2g} nats).")
    finding = (
        f"{len(off)} of {len(misfits)} do not fit the images, first {off[0].layer!r}: values spread "
        f"{_times(off[0].wider)} as in training ({off[0].divergence:.2g} nats)."
    )
    cause = (
        "Images or their scaling differ from training, or the statistics were frozen or gathered over too few steps."
    )
    bad = len(off) >= len(misfits) / 2 and worst > MISFIT
    return Check(name, "bad" if bad else "look", finding, cause, off[0].layer)


def _border(evidence: Evidence) -> Check:
    name, seen = "Border artefacts", evidence.statistics
    if np.isnan(seen.border):
        return Check(name, "fine", "Not judged: the maps are constant or smaller than 5 x 5 cells.")
    finding = f"A cell on the border is stronger than one inside in {seen.border:.0%} of all pairs."
    if seen.border >= BORDER_LEAD and seen.images > 1:  # one photograph may itself be strongest there
        cause = "Zero padding makes an edge: take a larger input or read the border with care."
        return Check(name, "look", finding, cause)
    return Check(name, "fine", finding)
