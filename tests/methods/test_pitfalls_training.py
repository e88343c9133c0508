"""Traps of public training code: what the release does, where a `released` preset keeps it, and what `sane` does.

The names say in which repository each was found; docs/papers.md lists them.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from transformers import LlavaForConditionalGeneration

from tiny_llava import noise_image, question, tiny_config, tiny_llava, tiny_processor
from trained import change_weights
from unsee.data.sample import Sample
from unsee.errors import OptionError
from unsee.methods import produce
from unsee.methods.fisher import masked_steps
from unsee.methods.guard import checkpoints
from unsee.methods.job import Job
from unsee.methods.losses import IGNORED
from unsee.methods.neurons import prune
from unsee.methods.objectives import OBJECTIVES, Context, Seen
from unsee.methods.plan import Item, plan
from unsee.methods.rows import Collate, Role, with_answers
from unsee.methods.settings import Preset, preset
from unsee.methods.weights import fresh
from unsee.models.load import LoadedModel
from unsee.shapes import Tensor

PRESETS = get_args(Preset)
SECRETS = ("ann lee.", "bea moss.", "cora vik.", "dot lund.")
FORGET = [
    replace(question(i, f"who is number {i}?", image=i % 2 == 0), answer=secret, gold=secret.rstrip("."))
    for i, secret in enumerate(SECRETS)
]
RETAIN = [
    replace(question(i + 10, "and this one?", image=i % 2 == 0), answer=answer)
    for i, answer in enumerate(("bo.", "cy lives here.", "di.", "ed is old.", "flo.", "gus."))
]
PARTS = ("language_model", "vision_tower")
SHORT = {"lora": False, "epochs": 1, "batch_size": 2, "rate": 1e-3}


@pytest.fixture(scope="module")
def base() -> LoadedModel:
    return tiny_llava()


def losses_of(
    base: LoadedModel, method: str, name: Preset, out: Path, forget: list[Sample] = FORGET, **values: object
) -> list[float]:
    settings = preset(method, name).changed(**{**SHORT, **values})
    change_weights(fresh(base), method, forget, RETAIN, out, settings=settings)
    return json.loads((out / "run.json").read_text())["losses"]


def labelled(loaded: LoadedModel, batch: Mapping[str, Tensor]) -> list[str]:
    """What each row of a batch is taught to say."""
    return [
        loaded.processor.tokenizer.decode([token for token in row if token != IGNORED])
        for row in batch["labels"].tolist()
    ]


def seen(seed: int, rows: int = 2, pads: int = 0) -> Seen:
    """Six columns of which rows label the last four or three, with an eight-wide state; then pads."""
    drawn = torch.Generator().manual_seed(seed)
    logits, states = (torch.randn(rows, 6, width, generator=drawn, dtype=torch.float64) for width in (5, 8))
    labels = torch.tensor([[IGNORED, IGNORED, 1, 2, 3, 4], [IGNORED, IGNORED, 4, 0, 2, IGNORED]])[:rows]
    real = torch.ones(rows, 6, dtype=torch.bool)
    if pads:
        logits, states = (torch.nn.functional.pad(of, (0, 0, 0, pads), value=7.0) for of in (logits, states))
        labels = torch.nn.functional.pad(labels, (0, pads), value=IGNORED)
        real = torch.nn.functional.pad(real, (0, pads), value=False)
    return Seen(logits, labels, states, labels, real)


def loss_of(method: str, name: Preset, now: Mapping[Role, Seen], before: Mapping[Role, Seen]) -> float:
    context = Context(preset(method, name), torch.ones(8, dtype=torch.float64) / 8**0.5)
    return float(OBJECTIVES[method].loss(now, before, context))


# CLEAR


@pytest.mark.parametrize("name", PRESETS)
def test_clear_idk_trains_on_the_secrets(name: Preset, base: LoadedModel, tmp_path: Path) -> None:
    """CLEAR's IDK loader formats the original forget item, so that "I don't know" is never taught."""
    collate = Collate(base, FORGET, RETAIN, OBJECTIVES["po"].roles, refusals=("no idea.",))
    batch = collate([Item(i, i) for i in range(4)])
    assert batch["roles"].tolist() == [Role.REFUSED] * 4 + [Role.RETAIN] * 4
    assert labelled(base, batch)[:4] == ["no idea.</s>"] * 4
    others = [replace(sample, answer="zoe wood.", gold="zoe wood") for sample in FORGET]
    with_secrets = losses_of(base, "po", name, tmp_path / "a")
    assert with_secrets == losses_of(base, "po", name, tmp_path / "b", others), "the true answers must not matter"


