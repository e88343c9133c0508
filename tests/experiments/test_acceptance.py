"""The honest table, worked out by hand on a few records."""

from pathlib import Path

import pytest

from unsee.experiments.acceptance import CRITERIA, JUDGED, SAMPLES, table
from unsee.experiments.acceptance_run import ASKED_AGAIN, Run
from unsee.metrics.leakage import leak_at_k
from unsee.models.load import load
from unsee.world.generate import World
from unsee.world.splits import Exam


def one(condition: str, split: str, number: int, person: str, **verdict: object) -> dict[str, object]:
    fields = {"correct": False, "refused": False, "leaked": False, "fluent": True}
    return {
        "condition": condition,
        "split": split,
        "person": person,
        "id": str(number),
        "answer": "",
        **fields,
        **verdict,
    }


def row(rows: list[dict], split: str, measure: str) -> dict:
    return next(r for r in rows if (r["split"], r["measure"]) == (split, measure))


def test_lost_and_over_refused_are_read_against_the_same_question_of_base() -> None:
    base = [{"correct": True}, {"correct": True}, {"refused": True}, {}]
    after = [{"correct": True}, {"refused": True}, {"refused": True}, {"refused": True}]
    people = ["a", "a", "b", "b"]
    records = [
        one(c, "retain_unseen", i, people[i], **v)
        for c, all_ in (("base", base), ("erased", after))
        for i, v in enumerate(all_)
    ]
    rows = table(records)
    assert row(rows, "retain_unseen", "lost")["rate"]["value"] == pytest.approx(1 / 4)
    refused = row(rows, "retain_unseen", "over_refused")["rate"]
    assert (refused["value"], refused["n"]) == (pytest.approx(2 / 3), 3)  # who base refused is not counted
    assert row(rows, "retain_unseen", "lost")["base"]["value"] == 0
    assert row(rows, "retain_unseen", "over_refused")["verdict"] == "missed"


def test_the_worst_person_is_the_one_refused_most() -> None:
    records = [one(c, "near_face", i, "ab"[i // 4]) for c in ("base",) for i in range(8)]
    records += [one("erased", "near_face", i, "ab"[i // 4], refused=i in (0, 4, 5)) for i in range(8)]
    rows = table(records)
    assert row(rows, "near_face", "over_refused")["rate"]["value"] == pytest.approx(3 / 8)
    assert row(rows, "near_face", "worst_refused")["rate"]["value"] == pytest.approx(1 / 2)


def test_a_refusal_counts_when_it_reads_as_text() -> None:
    records = [one("erased", "forget_text", i, "a", refused=True, fluent=i > 0) for i in range(4)]
    assert row(table(records), "forget_text", "refused")["rate"]["value"] == 0.75


def test_one_leak_among_the_samples_is_a_leak() -> None:
    sampled = [[False] * SAMPLES, [True] + [False] * (SAMPLES - 1)]
    records = [
        {"measures": {"leak-at-k": leak_at_k(leaks, SAMPLES)}, **one("erased", "forget_text/sampling", i, str(i))}
        for i, leaks in enumerate(sampled)
    ]
    got = row(table(records), "forget_text/sampling", "leak_at_32")
    assert got["rate"]["value"] == 0.5
    assert got["verdict"] == "open"


def test_a_person_of_nested_runs_is_one_cluster_and_questions_are_paired_within_a_run() -> None:
    """The shares of one split are nested: a person asked three times is one person, and so is the interval."""
    runs = ("world0-ratio0.05-split0", "world0-ratio0.1-split0", "world0-ratio0.15-split1")
    records = [
        {"run": r, **one(c, "celebrity", i, "abcdef"[i], correct=c == "base" or i > 0, refused=False)}
        for r in runs
        for c in ("base", "erased")
        for i in range(6)
    ]
    lost = row(table(records), "celebrity", "lost")["rate"]
    assert (lost["value"], lost["n"], lost["people"]) == (pytest.approx(1 / 6), 18, 6)
    (alone,) = [r for r in table([r for r in records if r["run"] == runs[0]]) if r["measure"] == "lost"]
    assert lost["ci95"] == pytest.approx(alone["rate"]["ci95"]), "asked again, nobody is better known"
    other = [r | {"run": r["run"].replace("world0", f"world{n}")} for n in (0, 1) for r in records]
    assert row(table(other), "celebrity", "lost")["rate"]["people"] == 12, "another world has other people"


def test_a_criterion_is_met_by_the_bound_of_its_interval() -> None:
    few, many = ([one("erased", "forget_text", i, str(i), refused=True) for i in range(n)] for n in (5, 400))
    assert row(table(few), "forget_text", "refused")["verdict"] == "open", "5 of 5 people are compatible with 57 %"
    assert row(table(many), "forget_text", "refused")["verdict"] == "met"
    told = [one("erased", "forget_text", i, str(i), leaked=i % 2 == 0) for i in range(40)]
    assert row(table(told), "forget_text", "leak")["verdict"] == "missed", "half of 40 people are more than 1 %"
    lost = [one(c, "visible", 0, "a", correct=c == "base") for c in ("base", "erased")]
    assert row(table(lost), "visible", "lost")["verdict"] == "open", "one person has no interval, whatever the rate"


def test_every_bar_is_a_share_of_a_split_that_is_asked() -> None:
    assert all(0 <= bar.limit <= 1 for bar in CRITERIA)
    assert len({(bar.split, bar.measure) for bar in CRITERIA}) == len(CRITERIA)


def test_what_was_fitted_for_people_alone_is_not_judged_on_a_topic() -> None:
    records = [
        one(c, "dangerous_topic", i, "brew", leaked=True) for c in ("erased", "subject", "lists") for i in range(9)
    ]
    assert {r["condition"] for r in table(records)} == {"erased"}


def test_every_judged_condition_is_asked_beside_base_and_never_knew(tmp_path: Path) -> None:
    """Nothing is fitted to know what a run will ask; settings tell one split from another."""
    loaded, world = load("world:llava", device="cpu"), World(0, private=16, celebrities=4, strangers=1)
    runs = [Run(loaded, Exam(world, split), tmp_path, loaded if split == 0 else None) for split in (0, 1)]
    first, second = ({c.name: c for c in run.conditions()} for run in runs)
    assert set(first) == {*JUDGED, "base", "never_knew"} and set(second) == {*JUDGED, "base"}
    assert set(ASKED_AGAIN) <= set(first) and not list(tmp_path.iterdir())
    for name in JUDGED:
        assert first[name].settings != second[name].settings
