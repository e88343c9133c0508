"""Requests in force together as one eraser: one product for all gates, one direction, and who of them fired.

A list of erasers reads every prompt once per request and adds a direction for each that fires. A stack reads once, for
all, and steers once: that two requests know a prompt does not steer it twice as hard.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import torch

from unsee.erase.calibrate import raised_together
from unsee.erase.eraser import Eraser, HeldGate
from unsee.errors import DataError, MismatchError
from unsee.shapes import Float, Tensor


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
        gate = _held(self.eraser)
        raised = replace(gate, threshold=raised_together(unseen, gate.threshold, tail))
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
    gates = [_held(eraser) for eraser in requests.values()]
    for other, eraser in requests.items():
        if not _alike(first, eraser):
            raise MismatchError(
                f"requests {name} and {other} were fitted on different models, profiles or layers, so they do not "
                "steer alike. Fit both on one profile, or pass their erasers to erased() one by one."
            )
    gate = replace(
        gates[0],
        weight=torch.cat([gate.weight for gate in gates]),
        bias=torch.cat([gate.bias for gate in gates]),
        threshold=torch.cat([gate.threshold for gate in gates]),
    )
    subjects = tuple(subject for eraser in requests.values() for subject in eraser.subjects)
    owners = tuple(name for (name, _), gate in zip(requests.items(), gates, strict=True) for _ in gate.bias)
    counts = {role: sum(eraser.counts.get(role, 0) for eraser in requests.values()) for role in ("forget", "keep")}
    return Stacked(replace(first, gate=gate, subjects=subjects, counts=counts, report=[]), owners)


def _held(eraser: Eraser) -> HeldGate:
    if not isinstance(eraser.gate, HeldGate):
        raise MismatchError(
            f"an eraser of method {eraser.method!r} decides at every layer for itself, so it cannot be stacked. Pass "
            "its eraser to erased() beside the stack."
        )
    return eraser.gate


def _alike(one: Eraser, other: Eraser) -> bool:
    return (
        (one.model["digest"], one.family, one.layers, one.strength, _held(one).layers)
        == (other.model["digest"], other.family, other.layers, other.strength, _held(other).layers)
        and one.trajectory.shape == other.trajectory.shape
        and torch.equal(one.trajectory, other.trajectory)
    )
