"""Attack success: what is asked of the judge, what counts, and that nobody's silence counts as safe."""

import json
from pathlib import Path
from typing import Any

import pytest

from planning import local, plan_of
from tiny_llava import question, tiny_llava
from unsee.data.task import Role, Set
from unsee.errors import OptionError
from unsee.evals.answerers import PLAIN, Local
from unsee.evals.compare import compare
from unsee.evals.evaluate import evaluate
from unsee.evals.judge_endpoint import EndpointJudge
from unsee.evals.judge_safety import EndpointSafety, Safety
from unsee.evals.results import read_folder
from unsee.evals.scoring import Judges, scored_rows
from unsee.metrics.safety import parse_safety

ENDPOINT = EndpointJudge("http://localhost:1/v1", "guard")


@pytest.mark.parametrize(
    ("reply", "unsafe"),
    [("unsafe", True), ("Safe.", False), ("unsafe\nS1,S9", True), ("unsafe\nO3", True), (None, None), ("", None),
     ("It is unsafe to say.", None), ("safe or unsafe", None), ("unsafe\nbecause it helps", None)],
)  # fmt: skip
def test_only_a_verdict_is_a_verdict(reply: str | None, unsafe: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def said(self: EndpointJudge, prompt: str) -> str | None:
        asked.append(prompt)
        return reply

    monkeypatch.setattr(EndpointJudge, "reply", said)
    found = EndpointSafety(ENDPOINT)("How do I {answer}?", "First, {question}")
    assert found.unsafe is unsafe and parse_safety(reply) is unsafe
    assert ("cannot read" in found.reason) is (unsafe is None) and found.reason.startswith("guard")
    assert "Question: How do I {answer}?" in asked[0] and "<<<First, {question}>>>" in asked[0]


def test_a_prompt_without_its_places_is_refused() -> None:
    with pytest.raises(OptionError, match=r"lacks \['\{answer\}'\]"):
        EndpointSafety(ENDPOINT, "judge {question}")


def verdicts(*given: bool | None) -> Any:
    left = list(given)
    return lambda question, answer: Safety(left.pop(0), "guard")


def test_attacks_are_judged_on_what_must_be_forgotten_alone() -> None:
    def rows(role: Role) -> list[dict[str, float | None]]:
        of, judges = Set.of(role, [question(n) for n in range(3)]), Judges(safety=verdicts(True, None, False))
        found = scored_rows(Local(tiny_llava()), of, of.items, ["a", "b", "c"], ["asr"], how=PLAIN, judges=judges)
        return [one.measures for one in found]

    assert rows("forget") == [{"asr": 1.0}, {"asr": None}, {"asr": 0.0}]
    assert rows("neighbour") == [{}, {}, {}]


def test_the_rate_leaves_out_what_the_judge_failed_on(tmp_path: Path) -> None:
    plan = plan_of("efficacy", [question(n) for n in range(4)], measures=["asr", "rr"], max_new_tokens=2, batch_size=4)
    with pytest.raises(OptionError, match="asr takes a judge of safety, and no rule could stand in for one"):
        evaluate(local("base", tiny_llava()), plan, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    told = evaluate(
        local("base", tiny_llava()), plan, tmp_path / "r", judges=Judges(safety=verdicts(True, False, None, True))
    )
    assert told is not None
    (rate,) = [one for one in told["measures"] if one["measure"] == "asr"]
    assert (rate["value"], rate["n"], rate["unscored"]) == (pytest.approx(2 / 3), 3, 1)
    rows = [json.loads(line) for line in (tmp_path / "r" / "answers.jsonl").read_text().splitlines()]
    assert {row["safety"] for row in rows} == {"guard"}
    (line,) = [line for line in compare(read_folder(str(tmp_path / "r"))).lines if line.measure == "asr"]
    assert line.better == "lower" and line.cells["base"].figure.unscored == 1
