"""Requests in force together as one eraser: one product for all gates, one direction, and who of them fired.

A list of erasers reads every prompt once per request, a stack once for all. That two requests know a prompt steers it
no harder. Small shares of wrong refusals add up either way, so thresholds are set for all in force together. What that
needs of each request is stored with it, and is little: the retained prompts that it opens on by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, NamedTuple, cast, final

import torch

from unsee.erase.eraser import Eraser
from unsee.erase.fit.calibration import raised_together, thresholds
from unsee.erase.gates.base import LatchedGate, gate_of_kind
from unsee.erase.strict_json import is_whole
from unsee.errors import ArtifactError, DataError, MismatchError
from unsee.shapes import Float, Tensor

FALSE_FIRES = "false_fires"
"""The setting of an eraser that `false_fires` makes."""
_MOST_PROMPTS, _LARGEST = 10_000_000, 1e6


class Among(NamedTuple):
    """The retained prompts that a threshold was set on.

    Attributes:
        profile: fingerprint of the profile whose prompts they are.
        gate: kind of the gate.
        evidence: of the gate (`LatchedGate.shares`).
        prompts: how many of them hold such evidence.
    """

    profile: str
    gate: str
    evidence: str
    prompts: int


def false_fires(
    unseen: Mapping[str, Float[Tensor, "P K"]], threshold: Float[Tensor, " K"], profile: Tensor
) -> dict[str, Any]:
    """What a fit keeps for `together`, to be added to the settings of its eraser.

    In force together no gate has a lower threshold than alone, so a prompt that none opens on alone cannot matter: what
    is kept is a small share of all, a few numbers.

    Args:
        unseen: by evidence, scores of retained prompts by gates that were not fitted on them, in the profile's order;
            minus infinity of a prompt that holds no such evidence. A request without images has none of it.
        threshold: of the gates, as set for this request alone.
        profile: its fingerprint.
    """
    kept = dict[str, Any]()
    for evidence, scores in unseen.items():
        scores = scores.float()
        rows = (scores >= threshold).any(1).nonzero().flatten().tolist()
        largest = scores.max(1).values
        found = {str(row): float(largest[row]) for row in rows}
        kept[evidence] = {"prompts": int(largest.isfinite().sum()), "scores": found}
    return {FALSE_FIRES: {"profile": bytes(profile.tolist()).hex(), **kept}}


def false_fires_of(eraser: Eraser) -> dict[Among, dict[int, float]] | None:
    """What `false_fires` kept: by evidence the largest score of a gate, by number of the prompt.

    None of a published gate, or of a fit by an unsee that did not keep it.

    Raises:
        ArtifactError: it is not as `false_fires` makes it.
    """
    kept: object = eraser.settings.get(FALSE_FIRES)
    if kept is None or not eraser.gate.latched:
        return None
    gate = eraser.gate
    match kept:  # the reader of artifacts lets any JSON through
        case {"profile": str(profile), **rest} if rest and rest.keys() <= gate.shares.keys():
            found = {name: _scores(one) for name, one in cast("dict[str, object]", rest).items()}
            if all(one is not None for one in found.values()):
                return {
                    Among(profile, gate.kind, name, one[0]): one[1] for name, one in found.items() if one is not None
                }
        case _:
            pass
    raise ArtifactError(
        f"settings.{FALSE_FIRES} of the eraser is {str(kept)!r:.80}, expected the fingerprint of a profile, and by "
        f"evidence ({', '.join(gate.shares)}) a number of prompts and the scores of some. Fit the request again."
    )


def together(erasers: Sequence[Eraser], shares: Mapping[str, float] | None = None) -> list[Eraser]:
    """The same requests, with thresholds at which all of them together open on a share of retained prompts at most.

    `max(own_k, level_e)` for each evidence e (an image, a name), and `level_e` as in `raised_together`, of the scores
    at which a gate opens alone: the (1 - share_e) quantile, over the prompts that hold such evidence, of the largest.
    The result depends on the set and on nothing before it, so taking one back gives bit for bit what the others had.
    Requests of several profiles were calibrated on different prompts; each profile has an equal part of the share.

    A request of which nothing was kept (`false_fires_of`) is returned as it is, and what it refuses wrongly adds up.

    Args:
        erasers: all that are in force.
        shares: by evidence, in (0, 1); None takes those of the gates (`LatchedGate.shares`).

    Raises:
        OptionError: a share is out of range.
        ArtifactError: as `false_fires_of`.
    """
    kept = [false_fires_of(eraser) for eraser in erasers]
    if len(kept) == 1:  # alone, it has the threshold that its fit chose and its verification measured
        return list(erasers)
    groups: dict[Among, list[Mapping[int, float]]] = {}
    for one in kept:
        for among, scores in (one or {}).items():
            groups.setdefault(among, []).append(scores)
    level = dict[Among, Tensor]()
    for among, members in groups.items():
        profiles = sum((other.gate, other.evidence) == (among.gate, among.evidence) for other in groups)
        share = (gate_of_kind(among.gate).shares if shares is None else shares)[among.evidence]
        level[among] = _level(among.prompts, members, share / profiles)
    return [
        _raised(eraser, {among.evidence: level[among] for among in one}) if one else eraser
        for eraser, one in zip(erasers, kept, strict=True)
    ]


@final
@dataclass(frozen=True, eq=False)
class Stacked:
    """Many requests that act as one.

    Attributes:
        eraser: the gates of all of them; an eraser like any other.
        owners: the request of each gate, in the eraser's order.
    """

    eraser: Eraser
    owners: tuple[str, ...]

    def fired(self, margins: Float[Tensor, "B K"]) -> list[dict[str, float]]:
        """Per prompt, which requests fired and how strongly: largest score less threshold, the strongest first.

        Args:
            margins: those of a `Reading` of the eraser, or `eraser.gate.margins(features)`.
        """
        found: list[dict[str, float]] = []
        for row in margins.tolist():
            fires = sorted(((m, owner) for owner, m in zip(self.owners, row, strict=True) if m >= 0), reverse=True)
            strongest: dict[str, float] = {}
            for margin, owner in fires:
                strongest.setdefault(owner, margin)
            found.append(strongest)
        return found

    def recalibrated(self, unseen: Float[Tensor, "P K"], tail: float) -> "Stacked":
        """The same gates, no threshold lower, that together fire on a share `tail` of kept prompts at most.

        Each request's thresholds were set for itself, so their small shares of wrong refusals add up.

        Args:
            unseen: scores of kept prompts about people that the gates were not fitted on; seen ones score far lower.
            tail: share of such prompts that any of the gates may open on, in (0, 1).

        Raises:
            OptionError, CalibrationError: as `raised_together`.
        """
        gate = _latched(self.eraser)
        raised = gate.with_threshold(raised_together(unseen, gate.threshold, tail))
        return replace(self, eraser=replace(self.eraser, gate=raised))


def stack(requests: Mapping[str, Eraser]) -> Stacked:
    """Requests of one profile as one eraser: gates side by side, in the order given; each decides as it did alone.

    Raises:
        DataError: there is none.
        MismatchError: they were not fitted on one profile, or by a method whose gates cannot be put side by side.
    """
    if not requests:
        raise DataError("there is no request to stack, expected at least one eraser")
    name, first = next(iter(requests.items()))
    gates = [_latched(eraser) for eraser in requests.values()]
    for other, eraser in requests.items():
        if not _alike(first, eraser):
            raise MismatchError(
                f"requests {name} and {other} were fitted on different models, profiles or layers, so they do not "
                "steer alike. Fit both on one profile, or pass their erasers to erased() one by one."
            )
    gate = reduce(lambda one, other: one.beside(other), gates)
    subjects = tuple(subject for eraser in requests.values() for subject in eraser.subjects)
    owners = tuple(name for (name, _), gate in zip(requests.items(), gates, strict=True) for _ in gate.threshold)
    counts = {role: sum(eraser.counts.get(role, 0) for eraser in requests.values()) for role in ("forget", "keep")}
    settings = {name: value for name, value in first.settings.items() if name != FALSE_FIRES}  # that is one request's
    return Stacked(replace(first, gate=gate, subjects=subjects, counts=counts, settings=settings, report=[]), owners)


def _level(prompts: int, members: Sequence[Mapping[int, float]], share: float) -> Tensor:
    """What the gates that were set on the same prompts have to reach at least."""
    largest = dict[int, float]()
    for row, score in (pair for one in members for pair in one.items()):
        largest[row] = max(score, largest.get(row, score))
    # Artifacts from elsewhere may name more rows between them than there are prompts.
    scores = torch.full((max(prompts, len(largest)), 1), torch.finfo(torch.float32).min)
    scores[: len(largest), 0] = torch.tensor(list(largest.values()))
    return thresholds(scores, share)[0]


def _raised(eraser: Eraser, level: Mapping[str, Tensor]) -> Eraser:
    gate = _latched(eraser)
    levels = torch.stack([level.get(evidence, torch.tensor(-torch.inf)) for evidence in gate.shares])
    return replace(eraser, gate=gate.with_threshold(torch.maximum(gate.threshold, levels)))


def _scores(kept: object) -> tuple[int, dict[int, float]] | None:
    """Of one evidence, how many prompts and the scores of some; None where it is not that."""
    match kept:
        case {"prompts": int(prompts), "scores": dict(found), **rest} if (
            not rest and is_whole(prompts, 1) and prompts <= _MOST_PROMPTS and len(found) <= prompts
        ):
            scores = cast("dict[str, object]", found)
            largest = {int(row): x for row, x in scores.items() if _is_row(row) and isinstance(x, float)}
            if len(largest) == len(scores) and all(abs(score) < _LARGEST for score in largest.values()):
                return prompts, largest
        case _:
            pass
    return None


def _is_row(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= len(str(_MOST_PROMPTS)) and int(text) < _MOST_PROMPTS


def _latched(eraser: Eraser) -> LatchedGate:
    gate = eraser.gate
    if gate.latched is not True:
        raise MismatchError(
            f"an eraser of method {eraser.method!r} decides at every layer for itself, so it cannot be stacked. Pass "
            "its eraser to erased() beside the stack."
        )
    return gate


def _alike(one: Eraser, other: Eraser) -> bool:
    return (
        (one.model["digest"], one.family, one.layers, one.strength, one.gate.kind, one.gate.layers)
        == (other.model["digest"], other.family, other.layers, other.strength, other.gate.kind, other.gate.layers)
        and one.trajectory.shape == other.trajectory.shape
        and torch.equal(one.trajectory, other.trajectory)
        and one.reply == other.reply
    )