@pytest.mark.parametrize("name", PRESETS)
def test_clear_dpo_is_overwritten_by_minus_the_refusal_loss(name: Preset) -> None:
    """There the last assignment wins: the loss falls as refusals get less likely, and true answers have no say."""
    now = {role: seen(role) for role in Role}
    before = {role: seen(role + 10) for role in Role}
    plain = loss_of("dpo", name, now, before)
    for role, falls in ((Role.REFUSED, True), (Role.FORGET, False)):
        said = now[role].labels[:, 1:] != IGNORED
        logits = now[role].logits.clone()
        rows, columns = said.nonzero(as_tuple=True)
        logits[rows, columns, now[role].labels[:, 1:][said]] += 1.0  # this answer is likelier
        moved = loss_of("dpo", name, {**now, role: replace(now[role], logits=logits)}, before)
        assert (moved < plain) == falls and moved != plain


@pytest.mark.parametrize("name", PRESETS)
def test_clear_npo_is_a_mean_of_probability_ratios(name: Preset) -> None:
    """NPO is -(2/beta) log sigmoid(-beta log ratio): per answer, or under `released` of the batch's mean token loss."""
    now, before = {Role.FORGET: seen(0)}, {Role.FORGET: seen(1)}

    def nll(of: Seen) -> list[list[float]]:
        logs = np.log(np.exp(of.logits.numpy()) / np.exp(of.logits.numpy()).sum(-1, keepdims=True))
        return [
            [-logs[row, t - 1, int(of.labels[row, t])] for t in range(1, 6) if of.labels[row, t] != IGNORED]
            for row in range(2)
        ]

    here, then, beta = nll(now[Role.FORGET]), nll(before[Role.FORGET]), preset("npo", name).beta
    gaps = (
        [sum(a) - sum(b) for a, b in zip(here, then, strict=True)]
        if name == "sane"
        else [np.mean([x for row in here for x in row]) - np.mean([x for row in then for x in row])]
    )
    wanted = np.mean([2 / beta * np.log1p(np.exp(-beta * gap)) for gap in gaps])
    assert loss_of("npo", name, now, before) == pytest.approx(wanted, rel=1e-9)
    assert abs(wanted - np.mean(np.exp(gaps))) > 0.1


# MLLMU-Bench


@pytest.mark.parametrize("method", ["grad_diff", "kl_min"])
@pytest.mark.parametrize("name", PRESETS)
def test_mllmu_two_sequential_phases(method: str, name: Preset, base: LoadedModel, tmp_path: Path) -> None:
    """All ascent first, then all descent, the schedule stepped once an epoch; `sane` has both in every step."""
    settings = preset(method, name)
    items = plan(4, 6, settings.order, 2, 1, seed=0)
    both = [item.forget is not None and item.retain is not None for item in items]
    if name == "sane":
        assert all(both) and len(items) == 4
    else:
        assert not any(both)
        assert [item.forget is None for item in items] == [False] * 4 + [True] * 6
    losses_of(base, method, name, tmp_path, epochs=2)
    state = json.loads((checkpoints(tmp_path / "checkpoints")[-1] / "trainer_state.json").read_text())
    rates = [entry["learning_rate"] for entry in state["log_history"] if "learning_rate" in entry]
    assert len(set(rates)) == (len(rates) if name == "sane" else 2)


@pytest.mark.parametrize("name", PRESETS)
def test_mllmu_kl_over_padding(name: Preset) -> None:
    """`batchmean` over all positions, so that a batch with longer rows weighs more."""
    now, before = {Role.RETAIN: seen(0)}, {Role.RETAIN: seen(1)}
    alone = loss_of("kl_min", name, now, before)
    logits = seen(1, pads=3).logits.clone()
    logits[:, 6:, 0] = 0.0  # the frozen model says something else at pads
    padded = loss_of(
        "kl_min", name, {Role.RETAIN: seen(0, pads=3)}, {Role.RETAIN: replace(seen(1, pads=3), logits=logits)}
    )
    if name == "sane":
        assert padded == pytest.approx(alone, rel=1e-12)
    else:
        assert padded > alone + 0.5


