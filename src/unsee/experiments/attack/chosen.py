"""Which attacks are carried out: those that are named, of a class, or all that there is access for."""

from collections.abc import Sequence
from typing import get_args

from unsee.attacks.base import AccessError, applies
from unsee.data.sample import Sample
from unsee.errors import OptionError
from unsee.registry import ATTACKS, Access, Entry

SERVED: tuple[Access, ...] = ("ask", "ask many", "prefill", "image")
"""What whoever reaches an address alone can do."""
ALL: tuple[Access, ...] = get_args(Access)


def chosen(asked: Sequence[str], offered: Sequence[str], samples: Sequence[Sample]) -> tuple[str, ...]:
    """Names of attacks, in the order of the registry.

    Of a class, and of `all`, those are taken that there is access for and that apply to some question.

    Args:
        asked: "all", classes of access, and names.
        offered: what can be done to what is attacked.
        samples: questions that are to be attacked.

    Raises:
        OptionError: there is no class or attack of that name; lists them and names the nearest.
        AccessError: a named attack needs more than is offered, or asks nothing of these questions.
    """
    if not asked:
        raise OptionError("no attack is named. Expected 'all', a class of access, or names; see 'unsee list attacks'.")
    taken: dict[str, bool] = {}
    for name in asked:
        if name in ("all", *ALL):
            mine = [one for one in ATTACKS if name in ("all", one.facts["access"])]
            taken |= {one.name: True for one in mine if not _lacks(one, offered, samples)}
            if name != "all" and name not in offered:
                raise AccessError(_no_access(f"attacks of class {name!r} need", name, offered))
            continue
        if lack := _lacks(ATTACKS.named(name), offered, samples):
            raise AccessError(lack)
        taken[name] = True
    if not taken:
        raise AccessError(f"none of the attacks {list(asked)} applies: offered is {list(offered)}.")
    return tuple(entry.name for entry in ATTACKS if entry.name in taken)


def _lacks(entry: Entry, offered: Sequence[str], samples: Sequence[Sample]) -> str:
    """What an attack lacks here; empty where it can be carried out."""
    access = entry.facts["access"]
    if access not in offered:
        return _no_access(f"the attack {entry.name!r} needs", access, offered)
    if not any(applies(entry.facts, one) for one in samples):
        return (
            f"the attack {entry.name!r} asks questions of the forms {list(entry.facts['forms'])}"
            f"{' with ' + ', '.join(entry.facts['needs']) if entry.facts['needs'] else ''}, and there is none among "
            f"{len(samples)}. Leave it out, or give such questions."
        )
    return ""


def _no_access(what: str, access: str, offered: Sequence[str]) -> str:
    return f"{what} {access!r}, but offered are {list(offered)}. Leave it out, or attack a model that offers it."
