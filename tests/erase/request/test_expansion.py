"""Prompts of the fit and of the verification share no family, wording or view; the same seed gives the same bytes."""

from dataclasses import replace

import pytest

from tiny_llava import noise_image
from unsee.erase.request.aliases import misspelled, spellings
from unsee.erase.request.allowed import allowed, unknown_like
from unsee.erase.request.augment import augmented, held_out
from unsee.erase.request.bank import BANKS
from unsee.erase.request.expansion import bare, expand, questions
from unsee.erase.request.invented import half_sharing, invented_names
from unsee.erase.request.request import Kind, Request, request
from unsee.erase.request.starter_kit import general, public_figures, unknown_people

ADA = request("Ada Lovelace", aliases=["the countess"], images=[noise_image(1, (40, 50)), noise_image(2)])


def test_fit_and_held_out_share_no_family_question_or_view() -> None:
    fit, held = expand(ADA, "s", held=False, each=20), expand(ADA, "s", held=True, each=20)
    assert not {p.family for p in fit} & {p.family for p in held}
    asked = {(p.sample.question, p.sample.earlier) for p in fit if p.way == "name"}
    assert not asked & {(p.sample.question, p.sample.earlier) for p in held if p.way == "name"}
    changed = {p.sample.image.source for p in fit if p.family == "image, changed" and p.sample.image}
    assert changed and not changed & {p.sample.image.source for p in held if p.sample.image}


@pytest.mark.parametrize("kind", list(BANKS))
def test_every_kind_asks_in_held_out_words(kind: str) -> None:
    bank = BANKS[kind]  # type: ignore[index]
    for noun in ["", *(fact.noun for fact in bank.facts), "shoe size"]:
        assert not set(questions(bank, noun, "X", False)) & set(questions(bank, noun, "X", True))


def test_the_same_seed_gives_the_same_prompts_and_another_seed_others() -> None:
    one, two, three = (expand(ADA, "s", held=False, seed=seed) for seed in (0, 0, 1))
    assert one == two != three
    assert [p.sample.image and p.sample.image.source for p in one] == [
        p.sample.image and p.sample.image.source for p in two
    ]


@pytest.mark.parametrize("held", [False, True])
def test_a_pseudonym_of_another_key_asks_the_same(held: bool) -> None:
    first, second = (expand(ADA, subject, held=held) for subject in ("3f9a", "c041"))
    assert [replace(prompt.sample, subject="") for prompt in first] == [
        replace(prompt.sample, subject="") for prompt in second
    ]


def test_selective_requests_spare_what_they_do_not_name() -> None:
    prompts = expand(request("Ada Lovelace", erase="home city"), "s", held=False, each=10)
    assert {p.fact for p in prompts if not p.spared} == {"home city"}
    assert "job" in {p.fact for p in prompts if p.spared}
    assert not any(p.fact in ("", "name") for p in prompts), "asking for anything is no question about one fact"


def test_every_way_and_fact_is_asked_before_a_fit() -> None:
    asked = bare(ADA, "s")
    assert {p.way for p in asked} == {"name", "image"}
    assert {p.fact for p in asked} == {"", "name", *(fact.noun for fact in BANKS["person"].facts)}
    named = [p for p in asked if p.way == "name"]
    assert all(any(name in p.sample.question for name in ADA.names) for p in named)
    assert {p.family for p in named} == {"plain", "alias"}


def test_changed_images_are_the_same_every_time_and_all_different() -> None:
    one, two = augmented(ADA.images[0], 8, 3), augmented(ADA.images[0], 8, 3)
    assert [p.source for p in one] == [p.source for p in two]
    assert len({p.source for p in one}) == 9
    assert {p.load().size for p in one} == {(40, 50)}
    assert {p.load().size for p in held_out(ADA.images[0], 0).values()} == {(40, 50)}


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3)])
def test_images_of_any_shape_can_be_changed(size: tuple[int, int]) -> None:
    made = augmented(noise_image(1, size), 24, 0)
    assert {p.load().size for p in [*made, *held_out(noise_image(1, size), 0).values()]} == {size}


@pytest.mark.parametrize("name", ["Li", "李小龙", "🙂", "José García", "x y"])
def test_any_name_is_spelled_and_misspelled(name: str) -> None:
    assert spellings(name)[0] == name
    assert all(one != name for one in misspelled(name, 0))


def test_accents_go_and_hangul_stays() -> None:
    assert "Jose Garcia" in spellings("José García")
    assert spellings("김철수") == ["김철수"]


def test_invented_names_are_many_different_and_nobody_asked_for() -> None:
    names = invented_names(4000)
    assert len({name.casefold() for name in names}) == 4000
    assert names[:50] == invented_names(50)
    assert names[3] not in invented_names(4000, without=[names[3]])


def test_half_sharing_names_share_exactly_one_half() -> None:
    for name in half_sharing("Mara Olin", 20):
        first, last = name.split()
        assert (first == "Mara") != (last == "Olin")
    assert half_sharing("Cher", 5) == []


@pytest.mark.parametrize(
    ("kind", "named"), [("person", True), ("work", True), ("organisation", True), ("topic", False), ("fact", False)]
)
def test_whose_name_is_a_name_has_namesakes(kind: Kind, named: bool) -> None:
    """A company's too: "Ford Motor Company" shares a word with the gate of General Motors."""
    asked = request("General Motors", kind=kind, erase="mayor" if kind == "fact" else "")
    for held in (False, True):
        near = [one.sample.question for one in allowed(asked, held=held) if one.group == "namesakes"]
        assert bool(near) is named
        assert all(("General" in text) != ("Motors" in text) for text in near)


def test_public_figures_that_a_request_names_are_left_out() -> None:
    assert any("Mozart" in s.question for s in public_figures())
    assert not any("Mozart" in s.question for s in public_figures(["W. A. Mozart"]))


def test_unknown_people_and_general_prompts_have_subjects_of_their_own() -> None:
    assert len({s.subject for s in unknown_people(30)}) == 30
    assert len({s.question for s in general()}) > 150


def test_unknown_prompts_are_the_same_with_another_name() -> None:
    prompts = expand(Request("Ada Lovelace"), "s", held=True)
    others = unknown_like(prompts, Request("Ada Lovelace"), ["Bo Nix"])
    assert others and not any("Lovelace" in str((o.sample.question, o.sample.earlier)) for o in others)
    assert all("Bo Nix" in str((o.sample.question, o.sample.earlier)) for o in others)


def test_what_stays_allowed_is_not_asked_twice() -> None:
    fit, held = allowed(ADA, held=False), allowed(ADA, held=True)
    texts = [
        {(one.group, one.sample.question) for one in side if one.group != "general with the image"}
        for side in (fit, held)
    ]
    assert not texts[0] & texts[1]
    assert {"visible", "namesakes", "general", "public figures"} <= {one.group for one in held}


def test_a_fact_is_all_that_a_request_of_its_kind_asks_for() -> None:
    asked = request("Aldermoor", kind="fact", erase="mayor")
    assert {p.fact for held in (False, True) for p in expand(asked, "s", held=held)} == {"mayor"}
