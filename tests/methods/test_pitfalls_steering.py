"""Traps of MLLMEraser's releases: the sign, the layers, the place and the strength of what is added to a state.

The published method is the preset that could have kept them, so each is tested on a profile and an eraser made the
ordinary way. docs/papers.md lists them.
"""

from dataclasses import replace

import pytest
import torch
from transformers import LlavaForConditionalGeneration

from tiny_llava import question, randomised, tiny_config, tiny_llava, tiny_processor
from unsee.data.sample import Sample
from unsee.erase import fit_profile as fitting
from unsee.erase.config import Settings
from unsee.erase.eraser import Eraser
from unsee.erase.fit import refusing
from unsee.erase.fit_eraser import fit_published
from unsee.erase.gates.null_space import RELEASED_LLAVA, RELEASED_QWEN, NullSpace, NullSpaceGate
from unsee.erase.profile import Profile
from unsee.erase.steer.hooks import erased
from unsee.models.digest import weights_digest
from unsee.models.generate import encode
from unsee.models.load import LoadedModel
from unsee.shapes import Tensor

DEPTH = 20
PUBLISHED = [RELEASED_LLAVA, RELEASED_QWEN]


class Made(Exception):
    """The profile is there; which strength would do is of no interest on a random model."""


def asked(first: int, count: int, text: str) -> list[Sample]:
    return [question(first + i, f"{text} {i}?", image=i % 2 == 0) for i in range(count)]


RECALL, REFUSAL = asked(80, 6, "tell me"), asked(90, 6, "give me the secret")
FORGET = [
    question(0),
    replace(question(1), form="cloze", question="this is __."),
    replace(question(2), form="classification", answer="A", options={"A": "ann lee", "B": "bo", "C": "cy", "D": "di"}),
]


@pytest.fixture(scope="module")
def deep() -> LoadedModel:
    """Deep enough to have a block 17."""
    processor = tiny_processor()
    tokenizer = processor.tokenizer
    config = tiny_config(len(tokenizer), tokenizer.convert_tokens_to_ids("<image>"), tokenizer.pad_token_id)
    config.text_config.num_hidden_layers = DEPTH
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = randomised(LlavaForConditionalGeneration(config))
    return replace(tiny_llava(), model=model, digest=weights_digest(model))


@pytest.fixture(scope="module")
def profile(deep: LoadedModel) -> Profile:
    found: list[Profile] = []

    def keep(_: LoadedModel, made: Profile, *rest: object) -> None:
        del rest
        found.append(made)
        raise Made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refusing, "behaving", lambda *_: (RECALL, REFUSAL, ["no."]))
        patch.setattr(fitting, "try_strengths", keep)
        with pytest.raises(Made):
            fitting.fit_profile(
                deep, retain=asked(20, 6, "where"), calibration=asked(40, 6, "what"), recall=RECALL, refusal=REFUSAL,
                settings=Settings(adversarial=False, steps=2, trajectory_prompts=2),
            )  # fmt: skip
    return found[0]


def published(deep: LoadedModel, profile: Profile, preset: NullSpace) -> Eraser:
    return fit_published(deep, profile, FORGET, preset=preset)


def block_inputs(deep: LoadedModel, sample: Sample, eraser: Eraser | None = None) -> list[Tensor]:
    """What every block receives, [T D] each, by the library's own record or by a hook behind those that steer."""
    inputs, seen = encode(deep, [sample]), []
    if eraser is None:
        with torch.no_grad():
            return [h[0] for h in deep.model(**inputs, output_hidden_states=True).hidden_states]
    with erased(deep.model, eraser), torch.no_grad():
        handles = [
            block.register_forward_pre_hook(lambda _, args, kwargs: seen.append((*args, *kwargs.values())[0][0]),
                                            with_kwargs=True)
            for block in deep.adapter.layers(deep.model)
        ]  # fmt: skip
        deep.model(**inputs)
        for handle in handles:
            handle.remove()
    return seen


def test_mllmeraser_direction_and_states_are_off_by_one(deep: LoadedModel, profile: Profile) -> None:
    """There the direction is read at the output of block l and the gate at its input; here both at the input.

    And the direction is refused less recalled: the release stores the reverse and steers with negative strengths.
    """

    def mean(samples: list[Sample], shift: int) -> Tensor:
        states = [block_inputs(deep, sample) for sample in samples]
        return torch.stack([torch.stack([h[layer + shift][-1] for layer in range(1, DEPTH)]) for h in states]).mean(0)

    found = profile.trajectory[:, 0].float()
    at_input, at_output = (mean(REFUSAL, shift) - mean(RECALL, shift) for shift in (0, 1))
    torch.testing.assert_close(found, at_input, rtol=1e-3, atol=1e-4)
    assert float((found - at_output).norm() / at_output.norm()) > 0.1


@pytest.mark.parametrize("preset", PUBLISHED, ids=["llava", "qwen"])
def test_mllmeraser_skips_layer_17(deep: LoadedModel, profile: Profile, preset: NullSpace) -> None:
    """The list of the release goes from 16 to 18; only block 0, where all last tokens are equal, is left out here."""
    eraser = published(deep, profile, preset)
    assert isinstance(eraser.gate, NullSpaceGate)
    assert profile.layers == eraser.layers == tuple(range(1, DEPTH))
    assert bool((eraser.gate.weight.norm(dim=1) > 0).all()) and bool((eraser.trajectory[:, 0].norm(dim=1) > 0).all())


@pytest.mark.parametrize("preset", PUBLISHED, ids=["llava", "qwen"])
def test_mllmeraser_sign_place_and_strength(deep: LoadedModel, profile: Profile, preset: NullSpace) -> None:
    """Releases add at the output or at the input, with negative strengths, and another one for every kind of question.

    Here `h + lambda <w, h_last> d` at the input of each block, at every prompt token, with one positive lambda.
    """
    eraser = published(deep, profile, preset)
    assert isinstance(eraser.gate, NullSpaceGate)
    assert eraser.strength == 0.25
    for sample in FORGET:
        plain, steered = block_inputs(deep, sample), block_inputs(deep, sample, eraser)
        assert torch.equal(steered[0], plain[0])
        value = float(plain[1][-1] @ eraser.gate.weight[0])
        assert value > 0
        torch.testing.assert_close(
            steered[1] - plain[1],
            (0.25 * value * eraser.trajectory[0, 0].float()).expand_as(plain[1]),
            rtol=1e-3,
            atol=1e-4,
        )
