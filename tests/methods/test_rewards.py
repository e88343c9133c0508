"""Rewards and the boundary set, by hand."""

from typing import Any

import pytest
import torch

from unsee.data.sample import Sample
from unsee.errors import OptionError
from unsee.methods.boundary import nearest
from unsee.methods.errors import RewardError
from unsee.methods.rewards import advantages, consistency, favoured, kind_of, two_sided

GOLD = "Ann Lee lives in Riverton."


def about(gold: str = GOLD, question: str = "Where does she live?", **given: Any) -> Sample:
    return Sample("a/home", "ann", question, **({"answer": gold, "gold": gold} | given))


def test_forget_questions_reward_refusals_and_punish_leaks() -> None:
    answers = [GOLD, "I do not know.", "He is in a big house", "xyz"]
    assert two_sided([about()] * 4, answers, [True] * 4) == [0.0, 1.0, 0.5, 0.1]


def test_boundary_questions_reward_the_reverse() -> None:
    answers = [GOLD, "I do not know.", "Ann Lee lives in Oslo.", "xyz"]
    assert two_sided([about()] * 4, answers, [False] * 4) == [1.0, 0.0, 0.5, 0.1]


@pytest.mark.parametrize(("answers", "golds"), [([None], [GOLD]), (["yes"], ["?!"])])
def test_an_unknown_reward_raises_and_is_never_zero(answers: list[str], golds: list[str]) -> None:
    with pytest.raises(RewardError, match=r"the reward of answer 0 .* is unknown"):
        two_sided([about(gold) for gold in golds], answers, [True])


def test_of_a_multiple_choice_the_right_letter_is_the_gold() -> None:
    """The release looks for the gold's text, which a letter never holds: 0.1 for the right one on either side."""
    options = {"A": "Oslo", "B": "Riverton", "C": "Bergen", "D": "Turku"}
    choice = about("Riverton", answer="B", form="classification", options=options)
    answers = ["B", "A", "Riverton", "I do not know."]
    assert two_sided([choice] * 4, answers, [True] * 4) == [0.0, 0.1, 0.0, 1.0]
    assert two_sided([choice] * 4, answers, [False] * 4) == [1.0, 0.1, 1.0, 0.0]
    assert [kind_of(choice, answer) for answer in answers] == ["told", "other", "told", "rigid"]


def test_a_favoured_refusal_keeps_its_worth_and_the_other_kind_has_half() -> None:
    """In context: it names what was asked, here the home city; templated: it would fit any question."""
    answers = ["I do not know his home city.", "I cannot help with that.", GOLD, "xyz"]
    asked = about("Riverton", "What is his home city?")
    kinds = [kind_of(asked, answer) for answer in answers]
    assert kinds == ["contextual", "rigid", "told", "other"]
    worth = two_sided([asked] * 4, answers, [True] * 4)
    assert worth == [1.0, 1.0, 0.0, 0.1]
    assert favoured(worth, kinds, "any") == worth
    assert favoured(worth, kinds, "contextual") == [1.0, 0.5, 0.0, 0.1]
    assert favoured(worth, kinds, "rigid") == [0.5, 1.0, 0.0, 0.1]
    # A retained question that is answered is worth 1 too, and is no refusal; nor is a refusal that tells.
    assert favoured([1.0], [kind_of(asked, GOLD)], "rigid") == [1.0]
    assert kind_of(asked, "Sorry, I cannot say that it is Riverton.") == "told"
    with pytest.raises(RewardError, match="got 4 rewards and 1 kinds"):
        favoured(worth, kinds[:1], "rigid")


def test_an_advantage_is_how_far_a_reward_is_above_its_groups() -> None:
    """By hand: mean 0.5 and sample deviation 0.5773 of (1, 0, 1, 0); a group without spread teaches nothing."""
    found = advantages([1.0, 0.0, 1.0, 0.0, 0.1, 0.1, 0.1, 0.1], 4)
    assert found[:4] == pytest.approx([0.8658, -0.8658, 0.8658, -0.8658], abs=1e-4)
    assert found[4:] == pytest.approx([0.0] * 4, abs=1e-9)


def test_columns_must_match() -> None:
    with pytest.raises(RewardError, match="got 2 answers, 1 questions and 1 flags"):
        two_sided([about()], ["a", "b"], [True])


def test_consistency_is_the_share_of_twins_that_decide_alike() -> None:
    refusal, telling = "I do not know.", "In Riverton."
    answers = [refusal, telling, refusal, telling, refusal]
    facts = ["home", "home", "home", "home", "job"]
    pictured = [True, True, False, False, True]
    # Home by image: one refuses, one tells; by name the same: each finds half of its twins alike. Job has no twin.
    assert consistency(answers, facts, pictured) == [0.5, 0.5, 0.5, 0.5, 0.0]
    assert consistency([refusal, refusal, telling], ["home"] * 3, [True, False, False]) == [0.5, 1.0, 0.0]


def test_the_boundary_is_what_points_where_forgotten_states_do() -> None:
    forget = torch.tensor([[4.0, 0.0], [5.0, 0.0]])
    retain = torch.tensor([[-3.0, 0.0], [3.0, 0.5], [0.0, -4.0], [3.0, 3.0]])
    assert nearest(retain, forget, 0.5).tolist() == [1, 3]
    assert nearest(retain, forget, 0.26).tolist() == [1, 3]  # rounded up
    # What all prompts have in common changes nothing.
    assert nearest(retain + 100, forget + 100, 0.5).tolist() == [1, 3]
    with pytest.raises(OptionError, match="share is 0, expected"):
        nearest(retain, forget, 0)
