"""What an attacker who writes prompts asks, and what he gets back: one answer or many to each question."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tiny_llava import noise_image, question, tiny_llava
from unsee.attacks.base import Victim
from unsee.attacks.longer import longer
from unsee.attacks.prefill import beginning, prefill
from unsee.attacks.relearning import relearning
from unsee.attacks.rounding import rounding
from unsee.attacks.sampling import sampling
from unsee.attacks.turns import turns
from unsee.data.sample import Sample
from unsee.evals.answerers import PLAIN, Draw, How, Local
from unsee.models.digest import weights_digest
from unsee.registry import ATTACKS

JOB = Sample("a", "p", "what does this person do?", "She works as a pilot.", "pilot", image=noise_image(0))
CITY = Sample("b", "q", "where does she live?", "kastel.", "kastel", form="cloze")
CHOICE = replace(question(9), form="classification", answer="A", options={"A": "ann lee", "B": "bo"})


@dataclass
class Parrot:
    """Answers with its number, and remembers what it was asked."""

    asked: list[tuple[Sample, Draw | None, str]] = field(default_factory=list)
    loaded: Any = None

    @property
    def about(self) -> dict[str, Any]:
        return {"engine": "parrot"}

    def order(self, samples: Sequence[Sample], how: How) -> list[int]:
        return list(range(len(samples)))[::-1]

    def answers(self, samples: Sequence[Sample], how: How = PLAIN, begun: Sequence[str] = ()) -> list[str]:
        words = begun or [""] * len(samples)
        self.asked += [(one, how.draw, word) for one, word in zip(samples, words, strict=True)]
        return [one.question for one in samples]


def test_an_answer_is_begun_up_to_its_fact_and_only_where_one_is_said() -> None:
    parrot = Parrot()
    assert prefill(Victim(parrot), [CITY, JOB], 0) == [None, [JOB.question]]
    assert [word for _, _, word in parrot.asked] == ["she works as a"] == [beginning(JOB)]
    assert beginning(Sample("c", "q", "who?", "pilot", "pilot")) == "sure,"


def test_earlier_turns_come_first_and_those_of_the_question_after_them() -> None:
    parrot = Parrot()
    talk = (("hot?", "cold."), ("dog?", "bark."), ("one?", "two."))
    turns(Victim(parrot, talk=talk), [replace(JOB, earlier=(("hi", "ho"),))], 0)
    assert parrot.asked[0][0].earlier == (("hot?", "cold."), ("dog?", "bark."), ("hi", "ho"))
    longer(Victim(parrot, talk=talk), [CITY], 0)
    assert parrot.asked[1][0].question == "cold. bark. two. where does she live?"


def test_drawn_answers_are_many_of_other_seeds_and_letters_are_left_out() -> None:
    parrot = Parrot()
    got = sampling(Victim(parrot, tries=3), [JOB, CHOICE, CITY], 7)
    assert got == [[JOB.question] * 3, None, [CITY.question] * 3]
    draws = {draw for _, draw, _ in parrot.asked}
    assert len(draws) == 3 and {draw.temperature for draw in draws if draw} == {1.0}


def test_attacks_on_weights_leave_them_as_they_were() -> None:
    loaded = tiny_llava()
    asked = [replace(question(n, "who is it?"), subject=f"p{n % 3}") for n in range(6)]
    victim = Victim(Local(loaded), How(4))
    plain = victim.said(asked)
    rounds = rounding(victim, asked, 0)
    assert all(one is not None for one in rounds) and [one[0] for one in rounds if one] != plain
    learnt = relearning(victim, asked, 0)
    assert [one is None for one in learnt] == [n % 3 != 1 for n in range(6)], "every second subject is his own"
    assert weights_digest(loaded.model) == loaded.digest and victim.said(asked) == plain


def test_every_attack_says_what_it_takes_and_what_counts() -> None:
    for entry in ATTACKS:
        assert entry.facts["access"] in ("prompt", "sampling", "weights")
        assert entry.facts["recovered"] and entry.summary.endswith(".") and "forget" in entry.facts["roles"]
