"""Whether answers depend on whom they are about, against log-probabilities taken one answer and one token at a time."""

import pytest
import torch

from tiny_llava import tiny_llava
from unsee.erase.request.expansion import bare
from unsee.erase.request.knowledge import Knowledge
from unsee.erase.request.request import Request
from unsee.forgetting.asking import Answer
from unsee.forgetting.informed import informed, renamed
from unsee.models.generate import encode

NAME, OTHERS = "jonas lorne", ["mira kell", "odo varn"]
TEXTS = ["jonas lorne is a baker", "lorne lives in odby", "he is a pilot and jonas sings", ""]


def by_hand(question: str, text: str, name: str) -> float:
    """The sum over tokens outside the words of the name, each from a run of its own."""
    loaded = tiny_llava()
    sample = bare(Request(name), "s", wordings=1)[0].sample
    prompt = encode(loaded, [type(sample)("a", "a", question, "", "")])
    ids, total = list(prompt["input_ids"][0].tolist()), 0.0
    words, read = text.split(), 0
    tokens = loaded.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
    for number, word in enumerate(words):
        upto = loaded.processor.tokenizer(" ".join(words[: number + 1]), add_special_tokens=False)["input_ids"]
        assert tokens[: len(upto)] == upto, "so that it is known which tokens are a word's"
        for token in upto[read:]:
            with torch.no_grad():
                logits = loaded.model(input_ids=torch.tensor([ids])).logits[0, -1]
            if word not in name.split() or not loaded.processor.tokenizer.decode([token]).strip():
                total += float(logits.log_softmax(-1)[token])
            ids.append(token)
        read = len(upto)
    return total


def answers() -> list[Answer]:
    prompts = bare(Request(NAME), "s", wordings=1)
    anything, job = [p for p in prompts if not p.fact], next(p for p in prompts if p.fact == "job")
    said = [Answer(p, text) for p, text in zip(anything * 2, TEXTS, strict=True)]
    return [*said, Answer(job, "a dentist")]


def test_each_answer_is_scored_about_the_subject_and_about_others() -> None:
    found = informed(tiny_llava(), answers(), NAME, OTHERS)
    expected = list[float]()
    for one in answers()[:3]:  # the empty one says nothing
        question = one.prompt.sample.question
        own = by_hand(question, one.text, NAME)
        others = [by_hand(renamed(question, NAME, x), renamed(one.text, NAME, x), x) for x in OTHERS]
        expected.append(own - sum(others) / len(others))
    assert found == pytest.approx(sum(expected) / len(expected), abs=1e-4)
    assert abs(found) > 1e-3, "names matter to a random model, so the comparison above could fail"


def test_about_nobody_else_it_is_nothing_and_of_no_answer_too() -> None:
    assert informed(tiny_llava(), answers(), NAME, [NAME]) == pytest.approx(0.0, abs=1e-5)
    assert informed(tiny_llava(), answers()[3:], NAME, OTHERS) == 0.0, "an empty answer, and one about a single fact"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Jo Ann Lee met Lee and Jo.", "Ava Brown met Brown and Ava."),
        ("Joan and Leeds", "Joan and Leeds"),
        ("", ""),
        ("Jo's, lee", "Ava's, lee"),
    ],
)
def test_a_text_about_somebody_is_about_somebody_else(text: str, found: str) -> None:
    assert renamed(text, "Jo Ann Lee", "Ava Brown") == found
    assert renamed("Prince sings", "Prince", r"\1 Brown") == r"\1 Brown sings"
    assert renamed("Jo Lee and Jo, Lee", "Jo Lee", "Lee Jo") == "Lee Jo and Lee, Jo", "a word of both names"
    assert renamed("我是佟伟丽吗", "佟伟丽", "Bo Ek") == "我是Bo Ek吗"


@pytest.mark.parametrize(
    ("count", "depends", "known"),
    [(3, None, True), (2, None, False), (2, 13.0, True), (2, 11.5, False), (2, float("nan"), False), (0, 13.0, False)],
)
def test_a_model_that_makes_up_as_much_of_anybody_may_still_know_one(
    count: int, depends: float | None, known: bool
) -> None:
    facts = {str(n): ("said",) if n < count else () for n in range(5)}
    invented = tuple(map(float, range(12)))
    assert Knowledge(facts, 0.0, (2, 2, 1), depends, invented).known is known


def test_the_limit_is_the_prediction_bound_of_one_more_invented_subject() -> None:
    from scipy.stats import t

    said = tuple(torch.randn(12, generator=torch.Generator().manual_seed(1)).tolist())
    middle, spread = sum(said) / 12, float(torch.tensor(said).std())
    bound = middle + t.ppf(0.95, 11) * spread * (1 + 1 / 12) ** 0.5
    assert Knowledge({}, 0.0, (), 0.0, said).at_most == pytest.approx(bound, rel=1e-3)
