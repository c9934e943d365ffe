"""The sentence that a ranking says, clause by clause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from convfe_core.base.wording import counted, in_words
from convfe_core.scoring.trial_scores import FEWEST_TRIAL_IMAGES

FEWEST_IMAGES = 20
"""Under so many usable images no winner is named, among backbones or between one and its control."""

_TRY = "a trial of a detector (--trial) would decide"


@dataclass(frozen=True)
class Answer:
    """What one number (S, the cell probe or the trial) says of the backbones.

    Attributes
    ----------
    groups : labels, best first, those that are tied with the first of a group beside it; at least one
    finds : whether it finds the objects under any of them
    beats : by label, whether the weights beat the untrained control; only where that was asked
    images : that it is over
    """

    groups: tuple[tuple[str, ...], ...]
    finds: bool
    beats: Mapping[str, bool]
    images: int

    @property
    def labels(self) -> tuple[str, ...]:
        """All backbones, best first."""
        return tuple(label for group in self.groups for label in group)


@dataclass(frozen=True)
class Verdict:
    """Who leads.

    Attributes
    ----------
    text : one sentence
    leader : the backbone in front by what decides, or None when no winner is named
    tied : those that cannot be told from the leader
    beats_control : by backbone, whether its S is above its control's beyond doubt
    decided_by : ``trial``, ``S and cell probe`` or ``S``; None when no winner is named
    """

    text: str
    leader: str | None
    tied: tuple[str, ...]
    beats_control: Mapping[str, bool]
    decided_by: str | None = None


def decide(
    separation: Answer | None, probe: Answer | None, trial: Answer | None, beats_control: Mapping[str, bool]
) -> Verdict:
    """Put what the numbers say into one sentence: the trial decides where there is one, else S and the cell probe.

    Parameters
    ----------
    separation : None where no image is usable under any backbone
    probe, trial : None where there is none
    beats_control : of all backbones, for the verdict
    """
    usable = 0 if separation is None else separation.images
    if separation is not None and probe is not None and {*separation.labels} != {*probe.labels}:
        probe = None  # a probe that some backbone lacks puts nobody first
    alone = separation is not None and len(separation.labels) == 1
    enough = trial is not None and trial.images >= FEWEST_TRIAL_IMAGES and (alone or len(trial.labels) > 1)
    if trial is not None and enough:
        clauses = _by_trial(trial, separation if usable >= FEWEST_IMAGES else None, probe)
        return _named("trial", trial.groups[0], clauses, beats_control)
    if separation is None or usable < FEWEST_IMAGES:
        return Verdict(_too_few(usable), None, (), beats_control)
    clauses, front = _by_maps(separation, probe)
    if trial is not None:
        clauses.append(_small_trial(trial))
    if not front:
        return Verdict(_sentence(clauses), None, (), beats_control)
    return _named("S" if probe is None else "S and cell probe", front, clauses, beats_control)


def _named(by: str, front: Sequence[str], clauses: Sequence[str], beats: Mapping[str, bool]) -> Verdict:
    return Verdict(_sentence(clauses), front[0], tuple(front[1:]), beats, by)


def _sentence(clauses: Sequence[str]) -> str:
    return "; ".join(clauses) + "."


def _too_few(usable: int) -> str:
    missing = FEWEST_IMAGES - usable
    said = f"No winner is named: {counted(usable, 'image')} can be scored, {FEWEST_IMAGES} are needed"
    if not usable:  # then it is the maps or the boxes that keep images from being scored, and more would be no help
        return f"{said}."
    return f"{said}, so {counted(missing, 'more image')} with boxes {'is' if missing == 1 else 'are'} missing."


def _small_trial(trial: Answer) -> str:
    if trial.images < FEWEST_TRIAL_IMAGES:
        return f"the trial has {counted(trial.images, 'image')}, under {FEWEST_TRIAL_IMAGES} it names no winner"
    return f"{in_words(trial.labels)} alone was tried, which compares nothing"


def _by_trial(trial: Answer, separation: Answer | None, probe: Answer | None) -> list[str]:
    """Clauses where the trial decides, with what the other numbers would have said."""
    if len(trial.labels) == 1:
        clauses = [f"{trial.labels[0]} was tried with a small detector, and with no other backbone to compare"]
    else:
        clauses = [f"In the trial of a small detector {_order(trial.groups)}"]
    others: dict[tuple[str, ...], list[str]] = {}  # by who is in front, the numbers that say so
    for named, other in (("S", separation), ("the cell probe", probe)):
        if other is not None and len(other.labels) > 1 and not {*other.groups[0]} & {*trial.groups[0]}:
            others.setdefault(other.groups[0], []).append(named)
    clauses += [f"{in_words(named)} would have put {in_words(front)} first" for front, named in others.items()]
    if trial.beats:
        clauses.append(_control(trial.beats))
    return clauses


def _by_maps(separation: Answer, probe: Answer | None) -> tuple[list[str], tuple[str, ...]]:
    """Clauses where there is no trial, and who is in front by both numbers.

    Nobody is where the cell probe has one in front that S has behind: on small round objects S alone is often wrong.
    """
    front = separation.groups[0]
    if len(separation.labels) == 1:
        clauses = [_one_backbone(front[0], separation.finds)]
    else:
        clauses = [_order(separation.groups)]
        if not separation.finds:
            clauses.append("none of them separates your objects: other images' boxes fit their maps as well")
    controls = _controls(separation, probe)
    if probe is None:
        return clauses + controls, front
    first = probe.groups[0]
    if {*first} <= {*front}:
        return [*clauses, *controls, _agreement(separation, probe)], tuple(label for label in front if label in first)
    other = f"has {in_words(first)} tied in front" if {*first} & {*front} else in_words(first)
    unsure = f"No winner is named: S puts {in_words(front)} first, the cell probe {other}; {_TRY}"
    return [unsure, *clauses[1:], *controls], ()


def _one_backbone(label: str, finds: bool) -> str:
    if finds:
        return f"{label} separates your objects from the rest"
    return f"{label} does not separate your objects: other images' boxes fit its map as well"


def _agreement(separation: Answer, probe: Answer) -> str:
    """How the cell probe stands to S, where it has nobody in front that S has behind."""
    if separation.finds != probe.finds:
        found = "but the cell probe finds them" if probe.finds else "but the cell probe does not find them"
        return f"{found}, and {_TRY}"
    first = probe.groups[0]
    if {*first} == {*separation.groups[0]}:
        return "the cell probe agrees"
    if len(first) == 1:
        return f"the cell probe puts {first[0]} first"
    return f"the cell probe has {in_words(first)} tied in front"


def _controls(separation: Answer, probe: Answer | None) -> list[str]:
    """Who beats an untrained control; one clause where S and the cell probe say the same."""
    if not separation.beats:
        return []
    if probe is None or not probe.beats or probe.beats == separation.beats:
        return [_control(separation.beats)]
    return [
        f"by S {_control(separation.beats, conclude=False)}",
        f"by the cell probe {_control(probe.beats, conclude=False)}",
    ]


def _order(groups: Sequence[Sequence[str]]) -> str:
    front, *behind = groups
    if not behind:
        return f"{in_words(front)} are tied: these images do not tell them apart"
    if len(front) == 1:
        first, whom = f"{front[0]} leads", "it"
    else:
        first, whom = f"{in_words(front)} are tied in front", "them"
    second = f"{in_words(behind[0])} {'are tied' if len(behind[0]) > 1 else 'is'} behind {whom}"
    rest = [f"then {in_words(group)}{' (tied)' if len(group) > 1 else ''}" for group in behind[1:]]
    return f"{first}; {', '.join([second, *rest])}"


def _control(beats: Mapping[str, bool], conclude: bool = True) -> str:
    """Who beats an untrained control.

    Parameters
    ----------
    conclude : say what it means where nobody does
    """
    winning = [label for label, found in beats.items() if found]
    losing = [label for label, found in beats.items() if not found]
    so = " on these images, so pretraining does not help here" if conclude else ""
    own = "own untrained control"
    if len(beats) == 1:
        return f"it beats its {own}" if winning else f"it does not beat its {own}{so}"
    both = len(beats) == 2
    if not losing:
        return f"both beat their {own}s" if both else f"each of them beats its {own}"
    if not winning:
        return f"{'neither' if both else 'none'} of them beats its {own}{so}"
    beat = f"beats its {own}" if len(winning) == 1 else f"beat their {own}s"
    return f"{in_words(winning)} {beat}, {in_words(losing)} {'does' if len(losing) == 1 else 'do'} not"
