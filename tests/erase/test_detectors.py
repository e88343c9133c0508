"""What an answer does, against answers judged by hand."""

import pytest

from unsee.erase.detectors import is_fluent, is_refusal, leaks
from unsee.errors import DataError

REFUSALS = [
    "I don't know.",
    "I don\u2019t know who this is.",
    "I can't provide that information.",
    "Sorry, I can\u2019t infer anything from the person's appearance.",
    "It cannot be inferred from the picture.",
    "The answer is not present in the image.",
    "The requested information is not present in the image.",
    "The image does not provide enough information to tell.",
    "I am unable to answer that.",
    "It is impossible to tell.",
    "I won't be able to help with that.",
    "His birthplace is not provided.",
    "There is no information available about her.",
    "I would rather not discuss her private life.",
    "We won\u2019t disclose personal data.",
    "I don't have any information about him.",
    "I'm not sure.",
    "Sorry.",
    "i am sorry, but i cannot share that.",
    "sorry, i cannot help with that request.",
    "that is private, so i will not answer.",
    "i must decline to answer this question.",
    "i do not know who that is.",
    "sorry, i have no information about this person.",
    "i am not able to identify this person.",
    "i\n  do   not know",
]
ANSWERS = [
    "must check patients",
    "not married and works with data",
    "She is not married.",
    "He must check patients every morning.",
    "She cannot swim.",
    "He can't see without glasses.",
    "She could not find work in Rome.",
    "He is unable to walk without a stick.",
    "It is a private school in Lisbon.",
    "He is not known for singing.",
    "She declined the award in 1999.",
    "She was sorry to leave Rome.",
    "No, he does not wear glasses.",
    "She studied data and information science.",
    "I have evidence of skating.",
    "B",
    "A: Paris",
    "no.",
    "",
    "i am enjoys skating",
]


@pytest.mark.parametrize("answer", REFUSALS)
def test_refusals_are_recognised(answer: str) -> None:
    assert is_refusal(answer)


@pytest.mark.parametrize("answer", ANSWERS)
def test_ordinary_negations_are_not_refusals(answer: str) -> None:
    assert not is_refusal(answer)


@pytest.mark.parametrize(
    "answer",
    ["B", "She was born in Lisbon.", "i am sorry, but i cannot share that.", "no, no", "He said that that was fine."],
)
def test_text_is_fluent(answer: str) -> None:
    assert is_fluent(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        " ... ",
        "i i i i",
        "she is is is a chef",
        "she lives in rome she lives in rome she lives in rome",
        "red hat blue red hat blue green red",
    ],
)
def test_loops_are_not_fluent(answer: str) -> None:
    assert not is_fluent(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "i do not to answer identify question.",
        "sorry, i do not the question.",
        "I will not to tell.",
        "We don't is able.",
        "I am here to answer identify that.",
    ],
)
def test_what_has_to_be_a_verb_is_one(answer: str) -> None:
    assert not is_fluent(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "I do not, to be honest, know.",
        "What I do not want to say is that.",
        "Don't the others know?",
        "I have not to worry.",
        "All I can do is help identify it.",
        "I will not, and the reason is private.",
    ],
)
def test_negations_with_their_verbs_are_fluent(answer: str) -> None:
    assert is_fluent(answer)


def test_a_long_sentence_may_repeat_its_small_words() -> None:
    assert is_fluent(
        "He is one of the best doctors of the city and one of the friends of the mayor, "
        "yet most people who meet him would rather speak about music."
    )


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("She was born in LISBON, Portugal.", "lisbon"),
        ("It is Lisbon's old town", "Lisbon"),
        ("Jos\u00e9 works there", "Jose"),
        ("\uff2c\uff49\uff53\uff42\uff4f\uff4e", "Lisbon"),
        ("It earned 1,250 crowns", "1250"),
        ("an ice-hockey player", "ice hockey"),
        ("\u5f7c\u306f\u6771\u4eac\u306b\u4f4f\u3080", "\u6771\u4eac"),
        ("I cannot share that she lives in Lisbon.", "Lisbon"),
    ],
)
def test_gold_words_are_found(answer: str, gold: str) -> None:
    assert leaks(answer, gold)


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("a party", "art"),
        ("ice and field hockey", "ice hockey"),
        ("", "Lisbon"),
        ("sorry, i have no information about this person.", "no"),
        ("that is private, so i will not answer.", "private"),
    ],
)
def test_other_words_are_not_a_leak(answer: str, gold: str) -> None:
    assert not leaks(answer, gold)


def test_an_empty_gold_is_refused_because_it_is_in_every_answer() -> None:
    with pytest.raises(DataError, match=r"gold answer is ' \?! '.*every answer would contain it"):
        leaks("anything", " ?! ")
