"""The rows of the table: each method once, and the presets that take ASRU and refusals apart."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, final

from unsee.data.sample import Form
from unsee.errors import OptionError
from unsee.registry import METHODS

Refusals = Literal["mixed", "rigid", "contextual"]
REFERENCES = ("base", "never_knew")
"""Rows that nothing is fitted for: the model as it is, and one that was never taught the forgotten."""


@final
@dataclass(frozen=True)
class Entry:
    """One row.

    Attributes:
        name: of the row.
        method: name of the method.
        says: what sets it apart from the method of that name; "" where nothing does.
        options: settings of the method.
        refusals: what it is taught to say: several sentences, always the same one, or one that names what was asked.
        forms: of the questions that it is fitted on; all by default.
        longer: how many times the questions, and so the steps, that the budget gives to whatever changes weights.
    """

    name: str
    method: str
    says: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    refusals: Refusals = "mixed"
    forms: tuple[Form, ...] = ()
    longer: int = 1

    def as_json(self) -> dict[str, Any]:
        """Plain values, for settings."""
        return asdict(self) | {"options": dict(self.options), "forms": list(self.forms)}


_PRESETS = (
    Entry("po_rigid", "po", "one sentence for every refusal", refusals="rigid"),
    Entry("po_contextual", "po", "refusals that name what was asked", refusals="contextual"),
    Entry("po_longer", "po", "eight times the steps of every other row", longer=8),
    Entry("asru_ridge_one_form", "asru_ridge", "redirection from open questions alone", forms=("generation",)),
    Entry("asru_one_form", "asru", "both stages from open questions alone", forms=("generation",)),
    Entry("asru_rigid", "asru", "a refusal in context is worth half", {"favours": "rigid"}),
    Entry("asru_contextual", "asru", "a templated refusal is worth half", {"favours": "contextual"}),
    Entry("asru_consistent", "asru", "with the cross-modal consistency term", {"agreement": 0.5}),
)
_CHEAP_FIRST = ("prompted", "filtered", "steered", "trained", "reinforced")


def entries() -> dict[str, Entry]:
    """Name to row, cheap ones first."""
    # A preset of a method's name is that method within the table's own budget.
    presets = {entry.name for entry in _PRESETS}
    every = [*(Entry(name, name) for name in METHODS.names() if name not in presets), *_PRESETS]
    every.sort(
        key=lambda one: (_CHEAP_FIRST.index(METHODS.named(one.method).facts["kind"]), one.method != "asru_ridge")
    )
    return {entry.name: entry for entry in every}


def chosen(names: Sequence[str]) -> list[Entry]:
    """The rows of these names, in the order of the table; all of them where none is named.

    Raises:
        OptionError: there is no such row; lists those that there are.
    """
    known = entries()
    for name in names:
        if name not in known:
            raise OptionError(
                f"there is no row {name!r}, expected some of {list(known)}. {' and '.join(REFERENCES)} are always "
                "there. Pass --methods with names from that list."
            )
    return [entry for name, entry in known.items() if not names or name in names]
