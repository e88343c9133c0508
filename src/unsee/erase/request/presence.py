"""Conversations in which somebody is present, by name or by image, now or before: about them, and about anything else.

What a scope is fitted on. Each group is one way of asking; a wording, a noun, and what stands around the question are
drawn for every prompt, inside as outside, so that none of them tells the sides apart.
"""

import io
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

from PIL import Image

from unsee.data.sample import ImageFile, Sample, Turn
from unsee.erase.request import starter_kit as kit
from unsee.erase.request.bank import BANKS
from unsee.erase.request.expansion import ANYTHING, NAME, questions
from unsee.erase.request.forms import STATEMENTS, SUFFIXES
from unsee.erase.request.request import Kind

Role = Literal["system", "user", "assistant"]
Part = str | ImageFile
DECLINED = ("I do not know.", "I'm sorry, I cannot help with that.", "I have no information on that.")
VISIBLE = (
    "What colour is the shirt?", "What colour is the background?", "Tell me the colour of the shirt.",
    "Is this person wearing glasses?", "Describe the colours.", "Which colour does the background have?",
)  # fmt: skip


@final
@dataclass(frozen=True)
class Present:
    """Somebody who is there.

    Attributes:
        id: pseudonymous.
        names: by which they are called; none for a stranger's face.
        images: of them; none for a bare name.
    """

    id: str
    names: tuple[str, ...] = ()
    images: tuple[ImageFile, ...] = ()


@final
class Draw:
    """One prompt being drawn: words, an image, and somebody else; nouns are the facts asked for, all if none."""

    def __init__(self, who: Present, other: Present, kind: Kind, nouns: Sequence[str], rng: random.Random) -> None:
        self.who, self.other, self.rng, self.bank, self._nouns = who, other, rng, BANKS[kind], nouns

    @property
    def name(self) -> str:
        """One of their names."""
        return self.rng.choice(self.who.names)

    @property
    def view(self) -> ImageFile:
        """One of their images."""
        return self.rng.choice(self.who.images)

    @property
    def view_of_other(self) -> ImageFile:
        """An image of somebody else, or a blank one."""
        return self.rng.choice(self.other.images) if self.other.images else blank(self.view)

    @property
    def general(self) -> str:
        """A question about nobody."""
        return self.rng.choice(kit.lines("general"))

    @property
    def declined(self) -> str:
        """How something was declined before."""
        return self.rng.choice(DECLINED)

    def ask(self, called: str, *, shown: bool = False) -> str:
        """A question about one of the facts."""
        any_of_them = [*(fact.noun for fact in self.bank.facts), *([NAME] * 3 if shown else [ANYTHING])]
        return self.rng.choice(questions(self.bank, self.rng.choice(self._nouns or any_of_them), called, False))

    def this(self, *, shown: bool = False) -> str:
        """A question about "this person", whoever that is."""
        return self.ask(self.bank.deictic, shown=shown)

    def back(self, *, shown: bool = False) -> str:
        """A question that refers to somebody without a name: by a pronoun, "this person", or nothing at all."""
        noun = self.rng.choice(self._nouns or [fact.noun for fact in self.bank.facts] or ["name"])
        she, her = self.rng.choice(_PRONOUNS if self.bank.deictic == "this person" else (("it", "its"),))
        direct = [text.format(s=she) for text in self.bank.fact(noun).fit]
        framed = [text.format(n=noun, her=her) for text in (*_BACK, *_ELLIPSIS)]
        return self.rng.choice([self.this(shown=shown), self.this(), *direct, *framed])

    def about_other(self) -> str:
        """A question about somebody else."""
        return self.ask(self.rng.choice(self.other.names))


_PRONOUNS = (("she", "her"), ("he", "his"), ("they", "their"))
_BACK = ("What is {her} {n}?", "Tell me {her} {n}.", "And {her} {n}?", "Do you know {her} {n}?")
_ELLIPSIS = ("And the {n}?", "What about the {n}?", "So what is the {n}?")
Talk = Callable[[Draw], tuple[Part | tuple[Part, ...], ...]]
"""User and assistant in turn, the user last; a turn of several parts is a tuple."""

INSIDE: Mapping[str, Mapping[str, Talk]] = {
    "named": {"plain": lambda d: (d.ask(d.name),)},
    "shown": {
        "image": lambda d: ((d.view, d.this(shown=True)),),
        "two images": lambda d: ((d.view, d.view_of_other, d.this(shown=True)),),
    },
    "named before": {
        "known, then asked": lambda d: (f"Do you know {d.name}?", "Yes.", d.back()),
        "declined, then asked": lambda d: (d.ask(d.name), d.declined, d.back()),
        "twice declined": lambda d: (d.ask(d.name), d.declined, d.back(), d.declined, d.back()),
    },
    "shown before": {
        "image one turn ago": lambda d: ((d.view, d.rng.choice(VISIBLE)), "Blue.", d.back(shown=True)),
        "image declined, then asked": lambda d: ((d.view, d.this()), d.declined, d.back(shown=True)),
    },
}  # fmt: skip
OUTSIDE: Mapping[str, Mapping[str, Talk]] = {
    "named": {},
    "shown": {
        "visible": lambda d: ((d.view, d.rng.choice(VISIBLE)),),
        "general, image shown": lambda d: ((d.view, d.general),),
        "another's name, image shown": lambda d: ((d.view, d.about_other()),),
    },
    "named before": {
        "general after it": lambda d: (d.ask(d.name), d.declined, d.general),
        "another after it": lambda d: (d.ask(d.name), d.declined, d.about_other()),
        "known, then another": lambda d: (f"Do you know {d.name}?", "Yes.", d.about_other()),
    },
    "shown before": {
        "general after image": lambda d: ((d.view, d.this()), d.declined, d.general),
        "visible after image": lambda d: ((d.view, d.this()), d.declined, d.rng.choice(VISIBLE)),
        "another after image": lambda d: ((d.view, d.this()), d.declined, d.about_other()),
    },
}  # fmt: skip
"""By evidence (`unsee.erase.gates.scope.EVIDENCE`). A turn that names the subject is about it: nothing is outside."""


