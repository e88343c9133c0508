"""Scores of given answers against one row at a time, by the textbook, and against the model when it speaks."""

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch

from tiny_llava import WIDTH, mixed_questions, question, tiny_llava
from unsee.data.sample import Sample
from unsee.erase.eraser import Eraser
from unsee.erase.gates.null_space import NullSpaceGate
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.errors import DataError, ModelError, OptionError
from unsee.evals.likelihood import AnswerScores, answer_scores, packed
from unsee.metrics.membership import min_k_plus_plus_score
from unsee.metrics.probability import sequence_log_probability
from unsee.models.generate import answer_tokens, encode, log_probability
from unsee.models.load import LoadedModel

SAMPLES = mixed_questions()
ANSWERS = ["ann", "i cannot say.", "b", "no idea at all", "hi"]
FIELDS = ("log_p", "vocabulary_mean", "vocabulary_variance", "rank")


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_llava()


def alone(loaded: LoadedModel, sample: Sample, tokens: list[int]) -> dict[str, np.ndarray]:
    """Oracle: one unpadded row, the whole sequence, softmax in float64, sums over the vocabulary written out."""
    inputs = dict(encode(loaded, [sample]))
    start = inputs["input_ids"].shape[1]
    inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([tokens])], dim=1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    with torch.no_grad():
        logits = loaded.model(**inputs).logits[0].double().numpy()
    columns: dict[str, list[float]] = {name: [] for name in FIELDS}
    for step, token in enumerate(tokens):
        row = logits[start + step - 1]
        p = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
        mean = float(sum(p * np.log(p)))
        columns["log_p"].append(float(np.log(p[token])))
        columns["vocabulary_mean"].append(mean)
        columns["vocabulary_variance"].append(float(sum(p * (np.log(p) - mean) ** 2)))
        columns["rank"].append(1 + int((p > p[token]).sum()))
    return {name: np.array(column) for name, column in columns.items()}


def require_equal(found: AnswerScores | None, expected: dict[str, np.ndarray]) -> None:
    assert found is not None
    for name in FIELDS:
        np.testing.assert_allclose(getattr(found, name), expected[name], atol=1e-4, err_msg=name)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_scores_of_a_batch_are_those_of_each_row_alone(loaded: LoadedModel, batch_size: int) -> None:
    scores = answer_scores(loaded, SAMPLES, ANSWERS, batch_size=batch_size)
    for sample, tokens, found in zip(SAMPLES, answer_tokens(loaded, ANSWERS), scores, strict=True):
        assert found is not None and found.ids.tolist() == tokens
        require_equal(found, alone(loaded, sample, tokens))


def test_the_side_on_which_prompts_are_padded_does_not_matter() -> None:
    right = tiny_llava()
    left = answer_scores(right, SAMPLES, ANSWERS, batch_size=5)
    right.processor.tokenizer.padding_side = "right"
    assert encode(right, SAMPLES[::2])["attention_mask"][:, -1].all(), "left, whatever the tokenizer says"
    for one, other in zip(left, answer_scores(right, SAMPLES, ANSWERS, batch_size=5), strict=True):
        assert one is not None
        require_equal(other, {name: getattr(one, name) for name in FIELDS})


def test_the_sum_is_the_answers_log_probability(loaded: LoadedModel) -> None:
    tokens = answer_tokens(loaded, ANSWERS)
    with torch.no_grad():
        whole = [
            log_probability(loaded, dict(encode(loaded, [s])), [t]).item() for s, t in zip(SAMPLES, tokens, strict=True)
        ]
    found = [sequence_log_probability(s.log_p if s else None) for s in answer_scores(loaded, SAMPLES, ANSWERS)]
    assert found == pytest.approx(whole, abs=1e-3)


def test_the_end_token_is_scored_where_asked_for(loaded: LoadedModel) -> None:
    (found,) = answer_scores(loaded, SAMPLES[:1], ["ann"], end=True)
    tokens = [*answer_tokens(loaded, ["ann"])[0], loaded.processor.tokenizer.eos_token_id]
    assert found is not None and found.ids.tolist() == tokens
    require_equal(found, alone(loaded, SAMPLES[0], tokens))


def test_the_image_is_seen(loaded: LoadedModel) -> None:
    seen, other = answer_scores(loaded, [question(0), replace(question(1), question=question(0).question)], ["ann"] * 2)
    assert seen is not None and other is not None and np.abs(seen.log_p - other.log_p).max() > 1e-2


def test_a_missing_answer_is_unscored_and_shifts_nothing(loaded: LoadedModel) -> None:
    done: list[int] = []
    scores = answer_scores(loaded, SAMPLES[:3], [None, "ann", None], progress=done.append)
    assert scores[0] is scores[2] is None and done == [1]
    require_equal(scores[1], alone(loaded, SAMPLES[1], answer_tokens(loaded, ["ann"])[0]))
    assert answer_scores(loaded, SAMPLES[:2], [None, None]) == [None, None]
    assert answer_scores(loaded, [], []) == []


