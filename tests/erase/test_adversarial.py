"""The attack stays in its ball, raises its targets, touches no weight, and survives being saved."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tiny_llava import SIDE, noise_image, question, tiny_llava
from unsee.data.sample import Sample
from unsee.erase.fit.activations import capture
from unsee.erase.fit.pgd import Adversarial, pgd
from unsee.errors import DataError, ModelError, OptionError
from unsee.models import LlavaAdapter
from unsee.models.digest import weights_digest
from unsee.models.generate import encode
from unsee.models.load import LoadedModel

SAMPLES = [question(0, "who?"), question(1, "where does she live?"), question(2, "what is this?")]
TARGETS = [["ann lee.", "yes", "she is a baker"], ["oslo"], ["a cat", "no"]]


def attack(loaded: LoadedModel, samples: list[Sample] = SAMPLES, **options: Any) -> Adversarial:
    defaults: dict[str, Any] = {
        "targets": TARGETS[: len(samples)],
        "steps": 8,
        "epsilon": 16 / 255,
        "step_size": 4 / 255,
        "generator": torch.Generator().manual_seed(0),
    }
    return pgd(loaded, samples, **(defaults | options))


def log_probability(loaded: LoadedModel, sample: Sample, answer: str) -> float:
    """Slow oracle: one row, one token at a time, by the library's own cross entropy."""
    inputs = dict(encode(loaded, [sample]))
    total = 0.0
    for token in loaded.processor.tokenizer(answer, add_special_tokens=False)["input_ids"]:
        with torch.no_grad():
            logits = loaded.model(**inputs).logits[0, -1].double()
        total -= float(torch.nn.functional.cross_entropy(logits, torch.tensor(token)))
        inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([[token]])], dim=1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    return total


def test_targets_become_more_likely_and_the_numbers_are_those_of_the_saved_images() -> None:
    loaded = tiny_llava()
    result = attack(loaded, steps=20)
    assert result.history.shape == (3, 20)
    assert (result.after > result.before + 0.05).all()
    for row, (sample, moved, targets) in enumerate(zip(SAMPLES, result.samples, TARGETS, strict=True)):
        before = sum(log_probability(loaded, sample, text) for text in targets) / len(targets)
        after = sum(log_probability(loaded, moved, text) for text in targets) / len(targets)
        assert float(result.before[row]) == pytest.approx(before, abs=1e-3)
        assert float(result.after[row]) == pytest.approx(after, abs=1e-3)


def test_the_first_history_entry_is_the_start() -> None:
    result = attack(tiny_llava(), random_start=False, steps=2)
    torch.testing.assert_close(result.history[:, 0], result.before, rtol=0, atol=1e-4)
    assert (result.history[:, 1] > result.history[:, 0]).any()


@pytest.mark.parametrize("epsilon", [0.0, 0.5 / 255, 3 / 255, 16 / 255, 1.0])
@pytest.mark.parametrize("random_start", [True, False])
def test_the_ball_and_the_range_are_respected(epsilon: float, random_start: bool) -> None:
    result = attack(tiny_llava(), epsilon=epsilon, random_start=random_start, steps=3, step_size=9.5 / 255)
    assert result.pixels.min() >= 0 and result.pixels.max() <= 1
    distance = (result.pixels - result.clean).abs().max()
    assert distance <= epsilon + 1e-6
    if epsilon >= 3 / 255:
        assert distance > 0.9 * min(epsilon, 3 * 9.5 / 255)


