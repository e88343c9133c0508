"""Classify and answer otherwise: what each of these does to which prompt, and that nothing of it stays."""

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from oracles import dense_null_space_matrix
from tiny_llava import WIDTH, noise_image, question, tiny_llava
from unsee.data.sample import Sample
from unsee.erase.fit.activations import capture_features
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.profile import Profile, identity
from unsee.evals.answerers import How, Local, Switched
from unsee.methods.defences import canned as our_gate
from unsee.methods.defences import subject as by_subject
from unsee.methods.defences.eco import noisy
from unsee.methods.defences.minilm import PACKAGE, WordsAndFaces, minilm_embeddings
from unsee.methods.defences.null_space_each import PRESET
from unsee.methods.defences.rotation import rotated, turned
from unsee.methods.defences.token_penalty import penalised
from unsee.methods.errors import MethodError
from unsee.methods.rows import REFUSALS
from unsee.methods.steered import unconditional
from unsee.methods.task import FitData, Request, fit
from unsee.models.load import LoadedModel, load
from unsee.shapes import Tensor

HOW = How(4)


@pytest.fixture(scope="module")
def base() -> LoadedModel:
    return tiny_llava()


@pytest.fixture(scope="module")
def profile(base: LoadedModel) -> Profile:
    kept, calibration = (
        capture_features(base, [question(n + i, f"{word} {i}?", image=i % 2 == 0) for i in range(40)], (1, 2)).half()
        for n, word in ((100, "where"), (200, "why"))
    )
    trajectory = torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(3))
    return Profile(
        model=identity(base), family="llava", layers=(1, 2), read=(1, 2), trajectory=trajectory,
        retain_last=kept[:, :, 0], retain_mean=kept[:, :, 1], calibration=calibration, strength=1.5, settings={},
        counts={},
    )  # fmt: skip


def about(name: str, place: int, words: str) -> Sample:
    return Sample(f"{name}/{place}", name, words.replace("X", name), "a pilot.", "pilot")


def forget_set() -> list[Sample]:
    named = [
        about(name, n, words)
        for name in ("mara olin", "jon berg")
        for n, words in enumerate(("who is X?", "tell me of X."))
    ]
    return [*named, *(replace(one, id=f"i{n}", question="who?", image=noise_image(n)) for n, one in enumerate(named))]


def data(profile: Profile | None = None) -> FitData:
    others = [question(10 + i, image=i % 2 == 0) for i in range(30)]
    return FitData(forget_set(), others, others, profile=profile)


ASKED = [about("mara olin", 7, "where does X live?"), about("ida falk", 9, "what does X do?"), question(50, "hm?")]


def test_prompts_go_where_the_condition_sends_them(base: LoadedModel) -> None:
    within = partial(penalised, base, tuple((token,) for token in range(5, 200)), 1e4)

    def fires(samples: Sequence[Sample]) -> Tensor:
        return torch.tensor(["mara" in sample.question for sample in samples])

    some = Switched(Local(base), Local(base), fires, "mara", within)
    with within():
        loud = Local(base).answers(ASKED[:1], HOW)
    assert loud != Local(base).answers(ASKED[:1], HOW)
    assert some.answers(ASKED, HOW) == loud + Local(base).answers(ASKED[1:], HOW)
    assert some.answers([], HOW) == []
    assert (some.loaded, some.about["condition"]) == (base, "mara")


def test_a_rotation_keeps_every_length_and_turns_by_its_angle(base: LoadedModel) -> None:
    generator = torch.Generator().manual_seed(0)
    states, towards = torch.randn(2, 3, 6, generator=generator).double(), torch.randn(6, generator=generator).double()
    after = rotated(states, towards, 30)
    np.testing.assert_allclose(after.norm(dim=-1), states.norm(dim=-1))
    cosine = (after * states).sum(-1) / states.norm(dim=-1) ** 2
    np.testing.assert_allclose(np.degrees(np.arccos(cosine)), 30.0, atol=1e-6)
    for one, other in zip(states.view(-1, 6), after.view(-1, 6), strict=True):
        # In the plane of both, and nearer to the direction than before.
        plane = np.stack([one.numpy(), towards.numpy()])
        assert np.linalg.matrix_rank(np.vstack([plane, other.numpy()]), tol=1e-9) == 2
        assert other @ towards > one @ towards
    plain, vector = Local(base).answers(ASKED, HOW), torch.randn(WIDTH, generator=generator).half()
    with turned(base, {1: vector}, 90):
        assert Local(base).answers(ASKED, HOW) != plain
    with turned(base, {1: vector}, 0):
        assert Local(base).answers(ASKED, HOW) == plain
    assert Local(base).answers(ASKED, HOW) == plain, "the hooks are gone"


def test_noise_moves_the_prompt_and_no_row_changes_another(base: LoadedModel) -> None:
    model = Local(base)
    plain = model.answers(ASKED, HOW)
    with noisy(base, 8.0):
        found = model.answers(ASKED, HOW)
        assert found != plain
        assert [model.answers([one], HOW)[0] for one in ASKED] == found
    with noisy(base, 0.0):
        assert model.answers(ASKED, HOW) == plain
    assert model.answers(ASKED, HOW) == plain, "the hook is gone"


