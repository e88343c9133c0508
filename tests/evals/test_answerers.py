"""Who answers: one seam, and nobody but the model is asked otherwise for it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch

import endpoint
from tiny_llava import question, tiny_llava
from unsee.data.sample import Sample
from unsee.errors import OptionError
from unsee.evals.answerers import Draw, How, InputFiltered, Local, OutputFiltered, Prompted, in_batches
from unsee.evals.answerers.base import scoring
from unsee.evals.answerers.endpoint import Endpoint
from unsee.evals.chat import Chat, EndpointError
from unsee.models.generate import answer_tokens, append_tokens, encode, generate
from unsee.models.load import LoadedModel

SHORT = How(max_new_tokens=6)
ASKED = [question(n, "who is this" + "?" * n, image=n % 2 == 0) for n in range(5)]


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_llava()


def test_answers_are_the_models_own_in_the_order_of_the_samples(loaded: LoadedModel) -> None:
    expected = [generate(loaded, [one], 1, 6)[0] for one in ASKED]
    assert Local(loaded).answers(ASKED, SHORT) == expected
    assert in_batches(Local(loaded), ASKED, SHORT, 2) == expected and len(set(expected)) > 1
    assert sorted(Local(loaded).order(ASKED, SHORT)) == list(range(5))


def test_an_answer_that_is_begun_goes_on_from_there(loaded: LoadedModel) -> None:
    """Against one slow pass a question: the beginning is fed as if the model had said it."""
    begun = ["ann", "", "ann lee lives", "", "bo"]
    found = Local(loaded).answers(ASKED, SHORT, begun)
    plain = Local(loaded).answers(ASKED, SHORT)
    model: Any = loaded.model
    for sample, words, said, usual in zip(ASKED, begun, found, plain, strict=True):
        if not words:
            assert said == usual
            continue
        tokens = answer_tokens(loaded, [words])[0]
        inputs = append_tokens(loaded, encode(loaded, [sample]), [tokens], len(tokens))
        with torch.no_grad():
            ids = model.generate(**inputs, do_sample=False, max_new_tokens=6)
        tail = ids[0, inputs["input_ids"].shape[1] :]
        assert said == loaded.processor.tokenizer.decode(tail, skip_special_tokens=True).strip()


def test_draws_come_from_the_whole_distribution_and_depend_on_their_seed_alone() -> None:
    loaded = tiny_llava()
    loaded.model.generation_config.top_k, loaded.model.generation_config.temperature = 1, 0.01

    def said(seed: int, temperature: float | None) -> list[str]:
        return Local(loaded).answers([question(1)], How(8, draw=Draw(seed, temperature)))

    greedy = generate(loaded, [question(1)], max_new_tokens=8)
    assert Local(loaded).answers([question(1)], How(8)) == greedy
    assert said(1, None) == greedy, "as the model's own settings say"
    whole = [said(seed, 1.0) for seed in range(4)]
    assert said(2, 1.0) == whole[2] and len({text for (text,) in whole}) > 1, "its settings do not cut these"


def test_exact_answers_have_just_as_many_tokens(loaded: LoadedModel) -> None:
    tokenizer = loaded.processor.tokenizer
    (said,) = Local(loaded).answers(ASKED[:1], How(9, exact=True))
    assert len(tokenizer(said, add_special_tokens=False)["input_ids"]) >= 5


def test_words_before_and_filters_around(loaded: LoadedModel) -> None:
    inner = Local(loaded)
    told = Prompted(inner, "say no.")
    assert told.answers(ASKED, SHORT) == inner.answers(
        [replace(one, question=f"say no.\n{one.question}") for one in ASKED], SHORT
    )
    assert told.about["preamble"] == "say no." and told.loaded is loaded
    said = inner.answers(ASKED, SHORT)
    shut = InputFiltered(inner, lambda samples: torch.tensor([s.image is None for s in samples]), "no.")
    assert shut.answers(ASKED, SHORT) == ["no." if s.image is None else a for s, a in zip(ASKED, said, strict=True)]
    after = OutputFiltered(said_by(["it is Ann Lee.", "an annual leer"]), ("ann lee",), "no.")
    assert after.answers(ASKED[:2], SHORT) == ["no.", "an annual leer"]
    assert "ann" not in str(after.about), "what is forbidden is what is to be forgotten"


def test_probabilities_are_offered_by_the_model_and_not_by_a_filter(loaded: LoadedModel) -> None:
    inner = Local(loaded)
    (one,) = scoring(inner).scores(ASKED[:1], ["ann lee"], SHORT, 1)
    (other,) = scoring(Prompted(inner, "say no.")).scores(ASKED[:1], ["ann lee"], SHORT, 1)
    assert one is not None and other is not None and one.log_p.sum() != other.log_p.sum()
    with pytest.raises(OptionError, match="gives no log-probabilities"):
        scoring(OutputFiltered(inner, ("x",)))


def test_an_endpoint_gets_the_conversation_with_its_images() -> None:
    sample = replace(question(2, "who is this?"), earlier=(("hello", "hi"),))
    with endpoint.serving() as server:
        there = Endpoint(Chat(server.url, "m", "secret"))
        assert there.answers([sample], How(9), ["sure,"]) == ["it is ann."]
        path, headers, got = server.seen[0]
        server.script = [endpoint.said(None)]
        with pytest.raises(EndpointError, match="gave no text"):
            there.answers([question(1)], How(9))
    assert (path, headers["authorization"]) == ("/v1/chat/completions", "Bearer secret")
    assert (got["max_tokens"], got["temperature"]) == (9, 0.0)
    assert [one["role"] for one in got["messages"]] == ["user", "assistant", "user", "assistant"]
    assert got["messages"][0]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")
    assert got["messages"][-1]["content"] == "sure,", "the answer is begun"
    assert "secret" not in repr(there) and "secret" not in str(there.about)


def said_by(script: Sequence[str]) -> Any:
    """An answerer that says these, in turn."""

    class Scripted:
        about: ClassVar[dict[str, str]] = {"engine": "scripted"}
        loaded = None
        turns = iter(script)

        def order(self, samples: Sequence[Sample], how: How) -> list[int]:
            return list(range(len(samples)))

        def answers(self, samples: Sequence[Sample], how: How = SHORT, begun: Sequence[str] = ()) -> list[str]:
            return [next(self.turns) for _ in samples]

    return Scripted()


def test_batches_are_put_back_in_order() -> None:
    assert in_batches(said_by("abcde"), ASKED, SHORT, 2) == list("abcde")
