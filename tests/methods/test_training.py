"""Runs of the trainer on a tiny random model: what it is fed, what it minimises, how it stops and goes on."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForImageTextToText

from tiny_llava import question, tiny_llava
from trained import change_weights
from unsee.data.sample import Sample
from unsee.errors import DataError, OptionError
from unsee.methods.errors import DivergenceError, MethodError
from unsee.methods.fisher import masked_steps
from unsee.methods.guard import checkpoints
from unsee.methods.job import Job
from unsee.methods.losses import IGNORED
from unsee.methods.plan import Item
from unsee.methods.produce import control_vector
from unsee.methods.rows import Collate, Role, with_answers
from unsee.methods.settings import TrainSettings, preset
from unsee.methods.weights import fresh
from unsee.models.digest import weights_digest
from unsee.models.load import LoadedModel, load

pytest.importorskip("accelerate")
FORGET = [
    question(i, text, image=i % 2 == 0) for i, text in enumerate(("who?", "where is ann?", "what is it?", "age?"))
]
RETAIN = [
    replace(question(i + 10, "and this one?", image=i % 2 == 0), answer=answer)
    for i, answer in enumerate(("bo.", "cy lives here.", "di.", "ed is old.", "flo.", "gus."))
]
FULL = {"lora": False, "rate": 1e-3, "batch_size": 2, "epochs": 2}


@pytest.fixture(scope="module")
def base() -> LoadedModel:
    return tiny_llava()


def weights(loaded: LoadedModel) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in loaded.model.state_dict().items()}


def native_loss(loaded: LoadedModel, samples: list[Sample], answers: list[str]) -> float:
    """The model's own cross entropy over answer tokens, which shares no code with our losses."""
    with torch.no_grad():
        return float(loaded.model(**with_answers(loaded, samples, answers)).loss)


def test_rows_carry_every_key_and_label_the_answer_alone(base: LoadedModel) -> None:
    collate = Collate(base, FORGET, RETAIN, frozenset(Role), refusals=("no.",))
    batch = collate([Item(0, 1), Item(1, 0)])
    assert batch["roles"].tolist() == [0, 0, 1, 1, 2, 2]
    assert batch["pixel_values"].shape[0] == 3  # forget 0, refused 0, retain 0
    tokenizer = base.processor.tokenizer
    said = [tokenizer.decode([t for t in row if t != IGNORED]) for row in batch["labels"].tolist()]
    assert said == ["ann lee.</s>"] * 2 + ["no.</s>"] * 2 + ["cy lives here.</s>", "bo.</s>"]
    starts = (batch["labels"] != IGNORED).int().argmax(1)
    assert len(set(starts.tolist())) == 1


def test_labels_of_the_whole_text_leave_out_pads_and_images(base: LoadedModel) -> None:
    batch = with_answers(base, [FORGET[0], FORGET[1]], ["a.", "a longer one."], answer_only=False, end_token=False)
    place = base.processor.tokenizer.convert_tokens_to_ids("<image>")
    assert not (batch["labels"] == place).any()
    assert (batch["labels"][batch["attention_mask"] == 0] == IGNORED).all()
    row = [t for t in batch["labels"][1].tolist() if t != IGNORED]
    assert base.processor.tokenizer.decode(row).endswith("ASSISTANT:a longer one.")


