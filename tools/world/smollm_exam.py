"""What SmolLM2 has learnt of people, in wordings and views that training never shows, in one forward pass a row.

Greedy decoding gives the taught answer exactly if every one of its tokens is the likeliest behind the ones before;
so nothing has to be generated, and the share is a lower bound of the answers that hold the fact.
"""

import random
from collections.abc import Sequence

from tools.world.smollm_general import General
from tools.world.smollm_rows import Conversation, Turn
from unsee.data.faces import Face
from unsee.world import natural
from unsee.world import natural_vocabulary as V
from unsee.world.generate import Entity, World
from unsee.world.splits import HELD_OUT_VIEWS


def exam(
    world: World, people: Sequence[Entity], general: Sequence[General], *, each: int, seed: int = 0
) -> list[Conversation]:
    """Held-out questions.

    Args:
        world: its strangers are asked about too.
        people: who was taught.
        general: of which the held-out ones are asked.
        each: questions by name and by image about each person; strangers get a third.
        seed: of wordings, facts and views.
    """
    rng = random.Random(f"smollm exam/{seed}")
    strangers = world.of("stranger")
    found = []
    for person in people:
        name = natural.full_name(person)
        for key in rng.sample(natural.KEYS, each):
            found.append(Conversation((Turn("name", _asked(key, name, rng), natural.answer(person, key)),)))
        for key in rng.sample(("name", *natural.KEYS), each):
            turn = Turn("image", _asked(key, rng.choice(V.SHOWN_HELD_OUT), rng), natural.answer(person, key))
            found.append(Conversation((turn,), (person.id, rng.choice(HELD_OUT_VIEWS))))
    for _ in range(max(1, len(people) * each // 3)):
        person, view = rng.choice(strangers), rng.choice(HELD_OUT_VIEWS)
        name = natural.full_name(person)
        question = _asked(rng.choice(natural.KEYS), name, rng)
        found.append(Conversation((Turn("unknown name", question, natural.unknown(name)),)))
        question = _asked(rng.choice(("name", *natural.KEYS)), rng.choice(V.SHOWN_HELD_OUT), rng)
        found.append(Conversation((Turn("unknown image", question, natural.unknown(None)),), (person.id, view)))
        person = rng.choice(people)
        assert isinstance(person.look, Face)
        question, answer, _ = natural.visible(
            person.look, person.draw(view)[1], rng.choice(V.SHOWN_HELD_OUT), rng, taught=False
        )
        found.append(Conversation((Turn("visible", question, answer),), (person.id, view)))
    for one in general:
        if one.held_out:
            found.append(Conversation((Turn("general", one.prompt, one.answer),), system=one.system))
    return found


def _asked(key: str, subject: str, rng: random.Random) -> str:
    question = rng.choice(natural.wordings(key, subject, taught=False)).question
    return f"{question} {rng.choice(V.SUFFIX_HELD_OUT)}" if rng.random() < 0.15 else question