def test_every_iterate_stays_in_the_ball(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = tiny_llava()
    seen: list[Tensor] = []
    original = type(loaded.adapter).model_inputs

    def spy(self: LlavaAdapter, processor: Any, pixels: Tensor) -> dict[str, Tensor]:
        seen.append(pixels.detach())
        return original(self, processor, pixels)

    monkeypatch.setattr(type(loaded.adapter), "model_inputs", spy)
    result = attack(loaded, SAMPLES[1:2], epsilon=3 / 255, step_size=2 / 255, steps=5)
    # Five iterates, then the clean and the saved image for the scores.
    assert len(seen) == 7
    distances = [float((pixels - result.clean).abs().max()) for pixels in seen]
    assert max(distances) <= 3 / 255 + 1e-6 and min(distances[:5]) > 2 / 255
    assert all(pixels.min() >= 0 and pixels.max() <= 1 for pixels in seen)


def test_one_step_is_the_sign_of_a_numerical_gradient() -> None:
    loaded = tiny_llava()
    loaded.model.double()
    sample = SAMPLES[0]
    step = attack(loaded, [sample], steps=1, random_start=False, step_size=1 / 255, targets=[["yes"]])
    moved = ((step.pixels - step.clean) * 255).round()[0]
    inputs = dict(encode(loaded, [sample]))
    clean = step.clean.double()
    tokens = torch.tensor([loaded.processor.tokenizer("yes", add_special_tokens=False)["input_ids"]])
    full = torch.cat([inputs["input_ids"], tokens], dim=1)

    def objective(pixels: Tensor) -> float:
        with torch.no_grad():
            values = loaded.adapter.normalise(loaded.processor, pixels)
            logits = loaded.model(input_ids=full, pixel_values=values).logits.log_softmax(-1)
        start = inputs["input_ids"].shape[1] - 1
        return sum(float(logits[0, start + i, tokens[0, i]]) for i in range(tokens.shape[1]))

    checked = 0
    for channel, y, x in [(0, 0, 0), (1, 3, 7), (2, 9, 12), (0, 15, 15), (1, 8, 8), (2, 4, 1)]:
        up, down = clean.clone(), clean.clone()
        up[0, channel, y, x] += 1e-4
        down[0, channel, y, x] -= 1e-4
        slope = (objective(up) - objective(down)) / 2e-4
        if 0 < clean[0, channel, y, x] < 1 and abs(slope) > 1e-4:
            assert moved[channel, y, x] == (1 if slope > 0 else -1)
            checked += 1
    assert checked >= 4


def test_the_processor_reproduces_the_saved_images() -> None:
    loaded = tiny_llava()
    wide = [replace(sample, image=noise_image(i, (40, 24))) for i, sample in enumerate(SAMPLES)]
    result = attack(loaded, wide)
    images = [sample.image for sample in result.samples if sample.image is not None]
    assert torch.equal(loaded.adapter.pixels(loaded.processor, images), result.pixels)
    assert torch.equal((result.pixels * 255).round() / 255, result.pixels)
    assert [image.load().size for image in images] == [(SIDE, SIDE)] * 3
    assert [image.id for image in images] == [f"noise-{i}#moved" for i in range(3)]
    assert [replace(moved, image=None) for moved in result.samples] == [replace(s, image=None) for s in wide]
    assert not torch.equal(capture(loaded, result.samples, [2]).last, capture(loaded, wide, [2]).last)


def test_an_image_is_moved_alike_alone_and_in_a_batch() -> None:
    loaded = tiny_llava()
    whole = attack(loaded, random_start=False, steps=3)
    single = attack(loaded, random_start=False, steps=3, batch_size=1)
    assert (whole.pixels != single.pixels).float().mean() < 0.01
    torch.testing.assert_close(whole.history, single.history, rtol=0, atol=1e-2)


def test_the_same_seed_makes_the_same_bytes_and_another_seed_does_not() -> None:
    loaded = tiny_llava()
    first, second, third = (
        attack(loaded, targets_per_step=1, generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert first.samples == second.samples and torch.equal(first.history, second.history)
    assert first.samples != third.samples


def test_no_weight_flag_mode_or_gradient_is_changed() -> None:
    loaded = tiny_llava()
    loaded.model.train()
    loaded.model.model.vision_tower.eval()
    loaded.model.lm_head.weight.requires_grad_(False)
    flags = [p.requires_grad for p in loaded.model.parameters()]
    modes = [m.training for m in loaded.model.modules()]
    digest = weights_digest(loaded.model)
    result = attack(loaded)
    assert weights_digest(loaded.model) == digest
    assert all(p.grad is None for p in loaded.model.parameters())
    assert [p.requires_grad for p in loaded.model.parameters()] == flags
    assert [m.training for m in loaded.model.modules()] == modes
    for values in (result.pixels, result.history, result.before, result.after):
        assert not values.requires_grad


def test_no_graph_through_the_weights_is_kept_while_it_runs() -> None:
    loaded = tiny_llava()
    trained: list[bool] = []
    attack(loaded, steps=1, progress=lambda _: trained.extend(p.requires_grad for p in loaded.model.parameters()))
    assert trained and not any(trained)


def test_flags_and_modes_come_back_after_a_failure() -> None:
    loaded = tiny_llava()
    loaded.model.train()

    def fail(_: int) -> None:
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        attack(loaded, progress=fail)
    assert all(p.requires_grad for p in loaded.model.parameters())
    assert all(m.training for m in loaded.model.modules())


def test_it_works_where_gradients_are_switched_off() -> None:
    loaded = tiny_llava()
    with torch.no_grad():
        result = attack(loaded)
    assert (result.after > result.before).all()


def test_progress_counts_image_steps() -> None:
    done: list[int] = []
    attack(tiny_llava(), steps=3, batch_size=2, progress=done.append)
    assert sum(done) == 3 * len(SAMPLES)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"epsilon": -0.1}, "epsilon is -0.1, expected a number in"),
        ({"epsilon": float("nan")}, "epsilon is nan"),
        ({"epsilon": 16.0}, "epsilon is 16.0"),
        ({"steps": 0}, "steps is 0, expected at least 1"),
        ({"step_size": 0.0}, "step_size is 0.0, expected a number above 0"),
        ({"step_size": float("inf")}, "step_size is inf"),
        ({"targets_per_step": 0}, "targets_per_step is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(OptionError, match=text):
        attack(tiny_llava(), **options)


def test_samples_and_targets_are_checked() -> None:
    loaded = tiny_llava()
    with pytest.raises(DataError, match="no sample to attack"):
        attack(loaded, [])
    with pytest.raises(DataError, match="sample 'q7' has no image"):
        attack(loaded, [question(7, image=False)])
    with pytest.raises(DataError, match="sample 'q0' has no target answer"):
        attack(loaded, SAMPLES[:1], targets=[[]])
    with pytest.raises(DataError, match=r"got 2 entries of targets for 1 samples.*pass \[answers\] \* len"):
        attack(loaded, SAMPLES[:1], targets=[["a"], ["b"]])
    with pytest.raises(DataError, match="expected one list of answers per sample"):
        attack(loaded, SAMPLES[:1], targets=["yes"])


def test_a_processor_that_alters_model_sized_images_is_refused() -> None:
    loaded = tiny_llava()
    loaded.processor.image_processor.size = {"shortest_edge": 2 * SIDE}
    with pytest.raises(ModelError, match="image processor of 'tiny-llava' alters an image"):
        attack(loaded, steps=1)
