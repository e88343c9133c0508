"""Requests in force together as one eraser: one product for all gates, one direction, and who of them fired.

A list of erasers reads every prompt once per request, a stack once for all. That two requests know a prompt steers it
no harder. Small shares of wrong refusals add up either way, so thresholds are set for all in force together. What that
needs of each request is stored with it, and is little: the kept prompts that it opens on by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, NamedTuple, cast, final

import torch

from unsee.erase.eraser import Eraser
from unsee.erase.fit.calibration import raised_together, thresholds
from unsee.erase.gates.base import LatchedGate
from unsee.erase.strict_json import is_whole
from unsee.errors import ArtifactError, DataError, MismatchError
from unsee.shapes import Float, Tensor

SHARE = 0.02
"""Of the prompts about kept people, those that all in force together may wrongly open on; one alone may on half."""
FALSE_FIRES = "false_fires"
"""The setting of an eraser that `false_fires` makes."""
_MOST_PROMPTS, _LARGEST = 10_000_000, 1e6


class Among(NamedTuple):
    """The kept prompts that a threshold was set on.

    Attributes:
        profile: fingerprint of the profile whose prompts they are.
        prompts: how many there are.
    """

    profile: str
    prompts: int


@final
@dataclass(frozen=True)
class FalseFires:
    """The kept prompts that a request opens on by itself, though its gates were not fitted on them.

    Attributes:
        among: the prompts that these are some of.
        scores: the largest score of a gate, by number of the prompt.
    """

    among: Among
    scores: Mapping[int, float]


def false_fires(unseen: Float[Tensor, "P K"], threshold: Float[Tensor, " K"], profile: Tensor) -> dict[str, Any]:
    """What a fit keeps for `together`, to be added to the settings of its eraser.

    In force together no gate has a lower threshold than alone, so a prompt that none opens on alone cannot matter: what
    is kept is a share `tail` of all, a few numbers.

    Args:
        unseen: scores of kept prompts by gates that were not fitted on them, in the profile's order.
        threshold: of the gates, as set for this request alone.
        profile: its fingerprint.
    """
    scores = unseen.float()
    rows = (scores >= threshold).any(1).nonzero().flatten().tolist()
    largest = scores.max(1).values
    kept = {str(row): float(largest[row]) for row in rows}
    return {FALSE_FIRES: {"profile": bytes(profile.tolist()).hex(), "prompts": len(unseen), "scores": kept}}


def false_fires_of(eraser: Eraser) -> FalseFires | None:
    """What `false_fires` kept, or None: of a published gate, or of a fit by an unsee that did not keep it.

    Raises:
        ArtifactError: it is not as `false_fires` makes it.
    """
    kept: object = eraser.settings.get(FALSE_FIRES)
    if kept is None or not eraser.gate.latched:
        return None
    match kept:  # the reader of artifacts lets any JSON through
        case {"profile": str(profile), "prompts": int(prompts), "scores": dict(found)} if (
            is_whole(prompts, 1) and prompts <= _MOST_PROMPTS
        ):
            scores = cast("dict[str, object]", found)
            largest = {int(row): x for row, x in scores.items() if _is_row(row, prompts) and isinstance(x, float)}
            if len(largest) == len(scores) and all(abs(score) < _LARGEST for score in largest.values()):
                return FalseFires(Among(profile, prompts), largest)
        case _:
            pass
    raise ArtifactError(
        f"settings.{FALSE_FIRES} of the eraser is {str(kept)!r:.80}, expected the fingerprint of a profile, a number "
        "of prompts, and the scores of some of them. Fit the request again."
    )


def together(erasers: Sequence[Eraser], share: float = SHARE) -> list[Eraser]:
    """The same requests, with thresholds at which all of them together open on a share of kept prompts at most.

    `max(own_k, level)`, and `level` as in `raised_together`, of the scores at which a gate opens alone: the (1 - share)
    quantile over prompts of the largest. The result depends on the set and on nothing before it, so taking one back
    gives bit for bit what the others had. Requests of several profiles were calibrated on different prompts; each
    profile has an equal part of the share.

    A request of which nothing was kept (`false_fires_of`) is returned as it is, and what it refuses wrongly adds up.

    Args:
        erasers: all that are in force.
        share: of the prompts about kept people, in (0, 1).

    Raises:
        OptionError: the share is out of range.
        ArtifactError: as `false_fires_of`.
    """
    kept = [false_fires_of(eraser) for eraser in erasers]
    if len(kept) == 1:  # alone, it has the threshold that its fit chose and its verification measured
        return list(erasers)
    groups: dict[Among, list[FalseFires]] = {}
    for one in kept:
        if one is not None:
            groups.setdefault(one.among, []).append(one)
    level = {among: _level(among, members, share / len(groups)) for among, members in groups.items()}
    return [
        eraser if one is None else _raised(eraser, level[one.among]) for eraser, one in zip(erasers, kept, strict=True)
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


def _level(among: Among, members: Sequence[FalseFires], share: float) -> Tensor:
    """What the gates that were set on the same prompts have to reach at least."""
    scores = torch.full((among.prompts, 1), torch.finfo(torch.float32).min)
    for one in members:
        rows = torch.tensor(list(one.scores), dtype=torch.int64)
        scores[rows, 0] = torch.maximum(scores[rows, 0], torch.tensor(list(one.scores.values())))
    return thresholds(scores, share)


def _raised(eraser: Eraser, threshold: Tensor) -> Eraser:
    gate = _latched(eraser)
    return replace(eraser, gate=gate.with_threshold(torch.maximum(gate.threshold, threshold)))


def _is_row(text: str, prompts: int) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= len(str(_MOST_PROMPTS)) and int(text) < prompts


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
