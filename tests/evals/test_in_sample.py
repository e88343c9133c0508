"""An eraser says which prompts its fit had, and an evaluation that asks them again says so, also after a restart."""

import json
from dataclasses import replace
from pathlib import Path

import torch

from planning import plan_of
from tiny_llava import WIDTH, question, tiny_llava
from unsee.data.task import prompt_digest
from unsee.erase.eraser import Eraser
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.profile import identity
from unsee.evals.answerers import Local
from unsee.evals.compare import compare
from unsee.evals.compare_tables import sheet
from unsee.evals.evaluate import Condition, evaluate
from unsee.evals.results import read_folder


def test_prompts_of_the_fit_are_in_sample_whatever_their_id(tmp_path: Path) -> None:
    loaded, asked = tiny_llava(), [question(n) for n in range(4)]
    gate = PromptRidgeGate((1, 2), torch.zeros(1, 2, 2, WIDTH), torch.zeros(1), torch.full((1,), 1e4))
    fitted = [prompt_digest(replace(one, id=f"fit/{one.id}")) for one in asked[:2]]
    made = Eraser(
        identity(loaded), "llava", (2,), gate, torch.ones(1, 1, WIDTH), 1.0, "held-ridge", fitted_on=tuple(fitted)
    )
    made.save_pretrained(tmp_path / "e")
    eraser = Eraser.from_pretrained(tmp_path / "e")
    assert eraser.fitted_on == tuple(fitted)
    plan = plan_of("forget", asked, max_new_tokens=2, batch_size=4)
    condition = Condition.of("erased", Local(loaded, [eraser]), frozenset(eraser.fitted_on))
    evaluate([condition], plan, tmp_path / "r")
    rows = [json.loads(line) for line in (tmp_path / "r" / "answers.jsonl").read_text().splitlines()]
    assert [row["in_sample"] for row in rows] == [True, True, False, False]
    assert "In sample" in sheet(compare(read_folder(str(tmp_path / "r")))).caption


def test_a_conversation_is_more_than_its_last_question() -> None:
    one, other = question(1), replace(question(1), earlier=(("hello", "hi"),))
    assert prompt_digest(one) != prompt_digest(other) and len(prompt_digest(one)) == 16