def test_penalised_words_are_not_said(base: LoadedModel) -> None:
    """Every byte but the letters is penalised, so that letters are all that is said."""
    inner, letters = Local(base), "abcdefghijklmnopqrstuvwxyz"
    kept = {*base.processor.tokenizer.convert_tokens_to_ids(list(letters)), *range(5)}
    others = tuple((token,) for token in range(len(base.processor.tokenizer)) if token not in kept)
    said = inner.answers(ASKED, HOW)
    with penalised(base, others, 0.0):
        assert inner.answers(ASKED, HOW) == said
    with penalised(base, others, 1e4):
        after = inner.answers(ASKED, HOW)
    assert inner.answers(ASKED, HOW) == said, "nothing of it stays"
    assert set("".join(after)) <= set(letters) and not set("".join(said)) <= set(letters)


def test_words_are_close_where_an_embedding_says_so(base: LoadedModel, tmp_path: Path) -> None:
    """An embedding that counts letters: a name in other words is closer than other names."""

    def embed(texts: Sequence[str]) -> Tensor:
        counts = torch.stack([torch.tensor([text.count(c) for c in map(chr, range(97, 123))]) for text in texts])
        return torch.nn.functional.normalize(counts.float() + 1e-3, dim=-1)

    gate = WordsAndFaces.of(Request(base, data(), tmp_path), embed, 0.1)
    assert gate.fires(forget_set()).tolist() == [True] * 8
    others = [one for one in data().calibration if one.image is None]
    assert float(gate.fires(others).float().mean()) <= 0.1
    shown = replace(question(60, "mara olin"), image=noise_image(40))
    assert gate.fires([shown]).tolist() == gate.gallery.fires([shown]).tolist(), "words beside an image do not count"


@pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason="MiniLM's weights are not installed")
def test_minilm_embeds_meaning() -> None:
    texts = ["who is mara olin?", "please tell me about mara olin", "what colour is the sky?"]
    vectors = minilm_embeddings()(texts)
    assert vectors.norm(dim=1).tolist() == pytest.approx([1.0] * 3, abs=1e-5)
    alike = vectors @ vectors.T
    assert alike[0, 1] > 0.6 > 0.2 > alike[0, 2]


def test_the_null_space_of_each_person_is_the_published_matrix(
    base: LoadedModel, profile: Profile, tmp_path: Path
) -> None:
    made = fit("null_space_each", Request(base, data(profile), tmp_path, 0.6875)).answerer  # all that 40 rows leave
    assert isinstance(made, Local)
    gate = made.erasers[0].gate
    assert isinstance(gate, PromptRidgeGate) and made.erasers[0].subjects == ("mara olin", "jon berg")
    features = capture_features(base, forget_set(), (1, 2)).flatten(1)
    retained = torch.cat([profile.retain_people, profile.retain_others]).flatten(1)
    probe = torch.randn(5, features.shape[1], generator=torch.Generator().manual_seed(1))
    for k, name in enumerate(made.erasers[0].subjects):
        mine = features[[one.subject == name for one in forget_set()]]
        dense = dense_null_space_matrix(retained, mine, np.ones(1), 0.6875, PRESET.gamma)
        np.testing.assert_allclose(
            (probe @ gate.weight[k].flatten()).numpy(), (probe.double().numpy() @ dense)[:, 0], atol=1e-4
        )
    assert float(gate.fires(profile.calibration).float().mean()) <= 0.05, "one of 30 at most"


def test_a_fixed_sentence_behind_our_gate(
    base: LoadedModel, profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = [unconditional(profile), unconditional(profile)]
    gates[1] = replace(gates[1], gate=gates[1].gate.with_threshold(torch.full((1,), 1.0)))
    for eraser, wanted in zip(gates, ([REFUSALS[0]] * 3, Local(base).answers(ASKED, How(40))), strict=True):
        monkeypatch.setattr(our_gate, "fit_eraser", lambda *given, made=eraser, **named: made)
        made = fit("canned", Request(base, data(profile), tmp_path)).answerer
        assert made.answers(ASKED, How(40)) == wanted, "the gate decides, and nothing is steered"


def test_an_expert_answers_what_the_router_sends(base: LoadedModel, tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    options = {"epochs": 1, "lora": False, "batch_size": 4}
    made = fit("expert", Request(base, data(), tmp_path, 1e-2, options=options)).answerer
    taught, plain = Local(load(tmp_path, device="cpu")), Local(base)
    assert made.answers(ASKED[:2], HOW) == [*taught.answers(ASKED[:1], HOW), *plain.answers(ASKED[1:2], HOW)]
    assert taught.answers(ASKED[:1], HOW) != plain.answers(ASKED[:1], HOW)


def test_rules_name_whom_they_hide(base: LoadedModel, tmp_path: Path) -> None:
    made = fit("rules", Request(base, data(), tmp_path)).answerer
    assert "about jon berg, by name" in made.about["preamble"] and "pilot" not in made.about["preamble"]
    with pytest.raises(MethodError, match="no question names anybody"):
        fit("rules", Request(base, FitData([question(0)], [question(1)]), tmp_path))


def test_subject_rows_are_requests_of_one_person_each(
    base: LoadedModel, profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str, int]] = []
    eraser = unconditional(profile)

    def fitted(loaded: object, kit: object, wanted: by_subject.Erasure, who: str, **given: object) -> object:
        asked.append((wanted.name, who, len(wanted.images)))
        return eraser

    monkeypatch.setattr(by_subject, "request_profile", lambda loaded, **given: profile)
    monkeypatch.setattr(by_subject, "fit_request", fitted)
    monkeypatch.setattr(by_subject, "together", list)
    made = fit("subject_canned", Request(base, data(), tmp_path)).answerer
    assert asked == [("mara olin", "mara olin", 2), ("jon berg", "jon berg", 2)]
    assert isinstance(made, Local) and {one.reply.kind for one in made.erasers} == {"canned"}
