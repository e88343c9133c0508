"""What a proof on a natural vocabulary is made of: requests, what is kept, and what is asked of both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, final

from unsee.data.sample import Sample
from unsee.data.task import Set
from unsee.erase.fit_subject import Subject
from unsee.erase.request.presence import Present


class Sides(NamedTuple):
    """Questions, of this subject and of retained ones alike, from which a scope learns which facts are hidden."""

    hidden: list[Sample]
    spared: list[Sample]


@final
@dataclass(frozen=True)
class Hidden:
    """One request.

    Attributes:
        id: of the subject.
        subject: its names and images.
        listed: names that stand on the list of a filter and in an instruction.
        known: facts that the model knows and is to hide.
        spared: facts that it goes on telling.
        asked: questions about the known facts in wordings of a fit; replies are tried on them.
        near: questions about invented others who share a word of its name, which must go through.
        scope: what is hidden and what is not, or None where everything is.
    """

    id: str
    subject: Subject
    listed: tuple[str, ...]
    known: tuple[str, ...]
    spared: tuple[str, ...] = ()
    asked: tuple[Sample, ...] = ()
    near: tuple[str, ...] = ()
    scope: Sides | None = None


@final
@dataclass(frozen=True)
class Split:
    """Questions by role; no subject of one role is in another.

    Attributes:
        requests: at least one.
        forget: questions about those forgotten whole, for methods that need questions.
        retain: about retained subjects of the fit.
        calibration: about retained subjects that choices are made on.
        general: about no subject, of the fit.
        refusal: prompts that a model declines (D+).
        unknown: questions about names of nobody.
        tests: what is asked, in held-out wordings.
        present: nobodies by whom it is learnt which turns are about somebody who is there, where that is asked.
    """

    requests: tuple[Hidden, ...]
    forget: list[Sample]
    retain: list[Sample]
    calibration: list[Sample]
    general: list[Sample]
    refusal: list[Sample]
    unknown: list[Sample]
    tests: Mapping[str, Set]
    present: tuple[Present, ...] = ()
