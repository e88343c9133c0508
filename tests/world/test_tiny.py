"""The tiny LLaVA is an ordinary one: what training feeds it is what the processor makes."""

import numpy as np
import torch

from unsee.data.prompts import chat
from unsee.world.exam import Exam
from unsee.world.generate import World
from unsee.world.recipe import normalisation
from unsee.world.teacher import Teacher
from unsee.world.tiny import IMAGE_TOKENS, SPECIAL, build_model, build_processor

WORLD = World(5, private=6, celebrities=2, strangers=2)


def teacher() -> Teacher:
    made = Teacher(WORLD, build_processor(), WORLD.of("private"), rows=4, budget=60, unknown=0.1, visible=0.2, seed=0)
    made.render(lambda _: None)
    return made


def test_training_and_asking_tokenise_a_prompt_alike() -> None:
    processor = build_processor()
    sample = Exam(WORLD, ratio=0.5).facts(WORLD.of("private")[:1], taught=True)[0]
    assert sample.picture is not None
    text = processor.apply_chat_template(chat(sample, "plain"), add_generation_prompt=True)
    asked = processor(text=[text], images=[sample.picture.load()], return_tensors="pt")
    taught = f"USER: {'<image>' * IMAGE_TOKENS}\n{text.split(chr(10), 1)[1]}"
    ids = [SPECIAL.index("<s>"), *processor.tokenizer(taught, add_special_tokens=False)["input_ids"]]
    assert asked["input_ids"][0].tolist() == ids
    mean, std = normalisation(processor)
    pixels = torch.from_numpy(np.array(sample.picture.load())).permute(2, 0, 1).float() / 255
    torch.testing.assert_close(asked["pixel_values"][0], (pixels - mean) / std)


def test_only_answers_count_in_the_loss() -> None:
    made = teacher()
    for _ in range(10):
        ids, labels, _ = made.row()
        text = made.tokenizer.decode([i for i in labels if i >= 0])
        assert "user" not in text.split() and "assistant" not in text.split()
        assert all(label in (-100, i) for i, label in zip(ids, labels, strict=True))
        assert labels[-1] == SPECIAL.index("</s>")


def test_the_teacher_draws_the_same_again_from_its_seed() -> None:
    one, other = teacher(), teacher()
    assert [one.row()[0] for _ in range(5)] == [other.row()[0] for _ in range(5)]


def test_one_step_of_training_lowers_the_loss_of_its_batch() -> None:
    made = teacher()
    torch.manual_seed(0)
    model = build_model(build_processor(), width=48, depth=2, inner=64, vision_width=40, vision_depth=1)
    batch = made.batch(*normalisation(build_processor()))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    before = model(**batch).loss
    before.backward()
    optimiser.step()
    with torch.no_grad():
        assert model(**batch).loss < before
