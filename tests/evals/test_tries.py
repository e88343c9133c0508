"""Answers drawn k times, and engines: who answers stands in every row, and k tries are k tries."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tiny_llava import question, tiny_llava
from unsee.data.benchmarks.items import Item, Sets
from unsee.data.sample import Sample
from unsee.evals.answerer import Draw, Library
from unsee.evals.compare import compare
from unsee.evals.evaluate import evaluate
from unsee.evals.plan import Plan, planned
from unsee.evals.prompting import Asking
from unsee.evals.results import read_result
from unsee.evals.run import answers_of
from unsee.metrics.leakage import leak_at_k

CHOICE = replace(question(9), form="classification", answer="A", options={"A": "ann lee", "B": "bo"})


@dataclass
class Scripted:
    """Answers greedily with nothing, and when drawn by the script, question by question."""

    script: Mapping[str, Sequence[str]]
    name: str = "scripted"
    options: Mapping[str, Any] = field(default_factory=lambda: {"seats": 3})
    versions: Mapping[str, str] = field(default_factory=lambda: {"scripted": "1.2"})
    seen: list[tuple[int, Draw | None]] = field(default_factory=list)

    def answers(
        self, asks: Asking, prompts: Sequence[Sample], max_new_tokens: int, draw: Draw | None = None
    ) -> list[str]:
        turn = len({one for _, one in self.seen if one is not None})
        self.seen.append((len(prompts), draw))
        return ["no." if draw is None else self.script[one.id][turn] for one in prompts]


def plan(*measures: str, **options: Any) -> Plan:
    items = {"forget_heldout": [question(1), question(2), CHOICE], "retain_unseen": [question(3)]}
    sets = Sets("", "honest", {name: [Item(sample) for sample in samples] for name, samples in items.items()})
    return planned("here", sets, measures=measures, max_new_tokens=4, **options)


def rows_in(folder: Path) -> dict[str, dict[str, Any]]:
    lines = (folder / "answers.jsonl").read_text().splitlines()
    return {row["id"]: row for row in map(json.loads, lines)}


def test_any_of_k_tries_that_leaks_is_a_leak(tmp_path: Path) -> None:
    engine = Scripted({"q1": ["hm", "it is ann lee", "no"], "q2": ["bo", "cy", "dan"]})
    told = evaluate(tiny_llava(), plan("leak-at-k", "leak", tries=3), tmp_path / "r", "base", engine=engine)
    rows = rows_in(tmp_path / "r")
    assert rows["q1"]["tries"] == ["hm", "it is ann lee", "no"], "raw, so that every other k can be had from them"
    assert [rows[id]["measures"].get("leak-at-k") for id in ("q1", "q2", "q9", "q3")] == [1.0, 0.0, None, None]
    assert rows["q1"]["measures"]["leak"] == 0.0, "greedily it said nothing"
    assert "tries" not in rows["q9"] and "tries" not in rows["q3"], "letters are guessed, and what is kept may be said"
    draws = [draw for _, draw in engine.seen if draw is not None]
    assert [draw.temperature for draw in draws] == [1.0] * 3 and len({draw.seed for draw in draws}) == 3
    assert told is not None
    (rate,) = [one for one in told["measures"] if (one["measure"], one["asked"]) == ("leak-at-k", "both")]
    assert (rate["split"], rate["value"], rate["n"]) == ("forget_heldout", 0.5, 2)
    shown = compare([read_result(str(tmp_path / "r"))])
    assert [line.better for line in shown.lines if line.measure == "leak-at-k"] == ["lower"]


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_leak_at_k_is_the_share_of_choices_of_k_that_leak(k: int) -> None:
    drawn = [True, False, False, True, False]
    every = list(combinations(drawn, k))
    assert leak_at_k(drawn, k) == pytest.approx(sum(map(any, every)) / len(every))


def test_rows_and_settings_say_who_answered(tmp_path: Path) -> None:
    evaluate(tiny_llava(), plan("leak"), tmp_path / "s", "base", engine=Scripted({}))
    evaluate(tiny_llava(), plan("leak"), tmp_path / "t", "base")
    scripted, plain = rows_in(tmp_path / "s"), rows_in(tmp_path / "t")
    assert {row["engine"] for row in scripted.values()} == {"scripted"}
    assert scripted["q1"]["versions"]["scripted"] == "1.2" and "scripted" not in plain["q1"]["versions"]
    assert scripted["q1"].keys() == plain["q1"].keys(), "one schema, whoever answers"
    settings = json.loads((tmp_path / "s" / "settings.json").read_text())
    assert (settings["engine"], settings["engine_options"]) == ("scripted", {"seats": 3})


def test_draws_come_from_the_whole_distribution_and_depend_on_their_seed_alone() -> None:
    loaded = tiny_llava()
    loaded.model.generation_config.top_k, loaded.model.generation_config.temperature = 1, 0.01
    asks, asked = Asking(loaded, "plain", None), [question(1)]

    def said(seed: int, temperature: float | None) -> list[str]:
        return Library().answers(asks, asked, 8, Draw(seed, temperature))

    greedy = answers_of(loaded, asked, max_new_tokens=8)
    assert Library().answers(asks, asked, 8) == greedy
    assert said(1, None) == greedy, "as the model's own settings say"
    whole = [said(seed, 1.0) for seed in range(4)]
    assert said(2, 1.0) == whole[2] and len({text for (text,) in whole}) > 1, "its settings do not cut these"
