"""What verification measures: figures counted by hand from known answers; wrong questions are refused."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from tests.tiny_llava import LAYERS, WIDTH, tiny_llava

from unsee.data.sample import Sample
from unsee.erase.eraser import Eraser
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.profile import identity
from unsee.errors import DataError, MismatchError
from unsee.evals.plan import Plan
from unsee.evals.rows import row_of
from unsee.ledger import measure as module
from unsee.ledger.measure import measure
from unsee.ledger.verification import Count
from unsee.models.load import LoadedModel

NO = "i cannot tell you that."


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_llava()


def eraser(loaded: LoadedModel, *names: str) -> Eraser:
    gate = PromptRidgeGate((1,), torch.zeros(1, 1, 2, WIDTH), torch.zeros(1), torch.ones(1))
    model, steered = identity(loaded), torch.ones(1, 2, WIDTH)
    return Eraser(model, "llava", (LAYERS - 1,), gate, steered, 1.0, "held-ridge", subjects=names)


def asked(subject: str, count: int, gold: str = "oslo") -> list[Sample]:
    return [
        Sample(f"{subject}/{n}", subject, f"where does {subject} live, {n}?", f"in {gold}.", gold) for n in range(count)
    ]


def saying(monkeypatch: pytest.MonkeyPatch, answers: dict[tuple[bool, str], Sequence[str]]) -> list[Any]:
    """Put given answers, by whether something is in force and by whom the questions are about, in a model's place."""
    calls = []

    def ask_task(answerer: Any, plan: Plan, condition: str, **_: object) -> list[Any]:
        rows = []
        for split, of in plan.task.sets.items():
            calls.append(tuple(answerer.erasers))
            said = answers[bool(answerer.erasers), of.samples[0].id.partition("/")[0]]
            rows += [row_of(condition, split, of, one, text) for one, text in zip(of.samples, said, strict=True)]
        return rows

    monkeypatch.setattr(module, "ask_task", ask_task)
    return calls


def test_figures_are_those_counted_by_hand(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    knows, wrong, garbled = "it is in oslo.", "it is in rome.", "x x x x x x x x x x x x x x"
    calls = saying(monkeypatch, {
        (False, "a"): [knows, knows, knows, wrong],
        (True, "a"): [NO, NO, knows, garbled],
        (False, "b"): [knows, knows, NO, knows, wrong],
        (True, "b"): [NO, knows, NO, knows, knows],
    })  # fmt: skip
    mine, other = eraser(loaded, "a"), eraser(loaded, "z")
    found = measure(loaded, mine, [other], asked("a", 4), asked("b", 3) + asked("c", 2), panel=["c", "b"])
    assert (found.refusal, found.leak, found.fluent) == (Count(2, 4), Count(1, 4), Count(3, 4))
    assert found.base_leak == Count(3, 4) and found.never_knew_leak == Count(0, 0)
    assert found.wrong_refusal == Count(1, 5), "refused before is no harm"
    assert found.neighbours == {"b": Count(1, 3), "c": Count(0, 2)}
    assert found.panel == ("c",), "one of the panel who is refused is not answered about"
    assert found.unscored == Count(0, 9) and found.silent == 0 and found.beside == 1
    assert calls == [(), (), (other, mine), (other, mine)]


def test_without_the_fact_every_answer_that_is_no_refusal_counts_as_a_leak(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    saying(monkeypatch, {(False, "a"): ["she is a painter."] * 3, (True, "a"): [NO, "she is a painter.", NO]})
    found = measure(loaded, eraser(loaded, "a"), [], asked("a", 3, gold=""), [])
    assert (found.leak, found.refusal, found.base_leak) == (Count(1, 3), Count(2, 3), Count(3, 3))


def test_subjects_that_were_not_asked_about_are_counted(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    saying(monkeypatch, {(False, "a"): ["oslo"], (True, "a"): ["oslo"]})
    found = measure(loaded, eraser(loaded, "a", "b", "c"), [], asked("a", 1), [])
    assert found.silent == 2 and not found.neighbours and found.wrong_refusal.rate is None


def test_questions_about_the_wrong_people_are_refused(loaded: LoadedModel) -> None:
    mine, other = eraser(loaded, "a"), eraser(loaded, "z")
    for questions, neighbours, words in (
        (asked("b", 1), [], r"questions are about \['b'\]"),
        (asked("a", 1), asked("z", 1), r"1 neighbour\(s\) are to be unseen .* \['z'\]"),
        (asked("a", 1), asked("a", 1), r"\['a'\]"),
        ([], [], "the held-out question set is empty"),
    ):
        with pytest.raises(DataError, match=words):
            measure(loaded, mine, [other], questions, neighbours)


def test_an_eraser_of_another_model_is_refused(loaded: LoadedModel) -> None:
    with pytest.raises(MismatchError, match="tiny-llava"):
        measure(tiny_llava(seed=1), eraser(loaded, "a"), [], asked("a", 1), [])


def test_a_real_model_is_asked_beside_what_is_in_force(loaded: LoadedModel) -> None:
    found = measure(loaded, eraser(loaded, "a"), [eraser(loaded, "z")], asked("a", 2), asked("b", 2), max_new_tokens=2)
    assert found.leak.n == 2 and found.wrong_refusal == Count(0, 2), "a gate that never opens harms nobody"
    assert found.context["model"]["digest"] == loaded.digest
