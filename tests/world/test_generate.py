"""The world is what design section 6 asks for, from its seed alone."""

import random

import pytest

from unsee.data.faces import Face
from unsee.world.generate import World, unknown_person
from unsee.world.made import TEST_SEEDS, made_of
from unsee.world.splits import Exam


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def test_the_world_is_as_large_as_promised(world: World) -> None:
    assert len(world.of("private")) >= 200
    assert len(world.of("celebrity")) >= 40
    assert len(world.of("stranger")) >= 30
    assert all(len(person.facts) >= 8 for person in world.of("private"))
    assert len({entity.name for entity in world.entities}) == len(world.entities)


def test_the_same_seed_is_the_same_world_and_another_is_not() -> None:
    assert World(3, 20, 4, 3).entities == World(3, 20, 4, 3).entities
    assert World(3, 20, 4, 3).entities != World(4, 20, 4, 3).entities


def test_a_view_is_the_same_image_every_time_and_no_two_views_are_equal(world: World) -> None:
    person = world.of("private")[0]
    first, seen = person.draw(7)
    again, seen_again = person.draw(7)
    assert first.tobytes() == again.tobytes() and seen == seen_again
    assert first.tobytes() != person.draw(8)[0].tobytes()


def test_all_faces_differ_in_four_choices(world: World) -> None:
    faces = [entity.look for entity in world.entities if isinstance(entity.look, Face)]
    assert min(a.distance(b) for i, a in enumerate(faces) for b in faces[:i]) >= 4


def test_somebody_unknown_is_nobody_of_the_world(world: World) -> None:
    rng = random.Random(1)
    for index in range(20):
        stranger = unknown_person(world, rng, index)
        assert stranger.name not in world.names
        assert isinstance(stranger.look, Face)
        assert min(stranger.look.distance(face) for face in world.faces) >= 4


@pytest.mark.parametrize("seed", [0, *TEST_SEEDS])
def test_no_value_gives_away_two_facts(seed: int) -> None:
    words = made_of(seed).words
    values = [v for attribute in (*words.person, *words.brew, *words.town) for v in attribute.values]
    names = {*words.she, *words.he, *words.last, *words.brews, *words.towns}
    assert len(values) == len(set(values))
    assert not names & set(values)


def test_neighbours_are_the_most_alike(world: World) -> None:
    exam = Exam(world)
    target, pool = exam.forget[0], exam.retain_unseen
    (nearest, *_) = world.neighbours([target], pool, each=1)
    assert isinstance(target.look, Face) and isinstance(nearest.look, Face)
    distances = [target.look.distance(p.look) for p in pool if isinstance(p.look, Face)]
    # A shared first name counts for two choices and each shared fact for half of one.
    assert target.look.distance(nearest.look) <= min(distances) + 2 + 4