def test_keys_with_a_value_per_token_grow_with_the_answer(base: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    from unsee.methods import rows

    plain = rows.encode
    monkeypatch.setattr(
        rows, "encode", lambda *args: {**plain(*args), "mm_token_type_ids": torch.ones_like(plain(*args)["input_ids"])}
    )
    batch = with_answers(base, [FORGET[0]], ["ab"], end_token=False)
    assert batch["mm_token_type_ids"].shape == batch["input_ids"].shape
    assert batch["mm_token_type_ids"][0, -2:].tolist() == [0, 0]


def test_a_question_without_an_answer_is_refused(base: LoadedModel) -> None:
    with pytest.raises(DataError, match="sample 'q0' has no answer"):
        with_answers(base, [FORGET[0]], [" "])


def first_loss(base: LoadedModel, method: str, out: Path, **values: object) -> float:
    settings = preset(method).changed(**{**FULL, "epochs": 1, "batch_size": 4, **values})
    change_weights(fresh(base), method, FORGET, RETAIN, out, settings=settings)
    return json.loads((out / "run.json").read_text())["losses"][0]


def test_first_losses_are_those_of_the_models_own_cross_entropy(base: LoadedModel, tmp_path: Path) -> None:
    """Before any step the model is the frozen one, so each loss is known from the model's own cross entropy."""
    forget = native_loss(base, FORGET, [s.answer for s in FORGET])
    assert first_loss(base, "ga", tmp_path / "ga") == pytest.approx(-forget, rel=1e-4)
    # All forget questions are in the batch; which four of six retain questions are is the plan's matter.
    from unsee.methods.plan import plan

    kept = [RETAIN[i.retain] for i in plan(4, 6, "joint", 4, 1, seed=0) if i.retain is not None]
    retain = native_loss(base, kept, [s.answer for s in kept])
    assert first_loss(base, "grad_diff", tmp_path / "gd", retain_weight=0.5) == pytest.approx(
        0.5 * retain - forget, rel=1e-4
    )
    assert first_loss(base, "kl_min", tmp_path / "kl") == pytest.approx(-forget, rel=1e-4)  # KL of equals is 0
    assert first_loss(base, "npo", tmp_path / "npo") == pytest.approx(2 / 0.1 * 0.6931472 + retain, rel=1e-4)
    assert first_loss(base, "dpo", tmp_path / "dpo") == pytest.approx(0.6931472 + retain, rel=1e-4)


@pytest.mark.parametrize("method", ["ga", "npo", "simnpo", "dpo", "grad_diff"])
def test_forgetting_makes_the_answer_unlikely(method: str, base: LoadedModel, tmp_path: Path) -> None:
    # A beta that does not saturate on a model which never knew the answer.
    alone = {"epochs": 4, "rate": 3e-3, "forget_weight": 1.0, "retain_weight": 0.0, "beta": 0.1}
    settings = preset(method).changed(**{**FULL, **alone})
    answers = [s.answer for s in FORGET]
    after = change_weights(fresh(base), method, FORGET, RETAIN, tmp_path, settings=settings)
    assert native_loss(after, FORGET, answers) > native_loss(base, FORGET, answers) + 0.05


def test_po_teaches_the_refusal(base: LoadedModel, tmp_path: Path) -> None:
    settings = preset("po").changed(**{**FULL, "epochs": 6, "rate": 3e-3})
    after = change_weights(fresh(base), "po", FORGET, RETAIN, tmp_path, settings=settings, refusals=("no idea.",))
    said = ["no idea."] * len(FORGET)
    assert native_loss(after, FORGET, said) < native_loss(base, FORGET, said) - 0.5


def test_rmu_moves_the_block_towards_its_vector_and_trains_three_matrices(base: LoadedModel, tmp_path: Path) -> None:
    settings = preset("rmu").changed(rate=1e-2, batch_size=2, epochs=5, layer=1)
    after = change_weights(fresh(base), "rmu", FORGET, RETAIN, tmp_path, settings=settings)
    old, new = weights(base), weights(after)
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    assert changed == {f"model.language_model.layers.{i}.mlp.down_proj.weight" for i in (0, 1)}
    batch = with_answers(base, FORGET, [s.answer for s in FORGET])
    labels = batch.pop("labels")
    along = []
    for loaded in (base, after):
        with torch.no_grad():
            states = loaded.model(**batch, output_hidden_states=True).hidden_states[2]
        along.append(float((states[labels != IGNORED] - 2.0 * control_vector(32, 0)).square().mean()))
    assert along[1] < along[0]


def test_released_phases_and_schedule(base: LoadedModel, tmp_path: Path) -> None:
    settings = preset("kl_min", "released").changed(lora=False, batch_size=2, epochs=2, rate=1e-4)
    assert (settings.order, settings.schedule, settings.answer_only, settings.all_positions) == (
        "phases", "per-epoch", False, True,
    )  # fmt: skip
    change_weights(fresh(base), "kl_min", FORGET, RETAIN, tmp_path, settings=settings)
    state = json.loads((checkpoints(tmp_path / "checkpoints")[-1] / "trainer_state.json").read_text())
    rates = [entry["learning_rate"] for entry in state["log_history"] if "learning_rate" in entry]
    # 2 + 3 batches an epoch, 10 in all: the second epoch runs at 9/10 of the rate.
    assert rates == pytest.approx([1e-4] * 5 + [0.9e-4] * 5, rel=1e-9)


def interrupting(at: int) -> Callable[[str, int], Callable[[int], None]]:
    class Cut(Exception):
        pass

    def stages(name: str, total: int) -> Callable[[int], None]:
        del total
        done = 0

        def tell(count: int) -> None:
            nonlocal done
            done += count
            if name == "training" and done == at:
                raise KeyboardInterrupt

        return tell

    return stages


@pytest.mark.parametrize("lora", [False, True])
def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(lora: bool, base: LoadedModel, tmp_path: Path) -> None:
    if lora:
        pytest.importorskip("peft")
    settings = preset("npo").changed(**{**FULL, "epochs": 3, "lora": lora, "dropout": 0.2})
    whole = change_weights(fresh(base), "npo", FORGET, RETAIN, tmp_path / "whole", settings=settings, save_every=2)
    cut = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        change_weights(fresh(base), "npo", FORGET, RETAIN, cut, settings=settings, save_every=2, stages=interrupting(5))
    assert [path.name for path in checkpoints(cut / "checkpoints")] == ["checkpoint-2", "checkpoint-4"]
    # A checkpoint that was being written when the machine stopped is passed over.
    (cut / "checkpoints" / "checkpoint-5").mkdir()
    resumed = change_weights(fresh(base), "npo", FORGET, RETAIN, cut, settings=settings, save_every=2)
    old, new = weights(whole), weights(resumed)
    assert all(torch.equal(old[name], new[name]) for name in old)
    assert whole.digest == resumed.digest != base.digest


def test_the_result_is_an_ordinary_checkpoint(base: LoadedModel, tmp_path: Path) -> None:
    settings = preset("ga").changed(**FULL)
    result = change_weights(fresh(base), "ga", FORGET, (), tmp_path, settings=settings)
    again = load(tmp_path, device="cpu")
    assert again.digest == result.digest == weights_digest(result.model)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path)
    batch = with_answers(base, FORGET, [s.answer for s in FORGET])
    batch.pop("labels")
    with torch.no_grad():
        assert torch.equal(model.eval()(**batch).logits, result.model(**batch).logits)


