"""ASRU's second stage through trl, on the tiny model with images."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tiny_llava import question, tiny_llava
from trained import refine
from unsee.errors import OptionError
from unsee.methods import grpo
from unsee.methods.curves import by_step
from unsee.methods.errors import RewardError
from unsee.methods.grpo import GrpoSettings, questions, reward_function
from unsee.models.load import load

pytest.importorskip("trl")
pytest.importorskip("peft")
# Their own deprecations, which nobody who runs these tests can act on.
pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning"), pytest.mark.filterwarnings("ignore::UserWarning")]
FORGET = [question(i, "who?", image=i % 2 == 0) for i in range(3)]
KEPT = [question(10 + i, "where is it?", image=i % 2 == 0) for i in range(3)]
SMALL = GrpoSettings(group=2, questions=2, steps=2, longest=6, rate=1e-3)


def test_rows_hold_image_gold_and_side() -> None:
    made = questions(FORGET, KEPT, seed=0)
    rows = {row["place"]: row for row in made}
    assert sorted(rows) == list(range(6))
    shown, plain = rows[0], rows[4]
    assert (len(shown["images"]), len(plain["images"])) == (1, 0)
    assert [part["type"] for part in shown["prompt"][0]["content"]] == ["image", "text"]
    assert shown["images"][0].size == (16, 16)
    assert [row["place"] for row in questions(FORGET, KEPT, seed=1)] != [row["place"] for row in made]


def test_a_prompt_has_every_turn() -> None:
    talk = replace(question(0, "who is it?"), earlier=(("hello.", "hi."), ("what is the capital?", "oslo.")))
    (row, *_) = questions([talk], [question(1)], seed=0).filter(lambda row: row["place"] == 0)
    assert [turn["role"] for turn in row["prompt"]] == ["user", "assistant", "user", "assistant", "user"]
    parts = [part for turn in row["prompt"] for part in turn["content"]]
    assert [part["type"] for part in parts].count("image") == len(row["images"]) == 1
    assert parts[-1]["text"].startswith("who is it?")


def test_half_of_the_questions_are_forgotten_ones_and_no_question_is_left_out() -> None:
    made = questions([*FORGET, *(question(20 + i) for i in range(4))], KEPT[:2], seed=0)
    sides = [row["place"] < 7 for row in made]
    assert (sides.count(True), sides.count(False)) == (7, 7)
    assert {row["place"] for row in made} == set(range(9))
    assert not all(sides[:7]), "the smaller side comes again all along, not at the end"


def test_a_run_logs_rewards_and_answers_and_leaves_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import trl

    runs: list[Any] = []
    train = trl.GRPOTrainer.train
    monkeypatch.setattr(trl.GRPOTrainer, "train", lambda run, **given: runs.append(run) or train(run, **given))
    start = tiny_llava()
    before = {name: value.clone() for name, value in start.model.state_dict().items()}
    result = refine(start, FORGET, KEPT, tmp_path, settings=SMALL, report_to="none", save_every=1)
    said = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert len(said) == 2 * 2 * 2
    assert {line["step"] for line in said} == {0, 1}
    assert all(0 <= line["reward"] <= 1 for line in said)
    curves = [json.loads(line) for line in (tmp_path / "rewards.jsonl").read_text().splitlines()]
    assert len(curves) == 2
    for step, entry in enumerate(curves):
        mean = sum(line["reward"] for line in said if line["step"] == step) / 4
        assert entry["reward"] == pytest.approx(mean, abs=1e-6)
    # What the trainer itself took for the last step's advantages.
    assert [line["advantage"] for line in said[-4:]] == pytest.approx(list(runs[0]._logs["advantages"]), abs=1e-4)
    assert {line["kind"] for line in said} <= {"told", "contextual", "rigid", "other"}
    assert (tmp_path / "curves.png").stat().st_size > 5_000
    again = load(tmp_path, device="cpu")
    assert again.digest == result.digest
    assert set(again.model.state_dict()) == set(before)


def test_a_reward_that_fails_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*args: Any) -> list[float]:
        raise RewardError("the reward of answer 0 is unknown")

    monkeypatch.setattr(grpo, "two_sided", failing)
    with pytest.raises(RewardError, match="answer 0"):
        refine(tiny_llava(), FORGET, KEPT, tmp_path, settings=SMALL, report_to="none")
    assert not (tmp_path / "config.json").exists()


def test_agreement_is_added_to_the_reward(tmp_path: Path) -> None:
    class State:
        global_step = 3

    twins = [question(0, "who?"), question(0, "who?", image=False)]
    messages = [[{"role": "assistant", "content": text}] for text in ("I do not know.", "I do not know.")]
    for settings, worth in ((SMALL, 1.0), (SMALL.changed(agreement=0.5), 1.5)):
        reward = reward_function(twins, KEPT, settings, tmp_path / "log")
        assert reward(messages, place=[0, 1], trainer_state=State) == [worth, worth]
    last = json.loads((tmp_path / "log").read_text().splitlines()[-1])
    assert (last["step"], last["asked"], last["reward"], last["advantage"]) == (3, "who?", 1.5, 0.0)


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    settings = SMALL.changed(steps=3)
    options: dict[str, Any] = {"settings": settings, "report_to": "none", "save_every": 1}
    whole = refine(tiny_llava(), FORGET, KEPT, tmp_path / "whole", **options)
    done = 0

    def stages(name: str, total: int) -> Any:
        del name, total

        def tell(count: int) -> None:
            nonlocal done
            done += count
            if done == 3:
                raise KeyboardInterrupt

        return tell

    with pytest.raises(KeyboardInterrupt):
        refine(tiny_llava(), FORGET, KEPT, tmp_path / "cut", stages=stages, **options)
    resumed = refine(tiny_llava(), FORGET, KEPT, tmp_path / "cut", **options)
    assert resumed.digest == whole.digest
    assert (tmp_path / "cut" / "answers.jsonl").read_text() == (tmp_path / "whole" / "answers.jsonl").read_text()


def test_curves_are_what_the_log_says() -> None:
    """By hand: step 0 has a leak and a refusal of the forgotten, step 1 a boundary group without spread."""
    lines = [
        {"step": 0, "forget": True, "kind": "told", "reward": 0.0, "advantage": -0.7},
        {"step": 0, "forget": True, "kind": "rigid", "reward": 1.0, "advantage": 0.7},
        {"step": 1, "forget": False, "kind": "told", "reward": 1.0, "advantage": 0.0},
    ]
    found = by_step(lines)
    assert found["forgotten"][0] == 0.5 and np.isnan(found["forgotten"][1])
    assert (found["told"][0], found["rigid"][0], found["contextual"][0]) == (0.5, 0.5, 0.0)
    assert (found["boundary"][1], found["even"].tolist()) == (1.0, [0.0, 1.0])


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(OptionError, match="group is 1, expected: greater than or equal to 2"):
        GrpoSettings(group=1)
    with pytest.raises(OptionError, match="steps is 0"):
        GrpoSettings(steps=0)
    with pytest.raises(OptionError, match="favours is 'kind', expected: 'any', 'contextual' or 'rigid'"):
        GrpoSettings(**{"favours": "kind"})
    assert torch.is_grad_enabled()
