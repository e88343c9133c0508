"""One line of a diagnosis: what was checked, what came out, and what to do about it."""

from typing import Literal

Verdict = Literal["pass", "warn", "fail"]
Finding = dict[str, str]


def finding(check: str, result: str, verdict: Verdict, note: str = "") -> Finding:
    """A finding as artifacts keep it; `note` says what to do where the verdict is not "pass"."""
    return {"check": check, "result": result, "verdict": verdict, "note": note}
