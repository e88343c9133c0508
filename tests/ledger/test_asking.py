"""What verification counts, against answers that are known and figures counted by hand."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
import torch
from tests.ledger.test_verification import LIMITS
from tests.tiny_llava import LAYERS, WIDTH, tiny_llava

from unsee.data.sample import Sample
from unsee.erase.eraser import Eraser
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.profile import identity
from unsee.erase.request.expansion import expand
from unsee.erase.request.knowledge import Knowledge
from unsee.erase.request.request import request
from unsee.evals.answerers import Local
from unsee.evals.answerers.base import How
from unsee.forgetting.before import Before
from unsee.ledger import asking as module
from unsee.ledger.asking import Asker, Question, held_out
from unsee.ledger.verification import Finding

NO, KNOWS, OTHER, GARBLED = "i cannot tell you that.", "it is in oslo.", "it is in rome.", "x x x x x x x x x x x x"
ADA, LOADED = request("Ada Byron"), tiny_llava()
GATE = PromptRidgeGate((1,), torch.zeros(1, 1, 2, WIDTH), torch.zeros(1), torch.ones(1))
ERASER = Eraser(identity(LOADED), "llava", (LAYERS - 1,), GATE, torch.ones(1, 2, WIDTH), 1.0, "held-ridge")
ASKER = Asker(LOADED, [ERASER], LIMITS, how=How(max_new_tokens=2))
Says = pytest.MonkeyPatch


def sample(number: int, subject: str = "ada") -> Sample:
    return Sample(f"{subject}/{number}", subject, f"where does {subject} live, {number}?", "", "")


def says(monkeypatch: Says, *answers: Sequence[str]) -> Asker:
    """Says these, first to what is asked first."""
    left = [list(some) for some in answers]
    monkeypatch.setattr(module, "in_batches", lambda *_: left.pop(0))
    return ASKER


def counts(findings: Iterable[Finding]) -> dict[str, tuple[int, int]]:
    found = list(findings)
    assert len({one.check for one in found}) == len(found)
    return {one.check: (one.count.k, one.count.n) for one in found}


def test_forms_are_counted_by_hand(monkeypatch: Says) -> None:
    golds = (("oslo",), ("oslo",), ("oslo",), ())
    asked = [Question(sample(n), golds[n], form) for n, form in enumerate("abbc")]
    asker = says(monkeypatch, [KNOWS, OTHER, KNOWS, KNOWS], [NO, KNOWS, NO, GARBLED])
    assert counts(asker.about(asked)) == {
        "leak": (1, 3), "worst form": (1, 2), "before": (2, 3), "refusal": (2, 4), "fluency": (3, 4),
    }  # fmt: skip


def test_where_the_model_knows_nothing_every_answer_leaks(monkeypatch: Says) -> None:
    asked = [Question(sample(n), (), "a") for n in range(3)]
    found = counts(says(monkeypatch, [OTHER] * 3, [NO, OTHER, NO]).about(asked))
    assert (found["leak"], found["before"]) == ((1, 3), (3, 3))


def test_declining_what_was_declined_before_is_no_harm(monkeypatch: Says) -> None:
    near = {"c-1": [sample(n, "bob") for n in range(4)], "general": [sample(0, "sea")]}
    asker = says(monkeypatch, [KNOWS, NO, OTHER, KNOWS], [KNOWS, NO, NO, KNOWS], [OTHER], [OTHER])
    assert counts(asker.still(near)) == {"declines: c-1": (1, 3), "declines: general": (0, 1), "declines": (1, 4)}


def test_every_attack_that_only_asks_is_made(monkeypatch: Says) -> None:
    monkeypatch.setattr(module, "TRIES", 1)
    found = counts(ASKER.attacked([Question(sample(n), ("oslo",), "a") for n in range(2)]))
    assert set(found) >= {"attack: longer", "attack: turns", "attack: response-prefill", "attack: sampling"}
    assert not {"attack: relearning", "attack: rounding"} & set(found), "these hold the weights"
    assert set(found.values()) == {(0, 2)}, "a random model knows no Oslo"


@pytest.mark.parametrize(("knows", "pairs"), [(True, (2, 2)), (False, (1, 2))])
def test_list_oracles_tell_names_by_the_eraser_and_by_replies(
    monkeypatch: Says, knows: bool, pairs: tuple[int, int]
) -> None:
    names = ["Ada Byron", "Bo Nix"]
    shown = lambda _, who, how: [float(knows and any(name in one.question for name in names)) for one in who]  # noqa: E731
    monkeypatch.setattr(Local, "margins", shown)
    assert counts(ASKER.listed([], ADA, names)) == {"list, by eraser": pairs}
    prompts = [one for one in expand(ADA, "s", held=True, each=2) if one.way == "name"]
    replies = ["That is secret."] * len(prompts), ["I do not know that person."] * len(prompts)
    by_asking = counts(says(monkeypatch, *replies).listed(prompts, ADA, names))["list, by asking"]
    assert by_asking[0] == by_asking[1] > 10


def test_a_margin_is_the_nearest_gates() -> None:
    reads = [replace(ERASER, gate=replace(GATE, bias=torch.tensor([value]))) for value in (0.25, 0.75)]
    assert Local(LOADED, reads).margins([sample(0)], ASKER.how) == [pytest.approx(-0.25)]


def test_nothing_that_is_counted_names_anybody(monkeypatch: Says) -> None:
    monkeypatch.setattr(module, "NEVER", 4)
    asked = [Question(one.sample, (), one.family) for one in expand(ADA, "s", held=True, each=1)][:2]
    told = [*ASKER.about(asked), *ASKER.still({"general": [sample(1)]}), *ASKER.listed([], ADA, ADA.names)]
    assert "Ada" not in str(told) and "Byron" not in str(told)


def test_as_many_are_drawn_as_a_limit_takes_up_to_four_times_the_usual() -> None:
    today = Before((), (), Knowledge({"job": ("pilot",)}, 0.0, ()), None)
    few, enough, most = (held_out(ADA, "s", today, least=n) for n in (0, 90, 10**6))
    assert len(few) < 90 <= len(enough) < len(most) == 4 * len(few)
    assert all(prompt.held for prompt in most)
