"""What training feeds each family is what its processor and its own model would make of the same conversation."""

import random
from typing import Any

import pytest
import torch
from tools.world.family import Family, positions_in_space
from tools.world.rows import make_batch, make_row
from tools.world.stages import FAMILIES
from tools.world.tiny_qwen import QWEN2_5_VL, QWEN3_VL

from unsee.data.prompts import chat
from unsee.world.generate import World
from unsee.world.questions import Item
from unsee.world.splits import Exam

WORLD = World(5, private=6, celebrities=2, strangers=2)
SAMPLES = Exam(WORLD, ratio=0.5).facts(WORLD.of("private")[:1], taught=True)


@pytest.fixture(params=FAMILIES.values(), ids=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> Family:
    return request.param


def test_training_and_asking_write_a_turn_alike(family: Family) -> None:
    """Tokens, and pixels but for rounding; the answer stands where the generation prompt ends."""
    processor = family.build_processor()
    sample = next(s for s in SAMPLES if s.image is not None and s.form == "cloze")
    assert sample.image is not None
    shown = sample.image.load()
    write: Any = processor.apply_chat_template
    text = write(chat(sample, "plain"), add_generation_prompt=True)
    asked = processor(text=[text], images=[[shown]], return_tensors="pt")
    item = Item("fact", sample.question, sample.answer, sample.gold, "cloze")
    taught = make_row(family, processor.tokenizer, shown, [item], budget=400, apart=True, rng=random.Random(0))
    batch = make_batch(family, processor, [taught])
    start = taught.answers[0].start
    assert taught.ids[:start] == asked["input_ids"][0].tolist()
    assert processor.tokenizer.decode(taught.ids[start:]).removesuffix(family.ends).strip() == sample.answer
    assert processor.tokenizer.eos_token == family.ends
    torch.testing.assert_close(batch.inputs["pixel_values"], asked["pixel_values"], rtol=0, atol=2e-6)


@pytest.mark.parametrize("family", [QWEN2_5_VL, QWEN3_VL], ids=lambda family: family.name)
def test_positions_are_the_models_own(family: Family) -> None:
    """Against `get_rope_index`, which reads them from the tokens: with an image and without, padded on the right."""
    processor = family.build_processor()
    torch.manual_seed(0)
    model = family.build_model(processor)
    text = family.begins + family.user + "{}who is this?" + family.asks
    ids = [processor.tokenizer(text.format(shown))["input_ids"] for shown in (family.image, "")]
    pads = len(ids[0]) - len(ids[1])
    tokens = torch.tensor([ids[0], ids[1] + [processor.tokenizer.pad_token_id] * pads])
    counted = torch.tensor([[*range(len(ids[0]))], [*range(len(ids[1]))] + [0] * pads])
    pictured = tokens == processor.image_token_id
    mask = torch.ones_like(tokens)
    mask[1, len(ids[1]) :] = 0
    own: Any = model.model
    expected, _ = own.get_rope_index(
        tokens, pictured.int(), image_grid_thw=torch.tensor([[1, 8, 8]]), attention_mask=mask
    )
    assert torch.equal(positions_in_space(counted, pictured), expected)


def test_what_has_learnt_to_see_stays_and_what_merges_learns_on(family: Family) -> None:
    torch.manual_seed(0)
    model = family.build_model(family.build_processor())
    family.freeze_eyes(model)
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    seen = {name for name, _ in model.named_parameters() if name.startswith(f"{family.tower}.")}
    assert frozen == {name for name in seen if "merger" not in name}
    assert frozen
