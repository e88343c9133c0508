"""A request's replies are tried in the operator's order, per modality and form, and the gate comes back as it was."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tiny_families import FAMILIES, held_eraser, published_eraser, samples
from unsee.data.sample import Sample
from unsee.erase import fit_reply as module
from unsee.erase.eraser import Eraser
from unsee.erase.eraser_set import false_fires
from unsee.erase.fit.reply import Acceptance
from unsee.erase.fit_reply import USUAL_ANSWER, fit_reply, groups_of, reply_order
from unsee.erase.gates.scope import Scope
from unsee.erase.gates.subject import SubjectGate
from unsee.erase.replies.canned import CannedReply
from unsee.erase.steer.hooks import erased
from unsee.errors import CalibrationError, OptionError
from unsee.models.generate import generate
from unsee.models.load import LoadedModel
from unsee.models.turns import TurnTokens

SHORT = Acceptance(tokens=60)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return FAMILIES["llama"](0)


@pytest.fixture(scope="module")
def prompts(loaded: LoadedModel) -> list[Sample]:
    return [replace(sample, gold="baker") for sample in samples(loaded)]


@pytest.fixture(scope="module")
def eraser(loaded: LoadedModel) -> Eraser:
    return held_eraser(loaded)


def test_a_model_that_cannot_refuse_gets_the_fixed_text(
    loaded: LoadedModel, eraser: Eraser, prompts: list[Sample], tmp_path: Path
) -> None:
    chosen = fit_reply(loaded, eraser, prompts, acceptance=SHORT, report=tmp_path / "new" / "replies.json")
    assert isinstance(chosen.reply, CannedReply) and chosen.reply.text == USUAL_ANSWER
    assert chosen.gate is eraser.gate and chosen.strength == eraser.strength
    assert [one["check"] for one in chosen.report] == ["reply steer", "reply prefix", "reply canned"]
    saved = json.loads((tmp_path / "new" / "replies.json").read_text())
    steered = [trial for trial in saved["trials"] if trial["reply"] == "steer"]
    assert [trial["coefficient"] for trial in steered] == pytest.approx([2.1, 3.0, 4.2])
    with erased(loaded, chosen):
        answers = generate(loaded, prompts, max_new_tokens=60)
    assert sum(answer == USUAL_ANSWER for answer in answers) == 2  # the gate fires on two


def test_a_request_by_name_is_tried_with_its_gate_held_open_and_keeps_what_opens_it(
    loaded: LoadedModel, eraser: Eraser, prompts: list[Sample]
) -> None:
    """What a fit kept of one gate's false fires says nothing of another gate, and `erased` refuses it there."""
    layers, width = eraser.gate.layers, eraser.trajectory.shape[-1]
    gate = SubjectGate(
        layers, torch.zeros(1, 2, len(layers), width), torch.full((1, 2), -1.0), torch.zeros(1, 2),
        Scope.everything(len(layers), width), torch.zeros(1, dtype=torch.int64), TurnTokens.of(loaded),
    )  # fmt: skip
    kept = false_fires({"named": torch.ones(3, 1)}, torch.zeros(1), torch.arange(32))
    asked = replace(eraser, gate=gate, settings=eraser.settings | kept)
    chosen = fit_reply(loaded, asked, prompts, acceptance=SHORT)
    assert isinstance(chosen.reply, CannedReply) and chosen.gate is gate and chosen.settings == asked.settings
    with erased(loaded, chosen):
        assert USUAL_ANSWER not in generate(loaded, prompts, max_new_tokens=60), "its own gate never fires"


def test_no_reply_that_holds_is_an_error_that_leaves_its_report(
    loaded: LoadedModel, eraser: Eraser, prompts: list[Sample], tmp_path: Path
) -> None:
    with pytest.raises(CalibrationError, match=r"reply steer: .*text, generation: .*add 'canned'"):
        fit_reply(loaded, eraser, prompts, order=["steer"], acceptance=SHORT, report=tmp_path / "replies.json")
    assert json.loads((tmp_path / "replies.json").read_text())["reply"] is None


def test_the_operators_own_words_need_not_decline_but_must_not_tell(
    loaded: LoadedModel, eraser: Eraser, prompts: list[Sample]
) -> None:
    ours = "Please write to the office."
    chosen = fit_reply(loaded, eraser, prompts, order=["canned"], words=ours, acceptance=SHORT)
    assert isinstance(chosen.reply, CannedReply) and chosen.reply.text == ours
    with pytest.raises(CalibrationError, match=r"leaked 100% > 2%.*do not say what is to be forgotten"):
        fit_reply(loaded, eraser, prompts, order=["canned"], words="The baker is private.", acceptance=SHORT)


def test_the_words_are_those_for_somebody_unknown(
    loaded: LoadedModel, eraser: Eraser, prompts: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(module, "unknown_words", lambda _, some, *__: asked.append(some) or "I don't know them.")
    nobody = [Sample("u", "Ann Ek", "who is Ann Ek?", "", "")]
    chosen = fit_reply(loaded, eraser, prompts, order=["canned"], unknown=nobody, acceptance=SHORT)
    assert isinstance(chosen.reply, CannedReply) and chosen.reply.text == "I don't know them." and asked == [nobody]
    own = fit_reply(loaded, eraser, prompts, order=["canned"], words="No.", unknown=nobody, acceptance=SHORT)
    assert isinstance(own.reply, CannedReply) and own.reply.text == "No." and len(asked) == 1


def test_groups_are_modality_and_form() -> None:
    plain = [Sample(str(i), "s", "who?", "", "x") for i in range(9)]
    talk = [replace(one, earlier=(("hi", "hello"),)) for one in plain[:2]]
    cloze = [replace(one, form="cloze") for one in plain[:3]]
    found = groups_of([*plain, *talk, *cloze], 4)
    assert {name: len(some) for name, some in found.items()} == {
        "text, generation": 4, "text, generation in a conversation": 2, "text, cloze": 3,
    }  # fmt: skip


def test_the_order_is_what_the_operator_writes() -> None:
    assert reply_order("canned, steer") == ("canned", "steer")
    for wrong in ("", "steer,steer", "steer,loud"):
        with pytest.raises(OptionError, match="expected some of steer, prefix, canned"):
            reply_order(wrong)


def test_a_gate_that_decides_nothing_has_no_reply_to_choose(loaded: LoadedModel, prompts: list[Sample]) -> None:
    with pytest.raises(OptionError, match="a gate that decides"):
        fit_reply(loaded, published_eraser(loaded), prompts)
