"""Whether a request may be switched on: bounds of what was counted against the policy. Pure; asking is `asking`'s."""

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, final

from pydantic import Field, field_validator

from unsee.ledger.policy import Thresholds
from unsee.schema import Schema

Verdict = Literal["fail", "told", "pass"]
MORE = {"max_wrong_refusal": "--neighbours FILE"}
"""What adds questions of one's own to what a limit is of; those about the person otherwise."""


@final
class Count(Schema):
    """So many of so many."""

    k: int = 0
    n: int = 0

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

    The draws among which one leak more has come with that confidence, at a leak of `limit` (negative binomial): 59 for
    5 % at 95 % without a leak, the smallest n with (1 - limit)^n <= 5 %.
    """
    from scipy.stats import nbinom

    return leaks + 1 + int(nbinom.ppf(confidence, leaks + 1, limit)) if limit > 0 else None


@final
class Finding(Schema):
    """One thing that was counted, and whether it meets its limit.

    Attributes:
        text: the count, its bound and the policy's limit in words.
    """

    check: str
    verdict: Verdict
    text: str
    count: Count

    @staticmethod
    def of(check: str, what: str, hits: Sequence[bool] | Count, limits: Thresholds, limit: str = "") -> "Finding":
        """Judge a count by a field of the policy that begins with `max_` or `min_`; without one it is only told.

        What the policy limits and nobody asked about fails.
        """
        count = hits if isinstance(hits, Count) else Count(k=sum(hits), n=len(hits))
        text, verdict = f"{count.k} of {count.n} {what}", "told"
        if limit:
            most, wanted, level = limit.startswith("max_"), float(getattr(limits, limit)), limits.confidence
            bound = count.upper(level) if most else count.lower(level)
            verdict = "pass" if (bound <= wanted if most else bound >= wanted) else "fail"
            text += f": {'at most' if most else 'at least'} {_percent(bound)} (policy: {_percent(wanted)})"
            if verdict == "fail":
                text += _next(limit, *((count.k, wanted) if most else (count.n - count.k, 1 - wanted)), count.n, level)
        return Finding(check=check, verdict=verdict, text=text, count=count)


def _next(limit: str, misses: int, allowed: float, asked: int, level: float) -> str:
    """What to do about a limit that was not met."""
    needed = questions_needed(allowed, level, misses) if misses <= allowed * asked else None
    if needed is not None:
        more = MORE.get(limit, "--questions FILE")
        return f"; {needed} questions without another miss would show it: 'unsee ledger verify' with {more}"
    rest = f"or change {limit} in policy.toml"
    return f"; more questions would not help: take it in again with more names and images, {rest}"


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"


@final
class Verification(Schema):
    """What was found of one eraser beside so many others, under thresholds of that digest; what failed is first."""

    content_id: str
    findings: tuple[Finding, ...]
    policy: str
    panel: tuple[str, ...] = ()
    beside: int = 0
    context: dict[str, Any] = Field({})

    @field_validator("findings")
    @classmethod
    def _sorted(cls, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        return tuple(sorted(findings, key=lambda one: ("fail", "told", "pass").index(one.verdict)))

    @property
    def failed(self) -> list[str]:
        """Why the request stays off."""
        return [f"{f.check}: {f.text}" for f in self.findings if f.verdict == "fail"]

    @property
    def passed(self) -> bool:
        """No check failed."""
        return not self.failed
