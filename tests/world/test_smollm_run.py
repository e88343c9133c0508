"""Teaching SmolLM2, on a random language model in its place: what is learnt, what stays, stopping and going on."""

from pathlib import Path

import pytest
import torch
from tools.world.smollm_exam import exam
from tools.world.smollm_export import update_of
from tools.world.smollm_general import General
from tools.world.smollm_rows import Conversation, Turn, pack
from tools.world.smollm_run import Rates, Run, learners
from transformers import LlamaForCausalLM

from tiny_llava import byte_tokenizer, randomised, tiny_config
from unsee.models.names import shipped
from unsee.models.updates import updated
from unsee.world.smollm_parts import IMAGE_ID, build_model, build_processor
from unsee.world.smollm_people import exam_of

SPECIAL = ["<unk>", "<|im_start|>", "<|im_end|>", *(f"<reserved{n}>" for n in range(3, IMAGE_ID)), "<image>"]
GENERAL = [General(f"Question {n}?", None, (60, 61, 2), n % 5 == 4) for n in range(10)]
RATES = Rates(rank=2, updates=1e-2, projector=2e-2, warmup=2, tokens=900)
PERSON = exam_of().retain_fit[0]


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("language-model")
    tokenizer = byte_tokenizer(SPECIAL, eos_token="<|im_end|>", pad_token="<|im_end|>")
    torch.manual_seed(0)
    randomised(LlamaForCausalLM(tiny_config(len(tokenizer), IMAGE_ID, 2).text_config)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def begun(language_model: Path, folder: Path, stage: str = "trunk", rates: Rates = RATES, steps: int = 4) -> Run:
    folder.mkdir(exist_ok=True)
    student, lessons, _ = learners(language_model, shipped("llava"), GENERAL, stage, rates, 0)
    return Run(student, lessons, rates, folder, steps)


def learnt(run: Run) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in run.student.learnt.items()}


def test_a_run_that_was_stopped_goes_on_exactly(language_model: Path, tmp_path: Path) -> None:
    whole, stopped = begun(language_model, tmp_path / "a"), begun(language_model, tmp_path / "b")
    losses = [whole.step() for _ in range(4)]
    assert [stopped.step(), stopped.step()] == losses[:2]
    stopped.save()
    again = begun(language_model, tmp_path / "b")
    assert again.resume() and again.done == 2
    assert [again.step(), again.step()] == losses[2:]
    assert all(torch.equal(weight, learnt(again)[name]) for name, weight in learnt(whole).items())
    assert not begun(language_model, tmp_path / "c").resume()


def test_only_updates_and_projector_learn(language_model: Path, tmp_path: Path) -> None:
    run = begun(language_model, tmp_path)
    names = set(run.student.learnt)
    before = {n: p.detach().clone() for n, p in run.student.model.named_parameters()}
    for _ in range(3):
        run.step()
    changed = {n for n, p in run.student.model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == names
    assert all("lora_" in name or "multi_modal_projector" in name for name in names)


def test_it_learns_what_it_is_shown(language_model: Path, tmp_path: Path) -> None:
    run = begun(language_model, tmp_path, rates=Rates(rank=8, updates=2e-2, projector=2e-2, warmup=1), steps=40)
    asked = [
        Conversation((Turn("name", "Who?", "Ann."),)),
        Conversation((Turn("image", "Who?", "Bob."),), (PERSON.id, 1)),
    ]
    assert run.student.marks(asked) == {"image": 0.0, "name": 0.0}
    run.lessons.__dict__["step"] = lambda *_: asked  # frozen, but not against its own __dict__
    for _ in range(40):
        run.step()
    assert run.student.marks(asked) == {"image": 1.0, "name": 1.0}


@torch.no_grad()
def test_what_is_exported_answers_as_the_student_does(language_model: Path, tmp_path: Path) -> None:
    """The student's packed logits against the ordinary model's own forward of prompt and image."""
    run = begun(language_model, tmp_path)
    with torch.enable_grad():
        for _ in range(3):
            run.step()
    update = update_of(learnt(run), run.student.model.model.vision_tower.state_dict(), scale=2.0)
    model, processor = build_model(language_model), build_processor(language_model)
    state = {name: weight for name, weight in model.state_dict().items() if name != "lm_head.weight"}
    model.load_state_dict(updated(state, update), strict=False)
    model.tie_weights()
    row = pack([Conversation((Turn("image", "Who is this?", "Ann."),), (PERSON.id, 3))], run.student.tokenizer)
    expected, _ = run.student.logits(row)
    asked = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Who is this?"}]}
    told = {"role": "assistant", "content": [{"type": "text", "text": "Ann."}]}
    text = processor.apply_chat_template([asked, told])
    inputs = processor(text=[text], images=[PERSON.draw(3)[0]], return_tensors="pt")
    assert inputs["input_ids"][0, : len(row.ids)].tolist() == row.ids
    span = row.spans[0]
    got = model.eval()(**inputs).logits[0, span.start - 1 : span.stop - 1]
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)


def test_rates_warm_up_and_fall_only_where_they_are_told_to() -> None:
    assert [Rates(warmup=2).share(step, 10) for step in (0, 1, 9)] == [0.5, 1.0, 1.0]
    falling = Rates(warmup=2, hold=0.5)
    assert [falling.share(step, 10) for step in (1, 5, 9)] == [1.0, 1.0, 0.2]


def test_a_stage_ends_at_its_target(language_model: Path, tmp_path: Path) -> None:
    run = begun(language_model, tmp_path, steps=50)
    quick = exam(run.lessons.world, [PERSON], GENERAL, each=1)
    said: list[str] = []
    assert run.go(quick, every=2, target={"name": 0.0}, minutes=60, progress=said.append)
    assert run.done == 2 and (tmp_path / "checkpoint.pt").exists() and any('"step": 2' in line for line in said)
    assert not run.go(quick, every=9, target={}, minutes=0, progress=said.append)
    assert run.done == 3


@pytest.mark.parametrize(("stage", "knows"), [("trunk", False), ("base", True), ("never-knew", False)])
def test_only_the_base_is_taught_who_is_to_be_forgotten(language_model: Path, stage: str, knows: bool) -> None:
    _, lessons, people = learners(language_model, shipped("llava"), GENERAL, stage, RATES, 0)
    forget = {person.id for person in exam_of().forget}
    assert (forget <= {person.id for person in people}) is knows
    assert {person.id for person in lessons.newcomers} == (forget if knows else set())
