"""Invented names of many languages, joined from parts: people whom no model knows."""

import random
from collections.abc import Collection
from importlib.resources import files
from itertools import cycle

from unsee.errors import OptionError


def invented_names(count: int, seed: int = 0, without: Collection[str] = ()) -> list[str]:
    """Names of nobody, all different, in equal parts of every language of the table.

    Args:
        count: how many; the table makes several thousand.
        seed: of the draw; the same gives the same names, and fewer are the first of more.
        without: names that must not be among them.

    Raises:
        OptionError: the table does not hold so many.
    """
    rng, table = random.Random(f"invented/{seed}"), _table()
    taken, found = {name.casefold() for name in without}, list[str]()
    most = sum(len(a) * len(b) * len(c) * max(1, len(d)) for a, b, c, d in table) // 2
    if not 0 <= count <= most:
        raise OptionError(f"{count} invented names were asked for, expected 0 to {most}: the table holds no more.")
    for parts in cycle(table):  # a language that has no more of them is passed over
        if len(found) == count:
            break
        first, last = _drawn(rng, parts)
        name = f"{first} {last}" if first[0].isascii() or ord(first[0]) < 0x3000 else last + first
        if name.casefold() not in taken:
            taken.add(name.casefold())
            found.append(name)
    return found


def _drawn(rng: random.Random, parts: list[list[str]]) -> tuple[str, str]:
    heads, tails, last_heads, last_tails = parts
    first = rng.choice(heads) + rng.choice(tails)
    return first, rng.choice(last_heads) + (rng.choice(last_tails) if last_tails else "")


def half_sharing(name: str, count: int, seed: int = 0) -> list[str]:
    """Invented namesakes: the first name with other last names, and the last name with other first names.

    Args:
        name: of at least two words; one word gives nothing, it has no half.
        count: how many in all.
        seed: of the draw.
    """
    words = name.split()
    if len(words) < 2:
        return []
    others = [other.split() for other in invented_names(2 * count + 20, seed) if len(other.split()) == 2]
    halves = [f"{words[0]} {last}" for _, last in others[0::2]] + [f"{first} {words[-1]}" for first, _ in others[1::2]]
    shuffled = random.Random(f"halves/{name}/{seed}").sample(halves, len(halves))
    return [one for one in shuffled if one.casefold() != name.casefold()][:count]


def _table() -> list[list[list[str]]]:
    """Per language: heads and tails of first names, heads and tails of last names; "#" stands for no part."""
    text = (files("unsee.erase.request") / "kit" / "invented.txt").read_text(encoding="utf-8")
    rows = [line.split("|")[1:] for line in text.splitlines() if line and not line.startswith("#")]
    return [[[part for part in parts.split() if part != "#"] for parts in row] for row in rows]
