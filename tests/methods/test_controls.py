"""Prompts, filters and steered controls: what each does to which question."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from oracles import dense_null_space_matrix
from tiny_llava import LAYERS, WIDTH, noise_image, question, tiny_llava
from unsee.data.sample import Sample
from unsee.erase.gates.null_space import NullSpace, NullSpaceGate
from unsee.erase.profile import Profile, identity
from unsee.erase.steer.hooks import erased
from unsee.errors import CalibrationError, DataError
from unsee.evals.answerers import How, Local, Switched
from unsee.methods.controls import fit_gallery, in_context
from unsee.methods.errors import MethodError
from unsee.methods.rows import REFUSALS
from unsee.methods.steered import (
    Condition,
    best_threshold,
    condition_vector,
    fit_alphasteer_text,
    fit_cast,
    unconditional,
)
from unsee.methods.task import FitData, Request, fit
from unsee.models.generate import encode, generate
from unsee.models.load import LoadedModel


@pytest.fixture(scope="module")
def base() -> LoadedModel:
    return tiny_llava()


@pytest.fixture(scope="module")
def profile(base: LoadedModel) -> Profile:
    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))

    return Profile(
        model=identity(base), family="llava", layers=(1, 2), read=(1, 2), trajectory=drawn(2, 5, WIDTH),
        retain_last=drawn(6, 2, WIDTH), retain_mean=drawn(6, 2, WIDTH), calibration=drawn(6, 2, 2, WIDTH),
        strength=1.5, settings={},
        counts={},
    )  # fmt: skip


def test_in_context_shows_refusals_and_answers_but_no_secret() -> None:
    forget = [replace(question(i, f"f{i}?", image=i == 0), answer="SECRET") for i in range(5)]
    retain = [replace(question(i, f"r{i}?", image=False), answer=f"a{i}.") for i in range(4)]
    assert in_context(forget, retain, shown=2, said="no.") == "f1? no.\nf3? no.\nr0? a0.\nr2? a2."
    with pytest.raises(MethodError, match="in-context unlearning shows questions without an image"):
        in_context(forget[:1], retain)


def test_the_gallery_knows_the_images_it_was_shown(base: LoadedModel) -> None:
    forget = [question(i) for i in range(3)]
    others = [question(10 + i) for i in range(30)]
    gallery = fit_gallery(base, forget, others, tail=0.1)
    again = [replace(question(50, "and who is that?"), image=noise_image(1)), question(51, image=False)]
    assert gallery.fires([*again, *forget]).tolist() == [True, False, True, True, True]
    assert float(gallery.fires(others).float().mean()) <= 0.1
    # The tower's own features, by the model's public method.
    pixels = encode(base, forget)["pixel_values"]
    with torch.no_grad():
        tokens = torch.stack(list(base.model.get_image_features(pixel_values=pixels).pooler_output)).mean(1)
    torch.testing.assert_close(gallery.known, tokens / tokens.norm(dim=1, keepdim=True), rtol=1e-4, atol=1e-6)
    with pytest.raises(DataError, match="with images"):
        fit_gallery(base, [question(0, image=False)], others)
    with pytest.raises(CalibrationError, match="no calibration prompts"):
        fit_gallery(base, forget, [question(0, image=False)])


def test_lists_refuse_who_is_named_in_any_turn_or_shown(base: LoadedModel, tmp_path: Path) -> None:
    def about(name: str, place: int, words: str) -> Sample:
        return Sample(f"{name}/{place}", name, words.replace("X", name), "a pilot.", "pilot")

    put = list(enumerate(("who is X?", "X?")))
    named = [about(name, n, words) for name in ("mara olin", "jon berg") for n, words in put]
    forget = [*named, *(replace(one, id=f"{n}", question="who?", image=noise_image(n)) for n, one in enumerate(named))]
    others = [question(10 + i) for i in range(30)]
    made = fit("lists", Request(base, FitData(forget, others, others), tmp_path, 0.1)).answerer
    asked = [
        about("mara olin", 7, "WHAT DOES X DO?"),
        replace(about("ida falk", 8, "what does she do?"), earlier=(("do you know jon berg?", "yes."),)),
        about("ida falk", 9, "what does X do?"),
        replace(question(50, "who?"), image=noise_image(1)),
    ]
    assert [said == REFUSALS[0] for said in made.answers(asked, How(3))] == [True, True, False, True]


def test_lists_without_an_image_are_names_alone(base: LoadedModel, tmp_path: Path) -> None:
    forget = [
        Sample(f"{name}/{n}", name, words.format(name), "a pilot.", "pilot")
        for name in ("Mara Olin", "Jon Berg")
        for n, words in enumerate(("who is {}?", "{}?"))
    ]
    others = [question(10 + n, image=False) for n in range(6)]
    made = fit("lists", Request(base, FitData(forget, others, others), tmp_path)).answerer
    asked = [forget[1], question(50), question(51, image=False)]
    assert [said == REFUSALS[0] for said in made.answers(asked, How(3))] == [True, False, False]
    assert "2 names, no gallery" in str(made.about)


def test_the_condition_vector_is_the_first_principal_component() -> None:
    rng = np.random.default_rng(0)
    above = rng.normal(size=(20, 6)) + 3 * np.eye(6)[2]
    below = rng.normal(size=(30, 6))
    centre, vector = condition_vector(torch.tensor(above), torch.tensor(below))
    middle = (above.mean(0) + below.mean(0)) / 2
    every = np.concatenate([above, below]) - middle
    component = np.linalg.eigh(every.T @ every)[1][:, -1]
    np.testing.assert_allclose(centre.numpy(), middle, rtol=1e-5, atol=1e-6)
    assert abs(float(vector.numpy() @ component)) == pytest.approx(1.0, abs=1e-6)
    assert float(vector.numpy() @ (above.mean(0) - below.mean(0))) > 0
    state = torch.tensor(above[:1], dtype=torch.float32)
    offset = above[0] - middle
    wanted = offset @ vector.numpy() / np.linalg.norm(offset)
    assert float(Condition(0, centre, vector, 0.0).scores(state)[0]) == pytest.approx(float(wanted), abs=1e-5)


@pytest.mark.parametrize(("seed", "sizes"), [*((seed, (12, 20)) for seed in range(5)), (5, (90, 7)), (6, (3, 60))])
def test_the_threshold_is_the_best_of_all(seed: int, sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    positive, negative = (np.round(rng.normal(mean, 1, size), 1) for mean, size in zip((1, 0), sizes, strict=True))
    above, below = np.repeat(positive, len(negative)), np.repeat(negative, len(positive))  # classes of one size

    def f1(limit: float) -> float:
        hits = int((above >= limit).sum())
        return 2 * hits / (hits + int((below >= limit).sum()) + len(above))

    wanted = max(f1(limit) for limit in [*positive, *negative])
    threshold, found = best_threshold(torch.tensor(positive), torch.tensor(negative))
    assert found == pytest.approx(wanted, abs=1e-12)
    assert f1(threshold) == pytest.approx(wanted, abs=1e-12)


def test_the_unconditional_vector_steers_everybody_at_every_step(base: LoadedModel, profile: Profile) -> None:
    eraser = unconditional(profile, 0.5)
    assert (eraser.layers, eraser.strength, tuple(eraser.trajectory.shape)) == ((2,), 0.5, (1, 1, WIDTH))
    assert torch.equal(eraser.trajectory[0, 0], profile.trajectory[1, 0])
    asked = [question(0), question(1, "hm?", image=False)]
    with erased(base.model, eraser) as steering:
        generate(base, asked, batch_size=2, max_new_tokens=3)
        assert all(bool(reading.fired.all()) for reading in steering.readings if reading is not None)


def test_cast_steers_the_prompts_on_which_its_condition_holds(base: LoadedModel, profile: Profile) -> None:
    asked = [question(i, text, image=i % 2 == 0) for i, text in enumerate(("who?", "where is it?", "hm?", "why so?"))]
    eraser = unconditional(profile, 3.0)
    plain = Local(base).answers(asked, How(4))
    steered = Local(base, (eraser,)).answers(asked, How(4))
    assert plain != steered
    condition = fit_cast(base, profile, asked[:2], asked[2:])
    assert condition.layer in profile.read
    for limit, wanted in ((-2.0, steered), (2.0, plain)):
        held = replace(condition, threshold=limit).holds(base)
        assert Switched(Local(base), Local(base, (eraser,)), held).answers(asked, How(4)) == wanted
    with torch.no_grad():
        states = torch.stack(
            [
                base.model(**encode(base, [s]), output_hidden_states=True).hidden_states[condition.layer][0].mean(0)
                for s in asked
            ]
        )
    limit = float(condition.scores(states).sort().values[1:3].mean())
    fires = (condition.scores(states) >= limit).tolist()
    assert sorted(fires) == [False, False, True, True]
    held = replace(condition, threshold=limit).holds(base)
    mixed = Switched(Local(base), Local(base, (eraser,)), held).answers(asked, How(4))
    assert mixed == [s if fired else p for s, p, fired in zip(steered, plain, fires, strict=True)]


def test_alphasteer_reads_text_alone_and_is_the_dense_matrix(base: LoadedModel) -> None:
    words = ("who is it?", "where?", "when was that?", "why?", "how come?", "which one is it?")
    sets = [[question(10 * k + i, f"{w} {k}", image=False) for i, w in enumerate(words)] for k in range(4)]
    forget, retain, recall, refusal = sets
    preset = NullSpace(0.6, 0.5)
    eraser = fit_alphasteer_text(
        base, [*forget, question(99)], [*retain, question(98)], recall, refusal, preset=preset, strength=0.2
    )
    assert eraser.counts == {"forget": 6, "retain": 6, "recall": 6, "refusal": 6}

    def states(samples: list[Sample], layer: int) -> np.ndarray:
        rows = []
        for sample in samples:
            with torch.no_grad():
                output = base.model(**encode(base, [sample]), output_hidden_states=True)
            rows.append(output.hidden_states[layer][0, -1].numpy())
        return np.stack(rows).astype(np.float64)

    assert eraser.layers == tuple(range(1, LAYERS))
    assert isinstance(eraser.gate, NullSpaceGate)
    for place, layer in enumerate(eraser.layers):
        direction = states(refusal, layer).mean(0) - states(recall, layer).mean(0)
        np.testing.assert_allclose(eraser.trajectory[place, 0].numpy(), direction, rtol=1e-3, atol=1e-4)
        probe = states(forget, layer)
        # With fewer states than dimensions the trailing basis is not unique, but what it is orthogonal to is.
        dense = dense_null_space_matrix(states(retain, layer), probe, direction, 1 - 6 / WIDTH, preset.gamma)
        whole = fit_alphasteer_text(
            base, forget, retain, recall, refusal, preset=NullSpace(1 - 6 / WIDTH, preset.gamma)
        )
        gate = whole.gate.weight[place].numpy()
        np.testing.assert_allclose(probe @ gate[:, None] * direction, probe @ dense, rtol=2e-2, atol=2e-3)
    with pytest.raises(DataError, match=r"the forget \(text only\) set is empty"):
        fit_alphasteer_text(base, [question(0)], retain, recall, refusal)
