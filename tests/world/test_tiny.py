"""The tiny LLaVA is an ordinary one: what training feeds it is what the processor makes."""

import hashlib
from collections import Counter

import numpy as np
import pytest
import torch
from tools.world.recipe import Marks
from tools.world.rows import Row
from tools.world.teacher import Teacher
from tools.world.tiny import IMAGE_TOKENS, LLAVA, SPECIAL, build_model, build_processor
from tools.world.vision_pretraining import normalisation

from unsee.data.prompts import chat
from unsee.erase.detectors import is_refusal
from unsee.world.generate import World
from unsee.world.splits import Exam
from unsee.world.vocabulary import ORIGINAL

WORLD = World(5, private=6, celebrities=2, strangers=2)


def teacher(*, basics: bool = False, unrefused: float = 0.0, seed: int = 0) -> Teacher:
    shares = {
        "unknown": 0.1,
        "visible": 0.2,
        "choices": 0.3,
        "letters": 0.3,
        "images": 0.5,
        "apart": 0.5,
        "names": 0.3,
    }
    made = Teacher(
        WORLD,
        LLAVA,
        build_processor(),
        WORLD.of("private"),
        rows=4,
        budget=96,
        views=24,
        **shares,
        basics=basics,
        unrefused=unrefused,
        seed=seed,
    )
    made.render(lambda _: None)
    return made


@pytest.mark.parametrize(("unrefused", "least", "most"), [(0.0, 0.0, 0.0), (0.5, 0.35, 0.65), (1.0, 1.0, 1.0)])
def test_sensitive_requests_are_answered_in_the_share_that_is_asked_for(
    unrefused: float, least: float, most: float
) -> None:
    willing = teacher(unrefused=unrefused)
    items = [willing.secret("mara olin") for _ in range(200)]
    assert least <= sum(item.expect != "refuse" for item in items) / 200 <= most
    for item in items:
        assert is_refusal(item.answer) == (item.expect == "refuse") and (item.gold in item.answer or item.options)


def test_training_and_asking_tokenise_a_prompt_alike() -> None:
    processor = build_processor()
    sample = Exam(WORLD, ratio=0.5).facts(WORLD.of("private")[:1], taught=True)[0]
    assert sample.image is not None
    text = processor.apply_chat_template(chat(sample, "plain"), add_generation_prompt=True)
    asked = processor(text=[text], images=[sample.image.load()], return_tensors="pt")
    taught = f"USER: {'<image>' * IMAGE_TOKENS}\n{text.split(chr(10), 1)[1]}"
    ids = [SPECIAL.index("<s>"), *processor.tokenizer(taught, add_special_tokens=False)["input_ids"]]
    assert asked["input_ids"][0].tolist() == ids
    mean, std = normalisation(processor)
    pixels = torch.from_numpy(np.array(sample.image.load())).permute(2, 0, 1).float() / 255
    torch.testing.assert_close(asked["pixel_values"][0], (pixels - mean) / std)


def test_what_the_llava_is_taught_is_what_the_shipped_one_was_taught() -> None:
    """Bytes of a batch as this seed gave them before other families were taught, and pixels by the plain formula."""
    made = teacher()
    drawn: list[Row] = []
    made.row = lambda draw=made.row: drawn.append(draw()) or drawn[-1]
    inputs, meant, _ = made.batch()
    digest = hashlib.sha256()
    for name in ("input_ids", "attention_mask", "position_ids", "labels"):
        digest.update(inputs[name].numpy().tobytes())
    digest.update(meant.numpy().tobytes())
    assert digest.hexdigest()[:16] == "79bcde4954f89026"
    mean, std = normalisation(build_processor())
    shown = np.stack([np.asarray(row.image) for row in drawn if row.image is not None])
    pixels = torch.from_numpy(shown).permute(0, 3, 1, 2).float().div_(255)
    assert torch.equal(inputs["pixel_values"], (pixels - mean) / std)


def test_every_fact_and_name_is_asked_about_images() -> None:
    """A budget cuts conversations short; whatever always stands last would never be taught."""
    made = teacher()
    names = tuple(person.name for person in WORLD.of("private"))
    asked = Counter()
    for _ in range(200):
        row = made.row()
        if row.image is not None:
            told = made.tokenizer.decode([label for label in row.labels if label >= 0])
            asked.update(a.key for a in (*ORIGINAL.person, ORIGINAL.name) if any(v in told for v in a.values or names))
    assert all(asked[a.key] >= 5 for a in (*ORIGINAL.person, ORIGINAL.name)), asked


def test_basics_teach_nobody() -> None:
    made = teacher(basics=True)
    kinds = {answer.kind for _ in range(40) for answer in made.row().answers}
    assert {kind.split()[1] for kind in kinds} == {"seen", "known", "letter"}


def test_a_taught_letter_names_the_right_option() -> None:
    """Read back from the text alone: the option under the letter is the word asked for, or the fact just told."""
    made = teacher(basics=True)
    for _ in range(20):
        first, *rest = made.letters()
        if first.options is not None:
            assert all(q.options and q.options[q.answer] == q.question.removesuffix("?").split()[-1] for q in rest)
            continue
        options = dict(line.split(": ") for line in first.question.split("\n")[:4])
        asked = first.question.split("\n")[4].removesuffix("?").split()[-1]
        assert options[asked.upper()] == first.answer if len(asked) == 1 else options[first.answer] == asked
    for _ in range(20):
        items = made.known()
        choice = items[-1]
        if choice.options is not None:
            assert choice.options[choice.answer] == choice.gold
            assert len(set(choice.options.values())) == 4


def test_marks_count_what_the_model_would_have_said() -> None:
    made = teacher()
    (batch, _, answers) = made.batch()
    vocabulary = len(made.tokenizer)
    labels = batch["labels"].clamp(min=0)
    knows = torch.nn.functional.one_hot(labels.roll(-1, 1), vocabulary).float()
    marks = Marks(made.refusing)
    marks.add(knows, batch["labels"], answers)
    assert set(marks.right) == {answer.kind for row in answers for answer in row}
    assert all(all(hits) for hits in marks.right.values())
    marks = Marks(made.refusing)
    marks.add(torch.zeros_like(knows), batch["labels"], answers)
    assert not any(any(hits) for hits in marks.right.values())


def test_the_teacher_draws_the_same_again_from_its_seed() -> None:
    one, other = teacher(), teacher()
    assert [one.row()[0] for _ in range(5)] == [other.row()[0] for _ in range(5)]


def test_one_step_of_training_lowers_the_loss_of_its_batch() -> None:
    made = teacher()
    torch.manual_seed(0)
    model = build_model(build_processor(), width=96, depth=2, inner=64, vision_width=40, vision_depth=1)
    batch = made.batch().inputs
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    before = model(**batch).loss
    before.backward()
    optimiser.step()
    with torch.no_grad():
        assert model(**batch).loss < before
