"""Judging answers and reporting what erasure did and did not do.

`report` is imported by its own name (`unsee.evals.report`), because only it needs jinja2, matplotlib and rich.
"""

from unsee.evals.stats import Row, bootstrap_ci, summarise
from unsee.metrics.detectors import is_fluent, is_refusal, leaks
from unsee.metrics.verdicts import Verdict, first_letter, rouge_l, score

__all__ = [
    "Row",
    "Verdict",
    "bootstrap_ci",
    "first_letter",
    "is_fluent",
    "is_refusal",
    "leaks",
    "rouge_l",
    "score",
    "summarise",
]
