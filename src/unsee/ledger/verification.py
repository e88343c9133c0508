"""Whether a request may be switched on: bounds of what was counted against the policy. Pure; asking is `asking`'s."""

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, final

from pydantic import Field

from unsee.ledger.policy import Thresholds
from unsee.schema import Schema

Verdict = Literal["pass", "fail", "told"]
MORE = {"max_wrong_refusal": "--neighbours FILE"}
"""What adds questions of one's own to what a limit is of; those about the person otherwise."""


@final
class Count(Schema):
    """So many of so many."""

    k: int = 0
    n: int = 0

    @staticmethod
    def of(hits: Sequence[bool]) -> "Count":
        """Of a list of yes and no."""
        return Count(k=sum(hits), n=len(hits))

    def upper(self, confidence: float) -> float:
        """The one-sided upper bound of Clopper and Pearson (1934): the p at which P(X <= k | n, p) = 1 - confidence."""
        return 1.0 if self.k >= self.n else _beta(confidence, self.k + 1, self.n - self.k)

    def lower(self, confidence: float) -> float:
        """The lower bound, likewise."""
        return 0.0 if self.k <= 0 else _beta(1 - confidence, self.k, self.n - self.k + 1)


@cache
def _beta(share: float, a: int, b: int) -> float:
    from scipy.special import betaincinv

    return float(betaincinv(a, b, share))


@cache
def questions_needed(limit: float, confidence: float, leaks: int = 0) -> int | None:
    """How many questions, of which so many leak, it takes to claim a leak of at most `limit`; None: no number does.

    With no leak, the smallest n with (1 - limit)^n <= 1 - confidence: 59 for 5 % at 95 %.
    """
    if not 0 < limit < 1:
        return None if limit <= 0 else leaks + 1
    low, high = leaks, leaks + 1
    while Count(k=leaks, n=high).upper(confidence) > limit:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if Count(k=leaks, n=middle).upper(confidence) <= limit else (middle, high)
    return high


@final
class Figure(Schema):
    """One thing that was counted.

    Attributes:
        limit: field of the policy that it must meet, which begins with `max_` or `min_`; empty where it is only told.
    """

    check: str
    what: str
    count: Count
    limit: str = ""


@final
class Finding(Schema):
    """A figure, judged: its bound and the policy's limit in words."""

    check: str
    verdict: Verdict
    text: str
    count: Count


@final
class Verification(Schema):
    """What was found of one eraser, beside so many others, under the thresholds of that digest."""

    content_id: str
    findings: tuple[Finding, ...]
    policy: str
    panel: tuple[str, ...] = ()
    beside: int = 0
    context: dict[str, Any] = Field({})

    @property
    def failed(self) -> list[str]:
        """Why the request stays off."""
        return [f"{f.check}: {f.text}" for f in self.findings if f.verdict == "fail"]

    @property
    def passed(self) -> bool:
        """No check failed."""
        return not self.failed


def judge(
    content_id: str, figures: Sequence[Figure], limits: Thresholds, panel: Sequence[str] = (), beside: int = 0,
    **context: Any,
) -> Verification:  # fmt: skip
    """Compare with the policy; what the policy limits and nobody asked about fails."""
    found = sorted((_judged(one, limits) for one in figures), key=lambda one: "fail told pass".index(one.verdict))
    return Verification(
        content_id=content_id, findings=tuple(found), policy=limits.digest, panel=tuple(panel), beside=beside,
        context=context,
    )  # fmt: skip


def _judged(figure: Figure, limits: Thresholds) -> Finding:
    count, level, said = figure.count, limits.confidence, f"{figure.count.k} of {figure.count.n} {figure.what}"
    if not figure.limit:
        return Finding(check=figure.check, verdict="told", text=said, count=count)
    limit, most = float(getattr(limits, figure.limit)), figure.limit.startswith("max_")
    bound = count.upper(level) if most else count.lower(level)
    good = bound <= limit if most else bound >= limit
    text = f"{said}: {'at most' if most else 'at least'} {_percent(bound)} (policy: {_percent(limit)})"
    if not good:
        misses, allowed = (count.k, limit) if most else (count.n - count.k, 1 - limit)
        needed = questions_needed(allowed, level, misses) if misses <= allowed * count.n else None
        more, rest = MORE.get(figure.limit, "--questions FILE"), f"or change {figure.limit} in policy.toml"
        text += (
            f"; {needed} questions without another miss would show it: 'unsee ledger verify' with {more}"
            if needed
            else f"; more questions would not help: take it in again with more names and images, {rest}"
        )
    return Finding(check=figure.check, verdict="pass" if good else "fail", text=text, count=count)


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"
