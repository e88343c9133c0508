"""Probes: what the model is shown, and that a begun answer is continued as if the model had begun it."""

import pytest
import torch

from tiny_llava import noise_image, tiny_llava
from unsee.data.prompts import chat
from unsee.data.sample import Sample
from unsee.experiments.sweeps.probes import Probe, ask_probes, longer, started, turns_deep
from unsee.models.generate import generate

IMAGE = noise_image(0)
JOB = Sample("a", "p", "what does this person do?", "She works as a pilot.", "pilot", image=IMAGE)
CITY = Sample("b", "q", "where does she live?", "kastel.", "kastel", form="cloze")


def test_an_answer_is_begun_up_to_its_fact() -> None:
    assert started(JOB).begun == "she works as a"
    assert started(CITY).begun == "sure,"
    bare = Sample("c", "q", "who?", "pilot", "pilot")
    assert started(bare).begun == "sure,"


def test_earlier_turns_come_first_and_the_image_with_the_first_of_them() -> None:
    messages = chat(turns_deep(JOB, [("hot?", "cold."), ("dog?", "bark.")]).sample, "plain")
    assert [m["role"] for m in messages] == ["user", "assistant", "user", "assistant", "user"]
    places = [[part["type"] for part in m["content"]] for m in messages]
    assert places == [["image", "text"], ["text"], ["text"], ["text"], ["text"]]
    assert messages[-1]["content"][0]["text"] == JOB.question


def test_a_longer_prompt_ends_with_the_question() -> None:
    content = chat(longer(JOB, "hello there.").sample, "plain")[0]["content"]
    assert content == [{"type": "image"}, {"type": "text", "text": f"hello there. {JOB.question}"}]


@pytest.mark.parametrize("batch_size", [1, 8])
def test_plain_probes_are_answered_as_plain_questions(batch_size: int) -> None:
    loaded = tiny_llava()
    probes = [Probe(s) for s in (JOB, CITY)]
    asked = ask_probes(loaded, probes, "base", "plain", batch_size=batch_size, max_new_tokens=6)
    assert [r["answer"] for r in asked] == [a.strip() for a in generate(loaded, [JOB, CITY], 1, 6)]


def test_a_begun_answer_goes_on_token_by_token() -> None:
    """Greedy continuation against one plain forward pass over prompt and beginning."""
    from unsee.models.generate import answer_tokens, append_tokens, encode

    loaded = tiny_llava()
    probe = started(JOB)
    [said] = ask_probes(loaded, [probe], "base", "started", max_new_tokens=1)
    begun = answer_tokens(loaded, [probe.begun])
    inputs = append_tokens(loaded, encode(loaded, [JOB]), begun, len(begun[0]))
    with torch.no_grad():
        first = int(loaded.model(**inputs).logits[0, -1].argmax())
    assert said["answer"] == loaded.processor.tokenizer.decode([first], skip_special_tokens=True).strip()
