"""How else a name is written: in other cases, without accents, the last name alone, with one slip of the pen."""

import random
import unicodedata


def spellings(name: str) -> list[str]:
    """The name as written, in lower and in upper case, and without accents; each once."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    # Only where folding leaves letters of the same script: Hangul would fall apart into its parts.
    folded = unicodedata.normalize("NFC", bare)
    return list(dict.fromkeys([name, name.lower(), name.upper(), folded]))


def last_name(name: str) -> str | None:
    """The last word of a name of several words, without particles before it; None where there is one word."""
    words = name.split()
    return words[-1] if len(words) > 1 and len(words[-1]) > 2 else None


def misspelled(name: str, seed: int, count: int = 2) -> list[str]:
    """The name with two letters swapped, one left out or one doubled; never in the fit.

    Args:
        name: of at least four letters in a row; others give nothing.
        seed: of the draw.
        count: how many.
    """
    rng = random.Random(f"misspelled/{name}/{seed}")
    places = [i for i in range(1, len(name) - 2) if name[i].isalpha() and name[i + 1].isalpha()]
    found: list[str] = []
    for place in rng.sample(places, min(len(places), 3 * count)):
        before, one, two, after = name[:place], name[place], name[place + 1], name[place + 2 :]
        changed = rng.choice([before + two + one + after, before + two + after, before + one + one + two + after])
        if changed != name and changed not in found:
            found.append(changed)
    return found[:count]
