"""What verification counts, against answers that are known and figures counted by hand."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from tests.tiny_llava import LAYERS, WIDTH, tiny_llava

from unsee.data.sample import Sample
from unsee.erase.eraser import Eraser
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.profile import identity
from unsee.erase.request.expansion import expand
from unsee.erase.request.knowledge import Knowledge
from unsee.erase.request.request import request
from unsee.evals.answerers.base import How
from unsee.forgetting.before import Before
from unsee.ledger import asking as module
from unsee.ledger.asking import Asker, Question, held_out
from unsee.ledger.verification import Count, Figure
from unsee.models.load import LoadedModel

SHORT = How(max_new_tokens=2)
NO, KNOWS, OTHER, GARBLED = "i cannot tell you that.", "it is in oslo.", "it is in rome.", "x x x x x x x x x x x x"


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_llava()


def eraser(loaded: LoadedModel, reads: float = 0.0) -> Eraser:
    """One whose gate reads the same on every prompt, and opens from 1 on."""
    gate = PromptRidgeGate((1,), torch.zeros(1, 1, 2, WIDTH), torch.tensor([reads]), torch.ones(1))
    return Eraser(identity(loaded), "llava", (LAYERS - 1,), gate, torch.ones(1, 2, WIDTH), 1.0, "held-ridge")


def sample(number: int, subject: str = "ada") -> Sample:
    return Sample(f"{subject}/{number}", subject, f"where does {subject} live, {number}?", "", "")


def asker(monkeypatch: pytest.MonkeyPatch, loaded: LoadedModel, *answers: Sequence[str]) -> Asker:
    """Says these, first to what is asked first."""
    left = [list(some) for some in answers]
    monkeypatch.setattr(module, "in_batches", lambda *_: left.pop(0))
    return Asker(loaded, [eraser(loaded)])


def by_check(figures: Any) -> dict[str, Count]:
    found = list[Figure](figures)
    assert len({one.check for one in found}) == len(found)
    return {one.check: one.count for one in found}


def count(k: int, n: int) -> Count:
    return Count(k=k, n=n)


def test_forms_are_counted_by_hand(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    forms, golds = "abbc", (("oslo",), ("oslo",), ("oslo",), ())
    asked = [Question(sample(n), golds[n], form) for n, form in enumerate(forms)]
    found = by_check(asker(monkeypatch, loaded, [KNOWS, OTHER, KNOWS, KNOWS], [NO, KNOWS, NO, GARBLED]).about(asked))
    assert found == {
        "leak": count(1, 3), "worst form": count(1, 2), "before": count(2, 3), "refusal": count(2, 4),
        "fluency": count(3, 4),
    }  # fmt: skip


def test_where_the_model_knows_nothing_every_answer_leaks(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [Question(sample(n), (), "a") for n in range(3)]
    found = by_check(asker(monkeypatch, loaded, [OTHER] * 3, [NO, OTHER, NO]).about(asked))
    assert (found["leak"], found["before"]) == (count(1, 3), count(3, 3))


def test_declining_what_was_declined_before_is_no_harm(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    near = {"c-1": [sample(n, "bob") for n in range(4)], "general": [sample(0, "sea")]}
    said = [KNOWS, NO, OTHER, KNOWS], [KNOWS, NO, NO, KNOWS], [OTHER], [OTHER]
    found = by_check(asker(monkeypatch, loaded, *said).still(near))
    assert found == {"declines: c-1": count(1, 3), "declines: general": count(0, 1), "declines": count(1, 4)}


def test_every_attack_that_only_asks_is_made(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRIES", 1)
    asked = [Question(sample(n), ("oslo",), "a") for n in range(2)]
    found = by_check(Asker(loaded, [eraser(loaded)], how=SHORT).attacked(asked))
    assert set(found) >= {"attack: longer", "attack: turns", "attack: response-prefill", "attack: sampling"}
    assert not {"attack: relearning", "attack: rounding"} & set(found), "these hold the weights"
    assert all(one == count(0, 2) for one in found.values()), "a random model knows no Oslo"


@pytest.mark.parametrize(("knows", "pairs"), [(True, count(2, 2)), (False, count(1, 2))])
def test_a_list_oracle_tells_names_by_the_eraser(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch, knows: bool, pairs: Count
) -> None:
    names = ["Ada Byron", "Bo Nix"]
    monkeypatch.setattr(Asker, "_margin", lambda _, name: float(knows and name in names))
    (found,) = Asker(loaded, [eraser(loaded)]).listed([], request(names[0]), names)
    assert (found.check, found.count) == ("list, by eraser", pairs)


def test_a_margin_is_the_nearest_gates(loaded: LoadedModel) -> None:
    assert Asker(loaded, [eraser(loaded, 0.25), eraser(loaded, 0.75)])._margin("Ada") == pytest.approx(-0.25)


def test_replies_tell_who_is_listed(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Asker, "_margin", lambda *_: 0.0)
    ada = request("Ada Byron")
    prompts = [one for one in expand(ada, "s", held=True, each=2) if one.way == "name"]
    replies = ["That is secret."] * len(prompts), ["I do not know that person."] * len(prompts)
    told = list(asker(monkeypatch, loaded, *replies).listed(prompts, ada, ada.names))
    assert [one.check for one in told] == ["list, by asking", "list, by eraser"]
    assert told[0].count.k == told[0].count.n > 10 and told[1].count == count(0, 1)


def test_nothing_that_is_counted_names_anybody(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NEVER", 4)
    asked = [Question(one.sample, (), one.family) for one in expand(request("Ada Byron"), "s", held=True, each=1)][:2]
    one = Asker(loaded, [eraser(loaded)], how=SHORT)
    told = [
        *one.about(asked),
        *one.still({"general": [sample(1)]}),
        *one.listed([], request("Ada Byron"), ["Ada Byron"]),
    ]
    assert "Ada" not in str(told) and "Byron" not in str(told)


def test_as_many_are_drawn_as_a_limit_takes_up_to_four_times_the_usual() -> None:
    today = Before((), (), Knowledge({"job": ("pilot",)}, 0.0, ()), None)
    few, enough, most = (held_out(request("Ada Byron"), "s", today, least=n) for n in (0, 90, 10**6))
    assert len(few) < 90 <= len(enough) < len(most) == 4 * len(few)
    assert all(prompt.held for prompt in most)