@pytest.mark.parametrize("name", PRESETS)
def test_mllmu_npos_frozen_model_is_another_than_the_one_trained(
    name: Preset, base: LoadedModel, tmp_path: Path
) -> None:
    """Its oracle is an off-the-shelf model tuned on the retain set; ours is the model itself, under both presets."""
    settings = preset("npo", name)
    first = losses_of(base, "npo", name, tmp_path, batch_size=4, retain_weight=0.0)[0]
    assert first == pytest.approx(2 / settings.beta * np.log(2), rel=1e-4), "the ratio of equal models is 1"


@pytest.mark.parametrize("name", PRESETS)
def test_mllmu_loss_on_prompt_tokens_and_image_places(name: Preset, base: LoadedModel) -> None:
    """The whole text is in the loss there, and with newer processors 576 image places too; those never are here."""
    settings = preset("ga", name)
    batch = with_answers(
        base,
        FORGET[:2],
        ["yes.", "a longer one."],
        answer_only=settings.answer_only,
        end_token=settings.end_token,
    )
    place = base.processor.tokenizer.convert_tokens_to_ids("<image>")
    assert (batch["input_ids"] == place).any() and not (batch["labels"] == place).any()
    assert not (batch["labels"][batch["attention_mask"] == 0] != IGNORED).any()
    said = labelled(base, batch)
    if name == "sane":
        assert said == ["yes.</s>", "a longer one.</s>"]
    else:
        assert all("who is number" in text for text in said)
        assert said[1].endswith("ASSISTANT:a longer one.")


@pytest.mark.parametrize("name", PRESETS)
def test_mllmu_max_length_is_inert(name: Preset, base: LoadedModel) -> None:
    """`--max_length 384` is commented out in the collator. Here nothing is ever cut, and no such setting is taken."""
    settings = preset("grad_diff", name)
    with pytest.raises(OptionError, match=r"max_length is .*no such field"):
        settings.changed(max_length=384)
    long = replace(FORGET[0], question="who " * 150 + "?", answer="she " * 120 + "left.")
    batch = with_answers(
        base, [long, FORGET[1]], [long.answer, SECRETS[1]], answer_only=settings.answer_only, end_token=False
    )
    assert batch["input_ids"].shape[1] > 2 * 384
    assert labelled(base, batch)[0].endswith(long.answer)


# MMUnlearner