def scope_prompts(
    people: Sequence[Present], kind: Kind, *, hidden: Sequence[str] = (), spared: Sequence[str] = (), seed: int = 0
) -> dict[str, tuple[dict[str, list[Sample]], dict[str, list[Sample]]]]:
    """Prompts inside and outside the scope, by evidence; images are left out where nobody has any.

    Args:
        people: who is present; none of them is to be forgotten.
        kind: of subjects.
        hidden: the facts inside; all of them if empty.
        spared: facts that are outside, though they are asked of the subject.
        seed: of every draw.
    """
    shown = all(one.images for one in people)
    found: dict[str, tuple[dict[str, list[Sample]], dict[str, list[Sample]]]] = {}
    for evidence, talks in INSIDE.items():
        if "shown" in evidence and not shown:
            continue
        outside = conversations(OUTSIDE[evidence], people, kind, seed=seed, behind_talk=True)
        if spared:
            nouns = [*spared, *([NAME] if "shown" in evidence else [])]
            more = conversations(talks, people, kind, nouns=nouns, seed=seed + 1, behind_talk=True)
            outside |= {f"spared, {name}": samples for name, samples in more.items()}
        if outside:
            found[evidence] = conversations(talks, people, kind, nouns=hidden, seed=seed), outside
    return found


def conversations(
    talks: Mapping[str, Talk],
    people: Sequence[Present],
    kind: Kind,
    *,
    nouns: Sequence[str] = (),
    seed: int = 0,
    behind_talk: bool = False,
) -> dict[str, list[Sample]]:
    """One prompt of every group about each of these people; the same seed gives the same words.

    Args:
        talks: one side of `INSIDE` or `OUTSIDE`, of one evidence.
        people: with names, and images where the talks show some; whoever else is spoken of is another of them.
        kind: of subjects.
        nouns: the facts that are asked for; all of them if empty.
        seed: of every draw.
        behind_talk: whether something may be said before a question; in front of what is in scope nothing is.
    """
    found: dict[str, list[Sample]] = {name: [] for name in talks}
    for group, talk in talks.items():
        for place, who in enumerate(people):
            rng = random.Random(f"presence/{group}/{place}/{seed}")
            other = people[(place + rng.randint(1, max(1, len(people) - 1))) % len(people)]
            *before, last = talk(Draw(who, other, kind, nouns, rng))
            *shown, asked = last if isinstance(last, tuple) else (last,)
            said = [*before, (*shown, _among_others(str(asked), rng, behind_talk=behind_talk))]
            system = rng.choice(kit.lines("systems")) if rng.random() < _SYSTEM else None
            found[group].append(_sample(f"presence/{group}/{place}", who.id, said, system))
    return found


INSTRUCTIONS = (
    "Please use what you know and write one short line.", "Give me the answer in plain English and nothing else.",
    "Think about it first and then tell me what you think.", "Only one word, please.",
    "Be as exact as you can and keep to what was asked.", "Thank you for your help with this.",
)  # fmt: skip
"""What may stand behind a question beside `SUFFIXES`: longer, as in benchmarks, and in none of their words."""
_SYSTEM = 0.2
"""Share of the conversations that instructions stand before."""


def _among_others(question: str, rng: random.Random, *, behind_talk: bool) -> str:
    """The question: mostly bare, else in front of a suffix, or behind small talk where that is asked for."""
    small, suffix = rng.choice(STATEMENTS), rng.choice((*SUFFIXES, *INSTRUCTIONS))
    last = f"{small} {question}" if behind_talk else question
    return rng.choice((question, question, question, f"{question} {suffix}", f"{question} {suffix}", last))


def blank(like: ImageFile) -> ImageFile:
    """A grey image of the same size."""
    buffer = io.BytesIO()
    Image.new("RGB", like.load().size, (200, 200, 200)).save(buffer, "PNG")
    return ImageFile("blank", buffer.getvalue())


def _sample(id: str, subject: str, said: Sequence[Part | tuple[Part, ...]], system: str | None) -> Sample:
    roles: tuple[Role, Role] = ("user", "assistant")
    turns = [Turn("system", (system,))] if system else []
    turns += [Turn(roles[i % 2], part if isinstance(part, tuple) else (part,)) for i, part in enumerate(said)]
    return Sample.of_turns(turns, id, subject)
