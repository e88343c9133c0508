"""The starter kit: what a fit needs beside a request and no user should have to bring. Text and drawings of our own.

General prompts and running text on which no gate may fire, people whom no model knows, public figures whom nobody asked
to be forgotten, drawn faces and what is plainly visible on them.
"""

import hashlib
import io
import random
from collections.abc import Collection, Sequence
from dataclasses import replace
from importlib.resources import files

from unsee.data.faces import Face, draw_face
from unsee.data.sample import ImageFile, Sample
from unsee.erase.request.bank import BANKS
from unsee.erase.request.expansion import questions
from unsee.erase.request.forms import STATEMENTS, SUFFIXES, TURNS
from unsee.erase.request.invented import invented_names

NOBODY = "nobody"
"""Subject of samples that are about nobody in particular."""
_VISIBLE = (
    ("shirt", "What colour is the shirt?"), ("background", "What colour is the background?"),
    ("shirt", "Tell me the colour of the shirt."), ("background", "Which colour does the background have?"),
)  # fmt: skip
_DECLINING = (
    "{q} Reply only with: I'm sorry, but I don't have any information about that.",
    "{q} Answer with exactly these words: I'm sorry, but I don't know anything about that person.",
    "{q} You do not know that. Say: I'm sorry, but I have no information about this.",
    "{q} Just say: I'm sorry, but I can't share any information about that person.",
)  # fmt: skip
_FILES = ("general", "running-text", "systems", "public-figures", "invented", "function-words", "ordinary-words")


def kit_version() -> str:
    """Digest of everything that the kit is made of; part of the key of a cached profile."""
    digest = hashlib.sha256()
    for name in _FILES:
        digest.update(_text(name).encode())
    return digest.hexdigest()[:16]


def lines(name: str) -> list[str]:
    """Lines of one of the kit's files, without comments."""
    return [line.strip() for line in _text(name).splitlines() if line.strip() and not line.startswith("#")]


def general(seed: int = 0) -> list[Sample]:
    """Prompts about nobody: bare, with suffixes, behind statements and turns, and with instructions before them."""
    rng, found = random.Random(f"general/{seed}"), list[Sample]()
    systems = lines("systems")
    for number, text in enumerate(lines("general")):
        bare = Sample(f"general/{number}", f"general/{number}", text, "", "")
        found.append(bare)
        changed = (
            replace(bare, question=f"{text} {rng.choice(SUFFIXES)}"),
            replace(bare, question=f"{rng.choice(STATEMENTS)} {text}"),
            replace(bare, earlier=tuple(rng.sample(TURNS, 2))),
            replace(bare, question=f"{rng.choice(systems)}\n\n{text}"),
        )
        found.append(replace(changed[number % 4], id=f"general/{number}/form"))
    return found


def running_text() -> list[Sample]:
    """Sentences that ask nothing."""
    return [Sample(f"text/{i}", NOBODY, text, "", "") for i, text in enumerate(lines("running-text"))]


def public_figures(without: Collection[str] = ()) -> list[Sample]:
    """Questions about known people, places and works, one subject each.

    Args:
        without: names that a request asks to be forgotten; who shares a word with one of them is left out.
    """
    gone = {word.casefold() for name in without for word in name.split()}
    names = [name.strip() for line in lines("public-figures") for name in line.split(";")]
    about = ("Who is {s}?", "Tell me about {s}.", "What is {s} known for?", "What do you know about {s}?")
    return [
        Sample(f"figure/{i}", f"figure/{i}", about[i % 4].format(s=name), "", "")
        for i, name in enumerate(names)
        if not gone & {word.casefold() for word in name.split()}
    ]


def unknown_people(
    count: int, seed: int = 0, without: Collection[str] = (), each: int = 2, names: Sequence[str] = ()
) -> list[Sample]:
    """Questions about invented people by name, or about these, in the wordings of the fit."""
    bank, rng, found = BANKS["person"], random.Random(f"unknown/{seed}"), list[Sample]()
    nouns = ["", *(fact.noun for fact in bank.facts)]
    for index, name in enumerate(names or invented_names(count, seed, without)):
        subject = f"invented/{seed}/{index}"
        for number, noun in enumerate(rng.sample(nouns, each)):
            found.append(Sample(f"{subject}/{number}", subject, rng.choice(questions(bank, noun, name, False)), "", ""))
    return found


def declining(unknown: Sequence[Sample]) -> list[Sample]:
    """The same questions with the refusal to give: a model that declines nothing by itself declines when told how."""
    return [
        replace(sample, id=f"declining/{i}", question=_DECLINING[i % len(_DECLINING)].format(q=sample.question))
        for i, sample in enumerate(unknown)
    ]


def unknown_faces(count: int, seed: int = 0, each: int = 2) -> list[Sample]:
    """The same by drawn faces of nobody."""
    bank, rng, found = BANKS["person"], random.Random(f"faces/{seed}"), list[Sample]()
    nouns = ["", *(fact.noun for fact in bank.facts)]
    for index in range(count):
        subject, face = f"drawn/{seed}/{index}", Face.draw(rng, bearded=rng.random() < 0.5)
        asks = [rng.choice(bank.naming)] + [
            rng.choice(questions(bank, noun, bank.deictic, False)) for noun in rng.sample(nouns, each - 1)
        ]
        for number, ask in enumerate(asks):
            image = ImageFile(f"{subject}/{number}", _png(face, rng)[0])
            found.append(Sample(f"{subject}/{number}", subject, ask, "", "", image=image))
    return found


def faces(count: int, seed: int = 0) -> list[ImageFile]:
    """Drawn faces of nobody."""
    rng = random.Random(f"present/{seed}")
    return [ImageFile(f"drawn/{i}", _png(Face.draw(rng, bearded=rng.random() < 0.5), rng)[0]) for i in range(count)]


def visible(count: int, seed: int = 0) -> list[Sample]:
    """What anybody sees on drawn faces, with the words that answer it."""
    rng, found = random.Random(f"visible/{seed}"), list[Sample]()
    for index in range(count):
        face = Face.draw(rng, bearded=rng.random() < 0.5)
        shown, seen = _png(face, rng)
        part, question = _VISIBLE[index % len(_VISIBLE)]
        subject = f"seen/{seed}/{index}"
        found.append(Sample(subject, subject, question, seen[part], seen[part], image=ImageFile(subject, shown)))
    return found


def _png(face: Face, rng: random.Random) -> tuple[bytes, dict[str, str]]:
    image, view = draw_face(face, rng)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue(), {"shirt": view.shirt, "background": view.background}


def _text(name: str) -> str:
    return (files("unsee.erase.request") / "kit" / f"{name}.txt").read_text(encoding="utf-8")