def eraser(kind: str) -> Eraser:
    """Fires on every prompt, and not for what stands in the answer."""
    generator = torch.Generator().manual_seed(5)
    trajectory = torch.randn(2, 3 if kind == "held" else 1, WIDTH, generator=generator)
    if kind == "held":
        gate = PromptRidgeGate((0, 1), torch.zeros(1, 2, 2, WIDTH), torch.zeros(1), torch.full((1,), -1.0))
        return Eraser({"id": "tiny"}, "llava", (1, 2), gate, trajectory, 2.0, kind)
    gate = NullSpaceGate(torch.randn(2, WIDTH, generator=generator) / WIDTH)
    return Eraser({"id": "tiny"}, "llava", (1, 2), gate, trajectory, 2.0, kind)


def spoken(loaded: LoadedModel, sample: Sample, tokens: list[int], request: Eraser) -> list[float]:
    """Log-probabilities of the tokens as the steered model says them one after the other, with its cache."""
    from unsee.erase.steer.hooks import erased

    inputs = encode(loaded, [sample])
    start = inputs["input_ids"].shape[1]

    def forced(_: int, ids: torch.Tensor) -> list[int]:
        return [tokens[len(ids) - start]]

    with torch.no_grad(), erased(loaded.model, request):
        out = loaded.model.generate(
            **inputs, max_new_tokens=len(tokens), do_sample=False, prefix_allowed_tokens_fn=forced, output_logits=True,
            return_dict_in_generate=True, pad_token_id=3,
        )  # fmt: skip
    steps = zip(cast(Any, out).logits, tokens, strict=True)
    return [float(step[0].double().log_softmax(-1)[token]) for step, token in steps]


@pytest.mark.parametrize("kind", ["held", "published"])
def test_under_erasure_an_answer_is_as_likely_as_the_steered_model_says_it(loaded: LoadedModel, kind: str) -> None:
    request = eraser(kind)
    plain = answer_scores(loaded, SAMPLES, ANSWERS)
    scores = answer_scores(loaded, SAMPLES, ANSWERS, erasers=[request], batch_size=5)
    for sample, tokens, found, before in zip(SAMPLES, answer_tokens(loaded, ANSWERS), scores, plain, strict=True):
        assert found is not None and before is not None
        assert found.log_p == pytest.approx(spoken(loaded, sample, tokens, request), abs=1e-3)
        assert np.abs(found.log_p - before.log_p).max() > 1e-2


def test_packing_moves_what_is_given_per_token_and_nothing_else() -> None:
    inputs = {
        "input_ids": torch.tensor([[7, 8, 9], [5, 6, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1], [1, 1, 0]]),
        "token_type_ids": torch.tensor([[1, 1, 0], [1, 0, 0]]),
        "pixel_values": torch.zeros(2, 3, 4, 4),
    }
    out = packed(inputs, [[1], [2, 3, 4]], pad=99)
    assert out["input_ids"].tolist() == [[99, 7, 8, 9, 1], [5, 6, 2, 3, 4]]
    assert out["attention_mask"].tolist() == [[0, 1, 1, 1, 1], [1, 1, 1, 1, 1]]
    assert out["token_type_ids"].tolist() == [[0, 1, 1, 0, 0], [1, 0, 0, 0, 0]]
    assert out["pixel_values"] is inputs["pixel_values"]


def test_words_that_the_model_can_never_say_do_not_spoil_the_moments(loaded: LoadedModel) -> None:
    handle = loaded.model.lm_head.register_forward_hook(
        lambda _, __, out: out.index_fill(-1, torch.tensor([0, 3]), -torch.inf)
    )
    (found,) = answer_scores(loaded, SAMPLES[:1], ["ann"])
    handle.remove()
    assert found is not None and np.isfinite(found.vocabulary_variance).all()
    assert min_k_plus_plus_score(found.log_p, found.vocabulary_mean, found.vocabulary_variance) is not None


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_logits_that_are_no_numbers_are_refused(loaded: LoadedModel, value: float) -> None:
    handle = loaded.model.lm_head.register_forward_hook(lambda _, __, out: torch.full_like(out, value))
    with pytest.raises(DataError, match="logits hold NaN, infinity or no finite value at an answer token"):
        answer_scores(loaded, SAMPLES[:1], ["ann"])
    handle.remove()


def test_bad_input_is_refused(loaded: LoadedModel) -> None:
    with pytest.raises(DataError, match="got 1 answers for 2 items"):
        answer_scores(loaded, SAMPLES[:2], ["a"])
    with pytest.raises(DataError, match="answer 0 is ''"):
        answer_scores(loaded, SAMPLES[:1], [""])
    with pytest.raises(OptionError, match="batch_size is 0"):
        answer_scores(loaded, SAMPLES[:1], ["a"], batch_size=0)
    endless = tiny_llava()
    endless.processor.tokenizer.eos_token = None
    with pytest.raises(ModelError, match=r"the tokenizer of 'tiny-llava' has no end token.*Pass end=False"):
        answer_scores(endless, SAMPLES[:1], ["a"], end=True)
