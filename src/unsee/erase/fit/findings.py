"""One line of a diagnosis: what was checked, what came out, and what to do about it."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Literal

Verdict = Literal["pass", "warn", "fail"]
Finding = dict[str, str]


def finding(check: str, result: str, verdict: Verdict, note: str = "") -> Finding:
    """A finding as artifacts keep it; `note` says what to do where the verdict is not "pass"."""
    return {"check": check, "result": result, "verdict": verdict, "note": note}


def findings_html(title: str, report: Sequence[Mapping[str, str]]) -> str:
    """A title and one row a finding, for notebooks."""
    rows = "".join(
        f"<tr><td>{escape(one['check'])}</td><td>{escape(one['result'])}</td><td>{escape(one['verdict'])}</td></tr>"
        for one in report
    )
    return f"<b>{escape(title)}</b><table><tr><th>check</th><th>result</th><th>verdict</th></tr>{rows}</table>"


def findings_markdown(report: Sequence[Mapping[str, str]]) -> str:
    """One row a finding, for cards."""
    rows = [f"| {one['check']} | {one['result']} | {one['verdict']} |" for one in report]
    return "\n".join(["| check | result | verdict |", "|---|---|---|", *rows])
