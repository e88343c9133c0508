"""Which reply to take: each is tried with the gate held open, in the operator's order, on every group of prompts.

A group is a modality or a form of prompt; a reply that holds on average and fails in one of them is not taken.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, final

from pydantic import Field

from unsee.data.sample import Sample
from unsee.erase.detectors import is_fluent, is_refusal, leaks
from unsee.erase.eraser import Eraser
from unsee.erase.fit.findings import Finding, finding
from unsee.erase.steer.hooks import erased
from unsee.errors import CalibrationError
from unsee.models.generate import generate
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent
from unsee.schema import Schema

Share = Annotated[float, Field(ge=0, le=1)]


@final
class Acceptance(Schema):
    """What a reply has to reach in every group of prompts.

    Attributes:
        refused: least share of answers that are refusals.
        fluent: least share of fluent answers.
        leaked: largest share of answers that hold the fact.
        band: coefficients in a row, of those tried, that must all pass; one that passes alone is luck.
        tokens: length of an answer; a leak may come late.
        ladder: multiples of the fitted coefficient that are tried, ascending.
        prompts: of a group that are asked, at most.
        batch_size: prompts per forward pass.
    """

    refused: Share = 0.95
    fluent: Share = 0.95
    leaked: Share = 0.02
    band: Annotated[int, Field(ge=1)] = 2
    tokens: Annotated[int, Field(ge=1)] = 40
    ladder: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (0.7, 1.0, 1.4)
    prompts: Annotated[int, Field(ge=1)] = 32
    batch_size: Annotated[int, Field(ge=1)] = 64


@final
@dataclass(frozen=True, eq=False)
class Candidate:
    """One way to reply.

    Attributes:
        name: in the report.
        erasers: at each coefficient, ascending; one where there is none. Gates that fire on every prompt.
        words: the whole answer, where the operator has fixed it: then it is only looked at for facts.
    """

    name: str
    erasers: tuple[Eraser, ...]
    words: str | None = None


@final
@dataclass(frozen=True)
class GroupTrial:
    """Answers of one reply, at one coefficient, to one group of prompts; shares in [0, 1].

    `fixed` are the operator's own words, of which nobody asks whether they decline.
    """

    reply: str
    coefficient: float
    group: str
    prompts: int
    refused: float
    fluent: float
    leaked: float
    fixed: bool = False


@final
@dataclass(frozen=True, eq=False)
class ReplyChoice:
    """What was tried and what was taken.

    Attributes:
        chosen: the eraser of the reply that was taken, with the gate that fires always; None if none passed.
        name: of the candidate.
        band: smallest and largest coefficient of those in a row that pass.
        trials: everything that was tried.
        report: one finding per candidate.
    """

    chosen: Eraser | None
    name: str | None
    band: tuple[float, float] | None
    trials: tuple[GroupTrial, ...]
    report: tuple[Finding, ...]

    def as_json(self) -> dict[str, Any]:
        """For artifacts and files."""
        return {
            "reply": self.name,
            "band": self.band,
            "trials": [asdict(trial) for trial in self.trials],
            "report": list(self.report),
        }

    def require(self, report: Path | None = None) -> Eraser:
        """The eraser that was taken; the report is written in either case.

        Args:
            report: a JSON file.

        Raises:
            CalibrationError: no reply passed; says which check failed where, and what to do.
        """
        if report is not None:
            report.parent.mkdir(parents=True, exist_ok=True)
            report.write_text(json.dumps(self.as_json(), indent=1) + "\n", encoding="utf-8")
        if self.chosen is None:
            tried = "; ".join(f"{one['check']}: {one['result']}" for one in self.report)
            raise CalibrationError(
                f"no reply refuses fluently and keeps the fact in every group of prompts. {tried}. "
                f"Next: {self._advice()}."
            )
        return self.chosen

    def _advice(self) -> str:
        if any(one.fixed for one in self.trials):
            return "choose words that do not say what is to be forgotten"
        return "add 'canned' to the order of replies, which depends on no word of the model"


def own_gold(sample: Sample) -> Sequence[str]:
    """Every accepted gold of a sample, where it has one."""
    return sample.accepted


Golds = Callable[[Sample], Sequence[str]]


def choose_reply(
    loaded: LoadedModel,
    candidates: Sequence[Candidate],
    groups: Mapping[str, Sequence[Sample]],
    acceptance: Acceptance | None = None,
    golds: Golds = own_gold,
    stages: Stages = silent,
) -> ReplyChoice:
    """The first candidate that passes in every group; of its coefficients the middle of the longest band.

    Args:
        loaded: the model.
        candidates: in the operator's order.
        groups: calibration prompts by modality and form.
        acceptance: defaults if None.
        golds: every wording that gives the fact of a sample away; none where there is no fact to keep.
        stages: progress display.
    """
    acceptance = acceptance or Acceptance()
    trials: list[GroupTrial] = []
    report: list[Finding] = []
    for candidate in candidates:
        tell = stages(candidate.name, len(candidate.erasers) * sum(map(len, groups.values())))
        here = [
            [
                _tried(loaded, candidate, eraser, name, samples, acceptance, golds, tell)
                for name, samples in groups.items()
            ]
            for eraser in candidate.erasers
        ]
        trials += [trial for row in here for trial in row]
        start, length = _longest([all(_failing(t, acceptance) is None for t in row) for row in here])
        enough = length >= min(acceptance.band, len(candidate.erasers))
        report.append(_finding(candidate, here, start, length, enough, acceptance))
        if enough:
            ends = candidate.erasers[start].strength, candidate.erasers[start + length - 1].strength
            middle = candidate.erasers[start + (length - 1) // 2]
            return ReplyChoice(middle, candidate.name, ends, tuple(trials), tuple(report))
    return ReplyChoice(None, None, None, tuple(trials), tuple(report))


def at_coefficients(eraser: Eraser, coefficients: Sequence[float]) -> tuple[Eraser, ...]:
    """The same request at each lambda."""
    return tuple(replace(eraser, strength=coefficient) for coefficient in coefficients)


def _tried(
    loaded: LoadedModel,
    candidate: Candidate,
    eraser: Eraser,
    group: str,
    samples: Sequence[Sample],
    acceptance: Acceptance,
    golds: Golds,
    tell: Any,
) -> GroupTrial:
    if candidate.words is None:
        with erased(loaded, eraser):
            answers = generate(loaded, samples, acceptance.batch_size, max_new_tokens=acceptance.tokens)
    else:
        answers = [candidate.words] * len(samples)
    tell(len(samples))
    facts = [list(golds(sample)) for sample in samples]
    leaked = [bool(f) and leaks(a, f, s.question) for s, f, a in zip(samples, facts, answers, strict=True)]
    count = len(samples)
    return GroupTrial(
        candidate.name,
        eraser.strength,
        group,
        count,
        refused=sum(map(is_refusal, answers)) / count,
        fluent=sum(map(is_fluent, answers)) / count,
        leaked=sum(leaked) / count,
        fixed=candidate.words is not None,
    )


def _failing(trial: GroupTrial, acceptance: Acceptance) -> str | None:
    """The first criterion that a trial misses."""
    if not trial.fixed and trial.fluent < acceptance.fluent:
        return f"fluent {trial.fluent:.0%} < {acceptance.fluent:.0%}"
    if not trial.fixed and trial.refused < acceptance.refused:
        return f"refused {trial.refused:.0%} < {acceptance.refused:.0%}"
    if trial.leaked > acceptance.leaked:
        return f"leaked {trial.leaked:.0%} > {acceptance.leaked:.0%}"
    return None


def _longest(passing: Sequence[bool]) -> tuple[int, int]:
    """Start and length of the longest run; the first of equals."""
    best, start = (0, 0), 0
    for place, passes in enumerate([*passing, False]):
        if not passes:
            best, start = max(best, (start, place - start), key=lambda run: run[1]), place + 1
    return best


def _finding(
    candidate: Candidate, rows: list[list[GroupTrial]], start: int, length: int, enough: bool, acceptance: Acceptance
) -> Finding:
    if enough:
        ends = candidate.erasers[start].strength, candidate.erasers[start + length - 1].strength
        return finding(f"reply {candidate.name}", f"lambda {ends[0]:g} to {ends[1]:g} passes in every group", "pass")
    # The coefficient that misses in the fewest groups, then by least, says most about what is wrong.
    closest = min(
        rows, key=lambda row: (sum(_failing(t, acceptance) is not None for t in row), -min(t.refused for t in row))
    )
    missed = [f"{t.group}: {why}" for t in closest if (why := _failing(t, acceptance)) is not None]
    narrow = f"only {length} coefficient(s) in a row pass" if length else ", ".join(missed)
    at = f"lambda {closest[0].coefficient:g}: " if len(rows) > 1 else ""
    return finding(f"reply {candidate.name}", at + narrow, "fail", "the next reply in the order is tried")
