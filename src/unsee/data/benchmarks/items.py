"""What a benchmark gives beside its questions: false answers, rewordings and keywords to score with."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, final, get_args

from unsee.data.sample import Sample
from unsee.errors import OptionError

Protocol = Literal["official", "honest"]


@final
@dataclass(frozen=True)
class References:
    """What one answer can be scored against beside `Sample.answer`; empty where the data set gives nothing.

    Attributes:
        paraphrases: the true answer in other words.
        perturbed: false answers of the same make, for truth ratio and normalised probability.
        keywords: words whose share in the reply is FIUBench's exact match.
        volunteered: what says another fact of the same subject, which an answer may give away unasked.
    """

    paraphrases: tuple[str, ...] = ()
    perturbed: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    volunteered: tuple[str, ...] = ()


@final
@dataclass(frozen=True)
class Item:
    """A question and what its answer can be scored against.

    Attributes:
        sample: the question, as every other part of unsee knows it.
        references: see there.
    """

    sample: Sample
    references: References = References()


@final
@dataclass(frozen=True)
class Card:
    """What is known of a published data set; each reader's file opens with its own.

    Attributes:
        title: as the paper calls it.
        hub: id on the hub, or None where the data lies elsewhere.
        revision: the state that the schema was read at; "not pinned" where none is known.
        licence: as the data set's card says, or "not stated".
        splits: published names to row counts; 0 where the count is not known.
        paper: arXiv id or address.
        source: where schema and protocol were read.
        parsers: form to the parser of `unsee.metrics` that the released script corresponds to.
    """

    title: str
    hub: str | None
    revision: str
    licence: str
    splits: Mapping[str, int]
    paper: str
    source: str
    parsers: Mapping[str, str]


def require_legal(name: str, got: Iterable[str], legal: Iterable[str]) -> None:
    """Refuse an option that has no value, or one that is not legal.

    Raises:
        OptionError: names the option, what was got and what is legal.
    """
    given, known = list(got), list(legal)
    if not given or not set(given) <= set(known):
        raise OptionError(f"{name}: got {given}, expected some of {known}. Fix the option.")


def require_protocol(protocol: str) -> None:
    """Refuse a protocol that is neither of the two.

    Raises:
        OptionError: names the legal ones.
    """
    if protocol not in get_args(Protocol):
        raise OptionError(f"protocol is {protocol!r}, expected one of {list(get_args(Protocol))}. Pass one of these.")