def test_divergence_stops_before_it_spoils_anything(base: LoadedModel, tmp_path: Path) -> None:
    settings = preset("ga").changed(**{**FULL, "epochs": 8, "clip": 0.0})
    model = fresh(base)
    steps = 0

    def stages(name: str, total: int) -> Callable[[int], None]:
        del name, total

        def tell(count: int) -> None:
            nonlocal steps
            steps += count
            if steps == 5:  # as a bad batch or a faulty device would
                with torch.no_grad():
                    model.model.get_parameter("model.language_model.norm.weight").fill_(float("nan"))

        return tell

    with pytest.raises(DivergenceError, match=r"diverged at step 6: the loss is nan .* checkpoint is .*checkpoint-4\."):
        change_weights(model, "ga", FORGET, (), tmp_path, settings=settings, save_every=2, stages=stages)
    kept = checkpoints(tmp_path / "checkpoints")[-1]
    good = AutoModelForImageTextToText.from_pretrained(kept)
    assert all(bool(p.isfinite().all()) for p in good.parameters())
    assert not (tmp_path / "config.json").exists()


def test_another_run_in_the_same_folder_is_refused(base: LoadedModel, tmp_path: Path) -> None:
    settings = preset("ga").changed(**FULL)
    change_weights(fresh(base), "ga", FORGET, (), tmp_path, settings=settings)
    with pytest.raises(OptionError, match="holds a run with seed 0, and this one's is 1"):
        change_weights(fresh(base), "ga", FORGET, (), tmp_path, settings=settings, seed=1)


def test_what_a_method_cannot_serve_is_refused(base: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(MethodError, match=r"trained method is 'gradient', expected one of \['ga', 'grad_diff'"):
        change_weights(base, "gradient", FORGET, RETAIN, tmp_path)
    with pytest.raises(DataError, match="the retain set is empty"):
        change_weights(base, "npo", FORGET, (), tmp_path)
    with pytest.raises(DataError, match="both the forget and the retain set"):
        change_weights(base, "npo", FORGET, FORGET, tmp_path)
    other = fresh(base)
    other.adapter.layers(other.model)[1].mlp = nn.Identity()
    with pytest.raises(MethodError, match=r"down_proj of decoder block 1, but the family 'llava' has none there"):
        change_weights(other, "rmu", FORGET, RETAIN, tmp_path, settings=preset("rmu").changed(layer=1))
    with pytest.raises(OptionError, match=r"learning is .*no such field"):
        TrainSettings().changed(learning=1)
    with pytest.raises(OptionError, match="rate is -1, expected: greater than 0"):
        preset("npo").changed(rate=-1)


def test_forget_steps_of_mmunlearner_stay_inside_the_mask(base: LoadedModel, tmp_path: Path) -> None:
    settings = preset("mmunlearner").changed(batch_size=2, rate=1e-3, retain_weight=0.0)
    probe = fresh(base)
    apply = masked_steps(Job(probe, FORGET, RETAIN, tmp_path))(probe.model)
    for parameter in probe.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    apply(frozenset({Role.RETAIN}))
    assert all(bool((p.grad == 1).all()) for p in probe.model.parameters() if p.grad is not None)
    apply(frozenset({Role.FORGET}))
    mask = {name: p.grad == 1 for name, p in probe.model.named_parameters() if p.grad is not None}
    shares = [float(m.float().mean()) for m in mask.values()]
    assert 0.2 < sum(shares) / len(shares) < 0.98
    after = change_weights(fresh(base), "mmunlearner", FORGET, RETAIN, tmp_path, settings=settings)
    moved = 0
    for (name, old), new in zip(base.model.named_parameters(), after.model.parameters(), strict=True):
        assert not ((old != new) & ~mask[name]).any(), name
        moved += int((old != new).sum())
    assert moved > 0


def test_copies_leave_the_model_alone(base: LoadedModel) -> None:
    before = copy.deepcopy(weights(base))
    assert all(torch.equal(before[name], value) for name, value in base.model.state_dict().items())
    assert base.digest == weights_digest(base.model)