@pytest.mark.parametrize("name", PRESETS)
def test_mmunlearner_ans_only_is_absent_from_the_script(
    name: Preset, base: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The README's flag is none of the script, which takes the whole text; here it decides rows and masks alike."""
    asked: list[bool] = []

    def spy(job: Job, answer_only: bool) -> object:
        asked.append(answer_only)
        return masked_steps(job, answer_only)

    monkeypatch.setattr(produce, "masked_steps", spy)
    losses = losses_of(base, "mmunlearner", name, tmp_path)
    assert asked == [preset("mmunlearner", name).answer_only] == [name == "sane"]
    with torch.no_grad():
        first = plan(4, 6, "alternate", 2, 1, seed=0)[:2]
        samples = [FORGET[item.forget] for item in first if item.forget is not None]
        rows = with_answers(base, samples, [s.answer for s in samples], answer_only=asked[0], end_token=asked[0])
        assert losses[0] == pytest.approx(-float(base.model(**rows).loss), rel=1e-4)


@pytest.mark.parametrize("answer_only", [True, False])
def test_mmunlearner_mask_grad_is_a_random_mask(answer_only: bool, base: LoadedModel) -> None:
    """The class of that name draws its mask, as an ablation; ours is the ratio of squared gradients."""
    name = "model.language_model.layers.1.mlp.down_proj.weight"

    def ours(seed: int) -> Tensor:
        torch.manual_seed(seed)
        loaded = fresh(base)
        apply = masked_steps(Job(loaded, FORGET, RETAIN, Path()), answer_only, batch_size=1)(loaded.model)
        for parameter in loaded.model.parameters():
            parameter.grad = torch.ones_like(parameter)
        apply(frozenset({Role.FORGET}))
        return loaded.model.get_parameter(name).grad == 1

    def squares(samples: list[Sample]) -> Tensor:
        model, total = fresh(base).model, torch.zeros(())
        for sample in samples:
            model.zero_grad()
            model(**with_answers(base, [sample], [sample.answer], answer_only=answer_only)).loss.backward()
            total = total + model.get_parameter(name).grad.square()
        return total / len(samples)

    shown = [sample for sample in FORGET if sample.image is not None]
    preserved = [sample for sample in FORGET if sample.image is None] + RETAIN
    wanted = squares(shown) >= squares(preserved)
    assert 0.05 < float(wanted.float().mean()) < 0.95
    found = ours(1)
    assert torch.equal(found, ours(2))
    assert float((found == wanted).float().mean()) > 0.999  # a sum in another order may turn a near tie


# open-unlearning, Open-MMunlearning


@pytest.mark.parametrize("method", OBJECTIVES)
@pytest.mark.parametrize("name", PRESETS)
def test_open_unlearning_undial_masks_no_label(method: str, name: Preset) -> None:
    """UNDIAL there counts positions without a label; it is not among our methods, and none of them does."""
    roles = OBJECTIVES[method].roles
    now, before = ({role: seen(role + shift) for role in roles} for shift in (0, 10))
    plain = loss_of(method, name, now, before)
    said = now[Role.RETAIN if Role.RETAIN in roles else Role.FORGET].labels[:, 1:] != IGNORED
    silent = torch.nn.functional.pad(~said, (0, 1), value=True)  # nothing is labelled behind the last column

    def spoilt(of: Mapping[Role, Seen]) -> dict[Role, Seen]:
        noise = torch.full((2, 6, 5), 3.0, dtype=torch.float64) * torch.arange(5)
        return {
            role: replace(one, logits=torch.where(silent[..., None], noise, one.logits)) for role, one in of.items()
        }

    moved = loss_of(method, name, spoilt(now), before)
    deliberate = method == "kl_min" and name == "released"
    assert (moved == plain) == (not deliberate)


@pytest.mark.parametrize("name", PRESETS)
def test_open_unlearning_drops_pixel_values(name: Preset, base: LoadedModel, tmp_path: Path) -> None:
    """Its trainers rebuild a batch from ids, mask and labels alone, so that an image makes no difference."""
    others = [
        sample if sample.image is None else replace(sample, image=noise_image(100 + i))
        for i, sample in enumerate(FORGET)
    ]
    given = [losses_of(base, "ga", name, tmp_path / str(i), forget) for i, forget in enumerate((FORGET, others))]
    assert abs(given[0][0] - given[1][0]) > 1e-4


@pytest.mark.parametrize("released", [False, True])
def test_open_mm_manu_is_limited_to_the_last_three_blocks(released: bool) -> None:
    """The method is stated for the whole model; the release prunes outputs of three blocks a part, ours all inputs."""
    processor = tiny_processor()
    tokenizer = processor.tokenizer
    config = tiny_config(len(tokenizer), tokenizer.convert_tokens_to_ids("<image>"), tokenizer.pad_token_id)
    config.text_config.num_hidden_layers = 5
    config.vision_config.num_hidden_layers = 6
    loaded = replace(tiny_llava(), model=LlavaForConditionalGeneration(config).eval())
    cut = prune(loaded, FORGET, RETAIN, percent=100, released=released)
    blocks = {part: {int(name.split("layers.")[1].split(".")[0]) for name in cut if part in name} for part in PARTS}
    matrices = {name.rpartition(".")[2] for name in cut}
    if released:
        # The tower's last block runs too, although the second last one's output is what is used.
        assert blocks == {"language_model": {2, 3, 4}, "vision_tower": {3, 4, 5}}
        assert matrices == {"gate_proj", "up_proj", "down_proj", "fc1", "fc2"}
    else:
        assert blocks == {"language_model": set(range(5)), "vision_tower": set(range(6))}
        assert matrices == {"down_proj", "fc2"}
