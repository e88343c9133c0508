"""A test world shares nothing with world 0 that a rule was chosen on, and is a world like any other."""

import itertools

import pytest
from tools.world.eyes import EYES, eyes_of
from tools.world.tiny import llava, words

from unsee.data.canvas import View
from unsee.erase.detectors import is_refusal
from unsee.world import questions
from unsee.world.generate import World
from unsee.world.made import TEST_SEEDS, made_of
from unsee.world.vocabulary import ORIGINAL
from unsee.world.words import Words

ALL = (ORIGINAL, *(made_of(seed).words for seed in TEST_SEEDS))


def invented(said: Words) -> set[str]:
    named = {*said.she, *said.he, *said.last, *said.brews, *said.towns, *itertools.chain(*said.capitals)}
    return named | {value for a in (*said.person, *said.brew, *said.town) for value in a.values}


def frames(said: Words) -> set[str]:
    asks = {ask for attribute in (*said.person, said.name) for ask in (*attribute.asks, *attribute.tells)}
    return asks | {
        *said.taught, *said.held_out,
        *said.taught_tells, *said.held_out_tells, *said.taught_cloze, *said.held_out_cloze,
        *said.crimes_taught, *said.crimes_held_out, *said.colour_taught, *said.colour_held_out, *said.glasses_taught,
        *said.glasses_held_out, *said.secrets, *said.refusals, *said.unknown,
    }  # fmt: skip


def test_worlds_share_no_name_and_no_value() -> None:
    assert not any(invented(ORIGINAL) & invented(said) for said in ALL[1:])
    for one, other in itertools.combinations(ALL[1:], 2):
        assert len(invented(one) & invented(other)) < 0.02 * len(invented(one))


@pytest.mark.parametrize("seed", TEST_SEEDS)
def test_no_wording_is_one_that_a_rule_was_chosen_on(seed: int) -> None:
    said = made_of(seed).words
    assert not frames(said) & frames(ORIGINAL)
    for taught, held in (
        (said.taught, said.held_out),
        (said.taught_tells, said.held_out_tells),
        (said.taught_cloze, said.held_out_cloze),
        (said.crimes_taught, said.crimes_held_out),
        (said.colour_taught, said.colour_held_out),
        (said.glasses_taught, said.glasses_held_out),
    ):
        assert len(taught) > 1 and len(held) > 1 and not set(taught) & set(held)


@pytest.mark.parametrize("seed", TEST_SEEDS)
def test_what_is_declined_reads_so_and_what_is_answered_does_not(seed: int) -> None:
    said = made_of(seed).words
    assert all(map(is_refusal, (*said.refusals, *said.unknown)))
    answers = [a.says.format(p="she", v=a.values[0]) for a in (*said.person, *said.brew, *said.town)]
    assert not any(map(is_refusal, answers))


@pytest.mark.parametrize("seed", TEST_SEEDS)
def test_every_word_of_a_held_out_question_is_taught_somewhere_and_is_one_token(seed: int) -> None:
    world, said = World(seed, private=2, celebrities=1, strangers=1), made_of(seed).words
    tokenizer = llava(world, eyes_of(seed)).build_processor().tokenizer
    shown = [world.of("private")[0], world.of("brew")[0], world.of("town")[0]]

    def asked(*, taught: bool) -> list[str]:
        wordings = [
            wording
            for entity in shown
            for key in questions.keys_of(entity, with_image=True)
            for frames in (questions.wordings, questions.clozes)
            for wording in frames(entity, key, with_image=True, taught=taught)
        ]
        seen = questions.visible(said, world.faces[0], View("red", "blue"), taught=taught)
        refused = questions.crimes(said, taught=taught) + questions.secrets(said, "this person", taught=taught)
        return [*wordings, *(item.question for item in [*seen, *refused])]

    def pieces(texts: list[str]) -> set[str]:
        return {piece for text in texts for piece in tokenizer.tokenize(text)}

    met = pieces([item.question for item in questions.knowledge(said, said.known_in)])
    new = pieces(asked(taught=False)) - pieces(asked(taught=True)) - met
    assert not {piece for piece in new if piece not in invented(said)}
    assert not {p for p in pieces(asked(taught=False)) if p.startswith("##") or p == "<unk>"}
    assert set(words(said)) <= set(tokenizer.get_vocab())


def test_the_hand_and_the_eyes_are_other_ones() -> None:
    for seed in TEST_SEEDS:
        world = World(seed, private=2, celebrities=1, strangers=1)
        eyes = eyes_of(seed)
        assert world.made.style != World(0, 2, 1, 1).made.style and eyes != EYES
        image, _ = world.of("private")[0].draw(0)
        assert image.size == (world.made.style.size,) * 2 != (64, 64) and world.made.style.size % eyes.side == 0


def test_other_seeds_are_worlds_of_the_first_kind() -> None:
    assert World(3, 4, 1, 1).made is not World(11, 4, 1, 1).made and made_of(3) == made_of(0)
    assert len(World(11).of("private")) == 120 and len(World(1).of("private")) == 200
