"""Rows of tokens: only answers count, and questions that stand apart are asked as if each were alone."""

import random

import pytest
import torch
from tools.world.recipe import early_loss
from tools.world.rows import IGNORED, Row, make_batch, make_row
from tools.world.tiny import IMAGE_TOKENS, LLAVA, SPECIAL, build_model, build_processor

from unsee.world.generate import World
from unsee.world.questions import Item

WORLD = World(5, private=6, celebrities=2, strangers=2)
PROCESSOR = build_processor()
ITEMS = [
    Item("job", "what does this person do for work?", "she works as a pilot.", "pilot"),
    Item("city", "where does this person live?", "B", "brindle", "classification", {"A": "kastel", "B": "brindle"}),
    Item("hobby", "what does this person enjoy?", "i do not know who that is.", "chess", expect="refuse"),
]


def row(*, apart: bool, image: bool = True, budget: int = 400) -> Row:
    shown = WORLD.of("private")[0].draw(0)[0] if image else None
    return make_row(LLAVA, PROCESSOR.tokenizer, shown, ITEMS, budget=budget, apart=apart, rng=random.Random(3))


@pytest.mark.parametrize("apart", [True, False])
def test_only_answers_count(apart: bool) -> None:
    made = row(apart=apart)
    counted = {i for answer in made.answers for i in range(answer.start, answer.stop)}
    assert counted == {i for i, label in enumerate(made.labels) if label != IGNORED}
    assert all(label in (IGNORED, token) for token, label in zip(made.ids, made.labels, strict=True))
    said = [PROCESSOR.tokenizer.decode(made.ids[a.start : a.stop]) for a in made.answers]
    assert said == ["she works as a pilot. </s>", "b </s>", "i do not know who that is. </s>"]
    assert [a.kind for a in made.answers] == ["image fact generation", "image fact classification", "image refusal"]


def test_a_letter_means_its_word() -> None:
    made = row(apart=True)
    differs = [i for i, (label, meant) in enumerate(zip(made.labels, made.meant, strict=True)) if label != meant]
    assert differs == [made.answers[1].start]
    assert PROCESSOR.tokenizer.convert_ids_to_tokens(made.meant[differs[0]]) == "brindle"


def test_a_row_keeps_to_its_budget_but_asks_at_least_one_question() -> None:
    assert len(row(apart=True, budget=1).answers) == 1
    full = row(apart=True)
    assert len(row(apart=True, budget=len(full.ids) - 1).answers) == 2


@torch.no_grad()
@pytest.mark.parametrize("image", [True, False])
def test_apart_each_question_is_answered_as_if_asked_alone(image: bool) -> None:
    """Logits of a shared row against those of `make_row` on each item by itself: a plain causal prompt."""
    torch.manual_seed(0)
    model = build_model(PROCESSOR, width=96, depth=3, inner=64, vision_width=40, vision_depth=1).eval()
    shared, filler = row(apart=True, image=image), row(apart=False)
    together = make_batch(LLAVA, PROCESSOR, [shared, filler])
    logits = model(**together.inputs).logits[0]
    for item, answer in zip(ITEMS, shared.answers, strict=True):
        ids = PROCESSOR.tokenizer("USER:", add_special_tokens=False)["input_ids"]
        ids = [SPECIAL.index("<s>"), *ids, *[SPECIAL.index("<image>")] * (IMAGE_TOKENS * image)]
        start = answer.stop
        while start > len(ids) and shared.turns[start - 1] == shared.turns[answer.start]:
            start -= 1
        alone = torch.tensor([ids + shared.ids[start : answer.stop]])
        pixels = together.inputs["pixel_values"][:1] if image else None
        expected = model(input_ids=alone, pixel_values=pixels).logits[0, -1]
        torch.testing.assert_close(logits[answer.stop - 1], expected, atol=1e-5, rtol=1e-5)
        assert item.question.split()[0] in PROCESSOR.tokenizer.decode(alone[0])


@torch.no_grad()
def test_a_conversation_is_plainly_causal() -> None:
    torch.manual_seed(0)
    model = build_model(PROCESSOR, width=96, depth=3, inner=64, vision_width=40, vision_depth=1).eval()
    batch = make_batch(LLAVA, PROCESSOR, [row(apart=False)])
    plain = model(input_ids=batch.inputs["input_ids"], pixel_values=batch.inputs["pixel_values"]).logits
    torch.testing.assert_close(model(**batch.inputs).logits, plain, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_early_loss_is_the_head_read_two_blocks_early() -> None:
    """Against the decoder cut short: its last two blocks taken out, it says the same."""
    torch.manual_seed(0)
    model = build_model(PROCESSOR, width=96, depth=4, inner=64, vision_width=40, vision_depth=1).eval()
    batch = make_batch(LLAVA, PROCESSOR, [row(apart=True), row(apart=False)])
    early = early_loss(model, model(**batch.inputs, output_hidden_states=True).hidden_states, batch.meant)
    model.model.language_model.layers = model.model.language_model.layers[:2]
    cut = model(**batch.inputs | {"labels": batch.meant}).loss
    torch.testing.assert_close(early, cut)


def test_rows_without_a_image_are_a_batch() -> None:
    assert "pixel_values" not in make_batch(LLAVA, PROCESSOR, [row(apart=True, image=False)]).inputs
