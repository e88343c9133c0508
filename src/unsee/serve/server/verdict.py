"""Whether an answer was steered as its set requires, from what the engine says about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from unsee.errors import SteeringError
from unsee.serve.engine.fired import as_required
from unsee.serve.server.admission import Admitted


@final
@dataclass(frozen=True)
class Verdict:
    """About one answer, or about several to one prompt.

    Attributes:
        digest: of the set that decided.
        erasers: in that set.
        fired: content ids of those that fired.
        margin: largest score less threshold, or None where there is no eraser.
        steered: positions steered so far, over layers.
        forced: tokens fixed so far.
        reply: how it was answered: steer, prefix, canned; none where no gate fired.
    """

    digest: str
    erasers: int
    fired: frozenset[str]
    margin: float | None
    steered: int
    forced: int
    reply: str

    def headers(self, whole: bool, gates: bool) -> dict[str, str]:
        """For the client; what its gates read only if it may know, and positions only once the answer is whole."""
        held = {"x-unsee-set": self.digest, "x-unsee-erasers": str(self.erasers)}
        if not gates:
            return held
        margin = "" if self.margin is None else f"{self.margin:.4f}"
        read = {"x-unsee-fired": str(len(self.fired)), "x-unsee-margin": margin}
        return held | read | ({"x-unsee-positions": str(self.steered + self.forced)} if whole else {})


def require_sound(reports: Sequence[Mapping[str, Any]], admitted: Admitted, answers: int | None) -> None:
    """Judge the reports of one ticket.

    Args:
        reports: of the engine, one an answer.
        admitted: what was asked.
        answers: how many were asked for, once they are whole; None while they are not.

    Raises:
        SteeringError: there is none, or another number than was asked for, one is about another set, a gate has not
            been read or read no number, or positions or fixed tokens are missing.
    """
    sound = [as_required(report) and report["set"] == admitted.set_name for report in reports]
    read = [report["highest"] is not None or not admitted.erasers for report in reports]
    if all(sound) and all(read) and (len(sound) == answers if answers is not None else sound):
        return
    unreadable = sum(report["unreadable"] for report in reports)
    if unreadable:
        raise SteeringError(
            f"gates read no number for {unreadable} of {len(reports)} answers of a request, so nothing says whether "
            "they fire. Nothing is answered. Look for a broken image or broken weights."
        )
    decided = sum(report["decided"] for report in reports)
    steered, forced, required, due = (sum(r[key] for r in reports) for key in ("steered", "forced", "required", "due"))
    raise SteeringError(
        f"{decided} of {len(reports)} reports of a request were decided on, expected {answers or 'some'}; steered "
        f"{steered} positions where {required} are required, and fixed {forced} tokens of {due}; {sum(sound)} are as "
        f"their set requires, {sum(read)} have a gate's value where {admitted.erasers} eraser(s) are in force. "
        "Nothing is answered: hooks are missing, or the engine has lost its count."
    )


def verdict_of(reports: Sequence[Mapping[str, Any]], admitted: Admitted, answers: int | None) -> Verdict:
    """What sound reports say together; as `require_sound`."""
    require_sound(reports, admitted, answers)
    highest = max((report["highest"] for report in reports if report["highest"] is not None), default=None)
    steered, forced = (sum(report[key] for report in reports) for key in ("steered", "forced"))
    fired = frozenset(content_id for report in reports for content_id in report["fired"])
    reply = next((report["reply"] for report in reports if report["reply"] is not None), "none")
    return Verdict(admitted.digest, admitted.erasers, fired, highest, steered, forced, reply)
