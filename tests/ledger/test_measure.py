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
from unsee.evals.run import record
from unsee.ledger import measure as module
from unsee.ledger.measure import measure
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


def saying(monkeypatch: pytest.MonkeyPatch, answers: dict[tuple[str, str], Sequence[str | None]]) -> list[Any]:
    """Put given answers, by condition and split, in place of a model's."""
    calls = []

    def ask_all(loaded: object, splits: Any, condition: str, erasers: Sequence[Eraser] = (), **_: object) -> list[Any]:
        calls.append((condition, tuple(erasers)))
        return [
            record(condition, split, sample, said)
            for split, samples in splits.items()
            for sample, said in zip(samples, answers[condition, split], strict=True)
        ]

    monkeypatch.setattr(module, "ask_all", ask_all)
    return calls


def test_figures_are_those_counted_by_hand(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    knows, wrong, garbled = "it is in oslo.", "it is in rome.", "x x x x x x x x x x x x x x"
    calls = saying(monkeypatch, {
        ("base", "forget_heldout"): [knows, knows, knows, wrong],
        ("erased", "forget_heldout"): [NO, NO, knows, garbled],
        ("never_knew", "forget_heldout"): [NO, knows, wrong, wrong],
        ("base", "neighbours"): [knows, knows, NO, knows, wrong],
        ("erased", "neighbours"): [NO, knows, NO, knows, None],
        ("base", "visible"): [knows, knows],
        ("erased", "visible"): [knows, NO],
    })  # fmt: skip
    mine, other = eraser(loaded, "a"), eraser(loaded, "z")
    found = measure(
        loaded, mine, [other], asked("a", 4), asked("b", 3) + asked("c", 2), visible=asked("a", 2), never_knew=loaded
    )
    assert (found.questions, found.refusal, found.leak, found.fluent) == (4, 0.5, 0.25, 0.75)
    assert (found.base_leak, found.never_knew_leak) == (0.75, 0.25)
    assert (found.neighbours, found.neighbour_questions) == (2, 4)
    assert found.wrong_refusal == 1 / 4, "refused before is no harm, and what got no answer is not counted"
    assert found.worst_neighbour == 1 / 3
    assert (found.accuracy_before, found.accuracy_after) == (3 / 5, 2 / 4)
    assert (found.visible_before, found.visible_after) == (1.0, 0.5)
    assert found.unscored == pytest.approx(1 / 11) and found.silent == 0
    assert calls == [("base", ()), ("erased", (other, mine)), ("never_knew", ())]
    assert found.context["beside"] == 1 and found.context["questions"]["neighbours"]["n"] == 5
    assert {row["condition"] for row in found.context["rows"]} == {"base", "erased", "never_knew"}


def test_one_question_each_has_no_worst_neighbour(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: Sequence[str] = ["oslo"]
    saying(monkeypatch, {(c, s): answers * n for c in ("base", "erased") for s, n in
                         (("forget_heldout", 1), ("neighbours", 2), ("visible", 0))})  # fmt: skip
    found = measure(loaded, eraser(loaded, "a"), [], asked("a", 1), asked("b", 1) + asked("c", 1))
    assert found.worst_neighbour is None and found.visible_after is None and found.never_knew_leak is None


def test_subjects_that_were_not_asked_about_are_counted(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    saying(monkeypatch, {(c, s): ["oslo"] * n for c in ("base", "erased") for s, n in
                         (("forget_heldout", 1), ("neighbours", 0), ("visible", 0))})  # fmt: skip
    found = measure(loaded, eraser(loaded, "a", "b", "c"), [], asked("a", 1), [])
    assert found.silent == 2 and found.neighbours == 0 and found.wrong_refusal is None


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
    found = measure(
        loaded, eraser(loaded, "a"), [eraser(loaded, "z")], asked("a", 2), asked("b", 2), max_new_tokens=2, seed=3
    )
    assert found.questions == 2 and found.neighbour_questions == 2 and found.unscored == 0
    assert found.wrong_refusal == 0, "a gate that never opens harms nobody"
    assert found.context["seed"] == 3 and found.context["model"]["digest"] == loaded.digest
