"""What counts as known: enough wordings right, and nothing that the question says itself."""

from tiny_foreign import tiny_llama
from unsee.data.benchmarks.public_knowledge import public_knowledge
from unsee.evals.answerers import Local
from unsee.evals.known import SCREENED, drawn, known_facts, measure_known, right

KNOWLEDGE = public_knowledge()
MOZART = next(one for one in KNOWLEDGE.subjects if one.short == "Mozart")
GERMANY = next(one for one in KNOWLEDGE.subjects if one.name == "Germany")


def test_a_fact_is_known_when_enough_wordings_are_right() -> None:
    asked = KNOWLEDGE.about(MOZART, "fit", ["country"])[:2]
    good, bad = "He was Austrian.", "He was from Norway."
    assert known_facts(asked, [good, good], 2) == {MOZART.id: ("country",)}
    assert known_facts(asked, [good, bad], 2) == {} == known_facts(asked, [good, "I don't know, perhaps Austria."], 2)
    assert known_facts(asked, [good, bad], 1) == {MOZART.id: ("country",)}


def test_an_echo_of_the_question_is_no_knowledge() -> None:
    language = KNOWLEDGE.about(GERMANY, "fit", ["language"])[0]
    capital = KNOWLEDGE.about(GERMANY, "fit", ["capital"])[0]
    assert not right(language, "In Germany they speak German.") and right(capital, "Berlin.")


def test_every_screened_wording_is_asked_and_kept() -> None:
    chosen = drawn(KNOWLEDGE, 2, seed=3)
    assert chosen == drawn(KNOWLEDGE, 2, seed=3) != drawn(KNOWLEDGE, 2, seed=4)
    known = measure_known(Local(tiny_llama()), KNOWLEDGE, chosen)
    assert known.digest == tiny_llama().digest and known.facts == {}
    asked = {f"{one.id}/{fact}/{wording}" for one in chosen for fact in one.facts for wording in SCREENED}
    assert known.answers.keys() == asked
