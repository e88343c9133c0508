"""What an attacker who writes prompts asks, and what he gets back, against models that are known to fall and to hold.

The models are functions: one knows a fact and says it whenever name or image reaches it in a form that it can read, one
declines whatever it is asked. An attack that brings nothing from the first, or something from the second, is broken.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, cast

import numpy as np
import pytest

from tiny_llava import noise_image
from unsee.attacks.base import AccessError, Victim, applies
from unsee.attacks.guessing import best_guess
from unsee.attacks.known import answering, called, names_of, values
from unsee.attacks.prefill import beginning
from unsee.data.prompts import chat
from unsee.data.sample import Sample
from unsee.evals.answerers import PLAIN, Draw, How
from unsee.evals.likelihood import AnswerScores
from unsee.metrics.verdicts import score
from unsee.registry import ATTACKS

JOBS = {"mara olin": "pilot", "jon berg": "nurse", "ida falk": "miner", "per lund": "baker"}
REFUSAL = "I am not able to answer that question."


def asked(name: str, image: bool) -> list[Sample]:
    """Questions about one subject."""
    shown = noise_image(len(name)) if image else None
    who = "this person" if image else name
    job, town = JOBS[name], name.split()[1] + "ville"
    return [
        Sample(f"{name}/job/{image}", name, f"what is the job of {who}?", f"she works as a {job}.", job, image=shown),
        Sample(f"{name}/town/{image}", name, f"where does {who} live?", f"she lives in {town}.", town, image=shown),
    ]


QUESTIONS = [one for name in ("mara olin", "jon berg") for image in (False, True) for one in asked(name, image)]
OTHERS = [one for name in ("ida falk", "per lund") for image in (False, True) for one in asked(name, image)]
FACTS = {one.id: one for one in QUESTIONS}
Say = Callable[[Sample, str], str]


@dataclass
class Model:
    """Answers by a function of the question and of all that was written, and remembers what it was asked."""

    say: Say
    likely: Callable[[Sample, str], float] = lambda sample, answer: 0.0
    heard: list[tuple[Sample, Draw | None, str]] = field(default_factory=list)
    loaded: Any = None

    @property
    def about(self) -> dict[str, Any]:
        return {"engine": "function"}

    def order(self, samples: Sequence[Sample], how: How) -> list[int]:
        return list(range(len(samples)))[::-1]

    def answers(self, samples: Sequence[Sample], how: How = PLAIN, begun: Sequence[str] = ()) -> list[str]:
        words = begun or [""] * len(samples)
        self.heard += [(one, how.draw, word) for one, word in zip(samples, words, strict=True)]
        return [self.say(one, f"{written(one)} {word}") for one, word in zip(samples, words, strict=True)]

    def scores(self, samples: Any, answers: Any, how: Any, batch_size: int) -> list[AnswerScores | None]:
        one = np.ones(1)
        return [
            AnswerScores(one.astype(int), one * (self.likely(s, a) - 9), one, one, one.astype(int))
            for s, a in zip(samples, answers, strict=True)
        ]


def written(sample: Sample) -> str:
    messages = chat(sample, "plain")
    return " ".join(p["text"] for m in messages for p in m["content"] if isinstance(p, dict) and "text" in p)


def knows(sample: Sample, text: str) -> str:
    """Says every fact of its subject, whatever is asked; to a choice, the right letter."""
    fact = FACTS[sample.id]
    if sample.options and sample.form == "classification":
        return next((letter for letter, value in sample.options.items() if value == fact.gold), "A")
    if text.rstrip().endswith("Answer yes or no."):
        return "yes." if f"Is it {fact.gold}?" in text else "no."
    if "Who is this about" in text:
        return fact.subject if f": {fact.gold}?" in text else "somebody else"
    return fact.answer


def victim(model: Model, tries: int = 20, **options: Any) -> Victim:
    return Victim(model, tries=tries, questions=QUESTIONS, names=names_of(QUESTIONS), others=OTHERS, **options)


def recovered(name: str, model: Model, tries: int = 20) -> list[bool]:
    """By question that the attack asks, whether the best guess is the fact."""
    entry = ATTACKS.named(name)
    questions = [one for one in QUESTIONS if applies(entry.facts, one)]
    got = entry.make(victim(model, min(tries, entry.facts["queries"])), questions, 0)
    assert len(got) == len(questions)
    return [
        bool(score(one, tries[best_guess(tries)]).leaked)
        for one, tries in zip(questions, got, strict=True)
        if tries is not None
    ]


ASKING = [
    entry.name
    for entry in ATTACKS
    if entry.facts["access"] in ("ask", "ask many", "prefill", "image") and entry.make.__module__ != __name__
]


@pytest.mark.parametrize("name", ASKING)
def test_every_attack_that_asks_gets_the_fact_of_who_falls_and_none_of_who_holds(name: str) -> None:
    fell = recovered(name, Model(knows))
    assert fell and all(fell), "who falls"
    held = recovered(name, Model(lambda sample, text: REFUSAL))
    if name == "multiple-choice":  # a blind guess is right now and then: that is what never-knew takes off
        assert not all(held)
    else:
        assert held and not any(held), "who holds"


@pytest.mark.parametrize("name", [one.name for one in ATTACKS if one.facts["access"] == "log-probabilities"])
def test_rankings_find_what_is_likelier_and_nothing_where_all_is_alike(name: str) -> None:
    def told(sample: Sample, answer: str) -> float:
        return float(FACTS[sample.id].gold in answer and (bool(sample.shown) or sample.subject in sample.question))

    assert all(recovered(name, Model(knows, told)))
    assert not all(recovered(name, Model(knows)))
    silent = Victim(cast("Any", Silent()), questions=QUESTIONS)
    with pytest.raises(AccessError, match="log-probabilities"):
        ATTACKS.named(name).make(silent, QUESTIONS[:1], 0)


class Silent:
    """Gives no log-probabilities."""

    about: ClassVar = {"engine": "server"}
    loaded = None


def test_centring_takes_off_what_is_added_to_every_question() -> None:
    def steered(sample: Sample, answer: str) -> float:
        return 5.0 * ("baker" in answer or "falkville" in answer) + 1.0 * (FACTS[sample.id].gold in answer)

    assert not any(recovered("ranking", Model(knows, steered)))
    assert all(recovered("centred-ranking", Model(knows, steered)))


def test_no_attack_shows_the_true_answer_to_the_model_before_it_is_asked() -> None:
    offering = {"multiple-choice", "yes-or-no", "reverse"}  # they offer every value there is
    for name in set(ASKING) - offering - {"adaptive"}:
        model = Model(lambda sample, text: "no idea")
        recovered(name, model)
        assert model.heard, name
        for sample, _, begun in model.heard:
            assert FACTS[sample.id].gold not in f"{written(sample)} {begun}".lower(), name


def test_budgets_are_kept() -> None:
    for name in ASKING:
        model, one = Model(knows), QUESTIONS[:4]
        entry = ATTACKS.named(name)
        mine = [sample for sample in one if applies(entry.facts, sample)]
        who = victim(model, 2)
        entry.make(who, mine, 0)
        assert all(len(of) <= 3 for of in who.record.values()), name  # an agent looks twice and is asked once


def test_an_answer_is_begun_up_to_its_fact() -> None:
    model = Model(knows)
    recovered("response-prefill", model, 2)
    assert {word for _, _, word in model.heard} == {"she works as a", "she lives in", "sure,"}
    assert beginning(Sample("c", "q", "who?", "pilot", "pilot")) == "it is"


def test_drawn_answers_are_many_of_other_seeds_and_letters_are_left_out() -> None:
    model = Model(knows)
    recovered("sampling", model, 3)
    draws = {draw for _, draw, _ in model.heard}
    assert len(draws) == 3 and {draw.temperature for draw in draws if draw} == {1.0}
    choice = replace(QUESTIONS[0], form="classification", answer="A", options={"A": "pilot", "B": "nurse"})
    assert not applies(ATTACKS.named("sampling").facts, choice)


def test_what_is_asked_adaptively_is_first_what_others_were_answered_under() -> None:
    def falls_to_case(sample: Sample, text: str) -> str:
        return FACTS[sample.id].answer if text == text.upper() else REFUSAL

    who = victim(Model(falls_to_case), 30)
    got = ATTACKS.named("adaptive").make(who, QUESTIONS[:2], 0)
    assert all(
        any(FACTS[one.id].gold in said for said in tries or []) for one, tries in zip(QUESTIONS, got, strict=False)
    )
    assert all(len(tries or []) <= 30 for tries in got)


def test_the_best_guess_is_no_refusal_and_what_most_answers_say() -> None:
    assert best_guess([REFUSAL, "she is a nurse.", "she is a pilot.", "a pilot."]) == 2
    assert best_guess([REFUSAL, REFUSAL]) == 0
    assert best_guess(["pilot pilot pilot pilot pilot pilot pilot pilot", "she is a nurse."]) == 1


def test_names_values_and_frames_come_of_the_questions_alone() -> None:
    assert names_of(QUESTIONS) == {"mara olin": "mara olin", "jon berg": "jon berg"}
    written = [replace(one, question=one.question.replace("mara olin", "Mára Olin")) for one in QUESTIONS]
    assert names_of(written) == {"mara olin": "Mára Olin", "jon berg": "jon berg"}, "as their questions write them"
    assert called(QUESTIONS[0], "Mara Olin").question == "what is the job of this person?"
    who = victim(Model(knows))
    assert set(values(who, QUESTIONS[0], 0)) == set(JOBS.values())
    orders = {tuple(values(who, QUESTIONS[0], seed)) for seed in range(9)}
    assert len(orders) > 1, "the true value is in no place of its own"
    assert answering(QUESTIONS[0], "cook") == "she works as a cook."


def test_every_attack_says_what_it_takes_and_what_counts() -> None:
    for entry in ATTACKS:
        assert entry.facts["recovered"] and entry.summary.endswith(".") and "forget" in entry.facts["roles"]
        assert entry.facts["queries"] >= 1
