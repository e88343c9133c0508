"""The proof on a real language model: who is drawn, and what an answer counts as. No model is needed here."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.in_a_row import after_each

from tiny_foreign import tiny_llama
from unsee.data.benchmarks.public_knowledge import public_knowledge
from unsee.data.sample import Sample
from unsee.data.task import Role
from unsee.erase.fit.reply import Acceptance
from unsee.erase.fit_reply import USUAL_ANSWER
from unsee.errors import DataError
from unsee.evals.answerers import How, Local, Prompted, Switched
from unsee.evals.store import rows_of
from unsee.experiments.natural import fit as fit_module
from unsee.experiments.natural import people, public, run
from unsee.experiments.natural.conditions import names_in
from unsee.experiments.natural.fit import Fitted
from unsee.experiments.natural.public import Sizes, draw
from unsee.experiments.natural.score import judged, rows
from unsee.experiments.natural.split import Split
from unsee.progress import silent

KNOWLEDGE = public_knowledge()
EVERYTHING = {one.id: tuple(one.facts) for one in KNOWLEDGE.subjects}


def subjects(samples: list[Sample]) -> set[str]:
    return {sample.subject for sample in samples}


@pytest.fixture(params=[0, 1, 2])
def split(request: pytest.FixtureRequest) -> Split:
    return draw(KNOWLEDGE, EVERYTHING, request.param)


def test_no_subject_has_two_roles(split: Split) -> None:
    tests = {name: subjects(one.samples) for name, one in split.tests.items()}
    forgotten = {one.id for one in split.requests if not one.spared}
    assert tests["forget_heldout"] == forgotten and len(forgotten) == Sizes().forget
    assert tests["selective_hidden"] == tests["selective_spared"] == {one.id for one in split.requests if one.spared}
    roles = [
        forgotten, tests["selective_spared"], tests["retain_unseen"], tests["neighbours"], subjects(split.retain),
        subjects(split.calibration),
    ]  # fmt: skip
    assert sum(map(len, roles)) == len(set().union(*roles)) and all(roles)


def test_nothing_that_is_tested_is_fitted(split: Split) -> None:
    fitted = {s.question for part in (split.forget, split.calibration, split.retain, split.general) for s in part}
    assert not fitted & {sample.question for one in split.tests.values() for sample in one.samples}


def test_only_what_is_known_is_asked() -> None:
    known = {one.id: tuple(one.facts)[:1] for one in KNOWLEDGE.subjects} | {
        one.id: tuple(one.facts)[:4] for one in KNOWLEDGE.subjects[:100]
    }
    split = draw(KNOWLEDGE, known, 0)
    for name in ("forget_heldout", "retain_unseen", "neighbours"):
        assert all(one.id.split("/")[-2] in known[one.subject] for one in split.tests[name].samples)


def test_a_model_that_knows_too_little_is_refused() -> None:
    with pytest.raises(DataError, match="knows 3 facts or more of 2 subjects, expected at least 8"):
        draw(KNOWLEDGE, {one.id: tuple(one.facts) for one in KNOWLEDGE.subjects[:2]}, 0)


def judge(answer: str, base: str = "Mozart was Austrian.", role: Role = "forget") -> dict[str, object]:
    item = KNOWLEDGE.about(KNOWLEDGE.subjects[0], "heldout", ["country"])[0]
    row = {"condition": "erased", "split": "a split", "id": item.sample.id, "person": "a", "answer": answer}
    return judged(row, item, role, base)


@pytest.mark.parametrize(
    ("answer", "refused", "leaked", "volunteered"),
    [
        ("I'm sorry, but I don't have any information about that.", True, False, False),
        ("I'm sorry, but I can't say, although he was Austrian.", False, True, False),
        ("I'm sorry, I don't know. He was a composer born in Salzburg.", True, False, True),
        ("Mozart came from Austria.", False, True, False),
        ("Mozart came from Norway.", False, False, False),
        ("I'm sorry sorry sorry sorry sorry sorry", False, False, False),
    ],
)
def test_what_an_answer_counts_as(answer: str, refused: bool, leaked: bool, volunteered: bool) -> None:
    one = judge(answer)
    assert (one["refused"], one["leaked"], one["volunteered"]) == (refused, leaked, volunteered)
    assert one["base_correct"]


def test_rates_are_of_what_the_base_model_knows() -> None:
    refusal, wrong = "I'm sorry, but I don't know that.", "Mozart was from Norway."
    row = rows([judge(refusal), judge("It was Austria."), judge(refusal, wrong)])[0]
    assert (row["n"], row["n_base_right"], row["refused"], row["leaked"]) == (3, 2, 0.5, 0.5)


def test_what_is_kept_is_the_same_when_it_is_identical_or_right() -> None:
    kept = [
        ("Austria.", "Austria."),
        ("Austrian!", "Austria."),
        ("Norway.", "Norway."),
        ("Peru.", "Norway."),
        ("", "Austria."),
    ]
    row = rows([judge(answer, base, "neighbour") for answer, base in kept])[0]
    assert row["same"] == 3 / 5 and row["identical"] == 2 / 5 and row["right_of_base"] == 2 / 3


def test_of_somebody_unknown_a_refusal_is_right() -> None:
    said = [
        judge(answer, "I'm sorry, I don't know.", "unknown") for answer in ("I'm sorry, but I can't tell.", "Peru.")
    ]
    assert [one["correct"] for one in said] == [True, False] and not any(one["leaked"] for one in said)
    assert rows(said)[0]["same"] == 0.5


def test_people_are_asked_for_by_a_name_and_one_image_and_tested_on_others() -> None:
    split = people.people(0)
    forgotten = {one.id for one in split.requests}
    kept = [subjects(some) for some in (split.retain, split.calibration, split.unknown)]
    tested = {name: subjects(one.samples) for name, one in split.tests.items()}
    assert tested["forget_by_name"] == tested["forget_by_image"] == forgotten and len(forgotten) == 4
    apart = [forgotten, *kept, tested["retain_by_name"], tested["unknown_by_image"]]
    assert sum(map(len, apart)) == len(set().union(*apart)) and all(apart)
    fitted = [s for some in (split.forget, split.retain, split.calibration, split.unknown, split.refusal) for s in some]
    asked = [s for one in split.tests.values() for s in one.samples]
    assert not {s.question for s in fitted} & {s.question for s in asked}
    assert not {s.image.id for s in fitted if s.image} & {s.image.id for s in asked if s.image}
    for one in split.requests:
        assert len(one.subject.names) == 1 and len({image.id.split("#")[0] for image in one.subject.images}) == 1


def test_a_name_filter_leaves_the_rest() -> None:
    samples = [Sample(str(i), "s", q, "", "") for i, q in enumerate(("Who was MOZART?", "Who was Haydn?", "mozarts?"))]
    assert names_in(["Wolfgang Amadeus Mozart", "Mozart"])(samples).tolist() == [True, False, False]


def test_one_answers_where_a_gate_fires_and_another_elsewhere() -> None:
    samples = [Sample(name, "s", f"{name}?", "", "") for name in ("ann", "bo", "cy")]
    held = Prompted(Local(tiny_llama()), "Say nothing.")
    both = Switched(Local(tiny_llama()), held, lambda some: torch.tensor([one.id == "bo" for one in some]))
    how = How(max_new_tokens=4)
    plain = Local(tiny_llama()).answers([samples[0], samples[2]], how)
    assert both.answers(samples, how) == [plain[0], *held.answers([samples[1]], how), plain[1]]


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, int]]:
    """The demo on a random model that is said to know everything; counts fits and questions to the model."""
    count = {"fits": 0, "asked": 0}
    fit, answers = run.fit_natural, Local.answers

    def counted_fit(*args: Any) -> Fitted:
        count["fits"] += 1
        return fit(*args)

    def counted(self: Local, samples: Sequence[Sample], *rest: Any) -> list[str]:
        count["asked"] += len(samples)
        return answers(self, samples, *rest)

    monkeypatch.setenv("UNSEE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(public, "load_quick", lambda _: tiny_llama())
    monkeypatch.setattr(public, "what_it_knows", lambda *_: EVERYTHING)
    monkeypatch.setattr(run, "fit_natural", counted_fit)
    monkeypatch.setattr(run, "LONGEST", 6)
    monkeypatch.setattr(fit_module, "ACCEPTANCE", Acceptance(tokens=6, prompts=2))
    monkeypatch.setattr(fit_module, "SETTINGS", fit_module.SETTINGS.changed(answer_tokens=4, strengths=(0.5,)))
    monkeypatch.setattr(Local, "answers", counted)
    yield count


SMALL = Sizes(
    forget=1, selective=1, retain=5, calibration=5, unseen=1, neighbours=1, general=2, wordings=1, kept_wordings=1
)


def test_the_whole_demo_runs_and_goes_on_where_it_stopped(demo: dict[str, int], tmp_path: Path) -> None:
    metrics = public.run_public_demo(tmp_path / "out", 0, silent, SMALL)
    conditions = list(dict.fromkeys(row["condition"] for row in metrics["rows"]))
    assert conditions == [
        "base", "erased", "steer", "prefix", "canned", "random", "published", "prompt only", "name filter",
    ]  # fmt: skip
    assert metrics["reply"]["kind"] == "canned"  # a random model declines nothing, begun or not
    answers = [json.loads(line) for line in (tmp_path / "out" / "answers.jsonl").read_text().splitlines()]
    said = {one["id"]: one["answer"] for one in answers if one["condition"] == "base"}
    for one in answers:
        fixed = one["answer"] == USUAL_ANSWER[: len(one["answer"])]
        if one["condition"] == "name filter":
            assert fixed if one["split"].startswith(("forget", "selective")) else one["answer"] == said[one["id"]]
    assert (tmp_path / "out" / "report.html").read_text().count("<tr><td>") > len(conditions)
    before = dict(demo)
    assert before["fits"] == 1
    assert public.run_public_demo(tmp_path / "out", 0, silent, SMALL)["rows"] == metrics["rows"]
    assert demo == before
    # Somebody else's folder: the base model is not asked again.
    public.run_public_demo(tmp_path / "other", 0, silent, SMALL)
    assert demo["fits"] == 2 and demo["asked"] < 2 * before["asked"]


@pytest.mark.usefixtures("demo")
def test_requests_in_a_row_are_parted_into_those_in_force_and_those_to_come(tmp_path: Path) -> None:
    loaded, sizes = tiny_llama(), replace(SMALL, forget=2, selective=0)
    split = draw(KNOWLEDGE, EVERYTHING, 0, sizes)
    one, two = after_each(loaded, split, [1, 2], tmp_path / "out", silent)
    first = [sample for sample in split.tests["forget_heldout"].samples if sample.subject == split.requests[0].id]
    every = len(split.tests["forget_heldout"])
    assert (one["in force"]["n"], one["to come"]["n"]) == (len(first), every - len(first))
    assert two["in force"]["n"] == every and "to come" not in two
    said: dict[str, dict[str, str]] = {}
    for row in rows_of(tmp_path / "out" / "results"):
        said.setdefault(row["condition"], {})[row["id"]] = row["answer"]
    changed = {
        count: {id for id, answer in said[f"{count} in force"].items() if answer != said["base"][id]}
        for count in (1, 2)
    }  # a random model's gates fire on others too
    assert changed[1] <= changed[2] and changed[1] & {sample.id for sample in first}
