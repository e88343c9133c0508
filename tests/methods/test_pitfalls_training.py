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

from tiny_llava import question, tiny_config, tiny_llava, tiny_processor
from trained import change_weights
from unsee.data.sample import Sample
from unsee.errors import OptionError
from unsee.methods import produce
from unsee.methods.fisher import masked_steps
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


# MLLMU-Bench


@pytest.mark.parametrize("name", PRESETS)
def test_mllmu_npos_frozen_model_is_another_than_the_one_trained(
    name: Preset, base: LoadedModel, tmp_path: Path
) -> None:
    """Its oracle is an off-the-shelf model tuned on the retain set; ours is the model itself, under both presets."""
    settings = preset("npo", name)
    first = losses_of(base, "npo", name, tmp_path, batch_size=4, retain_weight=0.0)[0]
    assert first == pytest.approx(2 / settings.beta * np.log(2), rel=1e-4), "the ratio of equal models is 1"


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
