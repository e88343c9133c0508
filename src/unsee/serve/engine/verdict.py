"""Whether an answer was steered as its set requires, from what the engine says about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from unsee.errors import SteeringError
from unsee.serve.server.admission import Admitted


@final
@dataclass(frozen=True)
class Verdict:
    """About one answer, or about several to one prompt.

    Attributes:
        digest: of the set that decided.
        erasers: in that set.
        fired: how many of them fired.
        margin: largest score less threshold, or None where there is no eraser.
        steered: positions steered so far, over layers.
        required: positions that had to be.
    """

    digest: str
    erasers: int
    fired: int
    margin: float | None
    steered: int
    required: int

    def headers(self, whole: bool) -> dict[str, str]:
        """For the client; positions only once the answer is whole."""
        told = {
            "x-unsee-set": self.digest,
            "x-unsee-erasers": str(self.erasers),
            "x-unsee-fired": str(self.fired),
            "x-unsee-margin": "" if self.margin is None else f"{self.margin:.4f}",
        }
        return told | ({"x-unsee-positions": str(self.steered)} if whole else {})


def verdict_of(reports: Sequence[Mapping[str, Any]], admitted: Admitted, final: bool) -> Verdict:
    """Judge the reports of one ticket.

    Raises:
        SteeringError: there is none, one is about another set, a gate has not been read or read no number, or positions
            are missing.
    """
    unreadable = sum(report["unreadable"] for report in reports)
    if unreadable:
        raise SteeringError(
            f"gates read no number for {unreadable} of {len(reports)} answers of a request, so nothing says whether "
            "they fire. Nothing is answered. Look for a broken image or broken weights."
        )
    decided = [report for report in reports if report["decided"]]
    if not decided or (final and len(decided) < len(reports)):
        raise SteeringError(
            f"{len(decided)} of {len(reports)} answers of a request were decided on. Nothing is answered: hooks are "
            "missing, or the engine has lost its count."
        )
    sets = {report["set"] for report in reports}
    steered, required = (sum(report[key] for report in reports) for key in ("steered", "required"))
    if sets != {admitted.set_name} or steered != required:
        raise SteeringError(
            f"steered {steered} positions where {required} are required, under {len(sets)} set(s). Nothing is answered."
        )
    margins = [report["highest"] for report in decided if report["highest"] is not None]
    if admitted.erasers and len(margins) < len(decided):
        raise SteeringError(
            f"{len(decided) - len(margins)} answers have no gate value although {admitted.erasers} eraser(s) are in "
            "force. Nothing is answered."
        )
    fired = {content_id for report in decided for content_id in report["fired"]}
    return Verdict(admitted.digest, admitted.erasers, len(fired), max(margins, default=None), steered, required)
