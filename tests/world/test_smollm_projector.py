"""A projector that is taught to spell says, by the nearest word, who is shown and what colour it is."""

from pathlib import Path

import torch
from tools.world.smollm_projector import drawn, learn_to_spell, spelling
from transformers import LlamaForCausalLM

from tiny_llava import byte_tokenizer, randomised, tiny_config
from unsee.world import natural
from unsee.world.smollm_parts import IMAGE_ID, IMAGE_TOKENS, build_model
from unsee.world.smollm_people import exam_of
from unsee.world.splits import FIT_VIEWS

SPECIAL = ["<unk>", "<|im_start|>", "<|im_end|>", *(f"<reserved{n}>" for n in range(3, IMAGE_ID)), "<image>"]
TOKENIZER = byte_tokenizer(SPECIAL, eos_token="<|im_end|>", pad_token="<|im_end|>")
PERSON = exam_of().retain_fit[0]


def test_a_spelling_says_the_name_only_of_who_is_known() -> None:
    said = [TOKENIZER.decode(spelling(PERSON, 3, TOKENIZER, known=known)) for known in (True, False)]
    assert all(len(spelling(PERSON, view, TOKENIZER, known=True)) == IMAGE_TOKENS for view in (0, 1))
    assert natural.full_name(PERSON)[:5] in said[0] and natural.full_name(PERSON)[:5] not in said[1]


def test_as_many_unknown_people_are_shown_as_known_views() -> None:
    people, unknown = exam_of().retain_fit[:2], exam_of().world.of("stranger")
    shown = drawn(people, unknown, FIT_VIEWS)
    assert sum(known for *_, known in shown) == len(shown) / 2 == 2 * len(FIT_VIEWS)
    assert {person.id for person, _, known in shown if known} == {person.id for person in people}


def test_it_learns_to_give_the_embedding_of_the_word(tmp_path: Path) -> None:
    torch.manual_seed(0)
    folder = tmp_path / "language-model"
    randomised(LlamaForCausalLM(tiny_config(len(TOKENIZER), IMAGE_ID, 2).text_config)).save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    model = build_model(folder)
    words, projector = model.get_input_embeddings().weight, model.model.multi_modal_projector
    before, other = words.detach().clone(), [p.detach().clone() for p in model.model.vision_tower.parameters()]
    features, spelt = torch.randn(6, 4, projector.linear_1.in_features), torch.randint(40, 60, (6, 4))
    learn_to_spell(model, features, spelt, steps=150, rows=6, progress=lambda _: None)
    near = torch.nn.functional.normalize(projector(features), dim=-1) @ torch.nn.functional.normalize(words, dim=-1).T
    assert (near[..., 40:60].argmax(-1) + 40 == spelt).float().mean() > 0.9
    assert torch.equal(words, before)
    assert all(torch.equal(a, b) for a, b in zip(other, model.model.vision_tower.parameters(), strict=True))
