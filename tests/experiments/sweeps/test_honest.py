"""The honest table, worked out by hand on a few records."""

import pytest

from unsee.experiments.sweeps.honest import BARS, SAMPLES, table


def one(condition: str, split: str, number: int, person: str, **verdict: object) -> dict[str, object]:
    fields = {"correct": False, "refused": False, "leaked": False, "fluent": True}
    return {"condition": condition, "split": split, "person": person, "id": str(number), **fields, **verdict}


def row(rows: list[dict], split: str, measure: str) -> dict:
    return next(r for r in rows if (r["split"], r["measure"]) == (split, measure))


def test_lost_and_wrongly_refused_are_read_against_the_same_question_of_base() -> None:
    base = [{"correct": True}, {"correct": True}, {"refused": True}, {}]
    after = [{"correct": True}, {"refused": True}, {"refused": True}, {"refused": True}]
    people = ["a", "a", "b", "b"]
    records = [
        one(c, "retain_unseen", i, people[i], **v)
        for c, all_ in (("base", base), ("erased", after))
        for i, v in enumerate(all_)
    ]
    rows = table(records)
    assert row(rows, "retain_unseen", "lost")["erased"]["value"] == pytest.approx(1 / 4)
    refused = row(rows, "retain_unseen", "wrongly_refused")["erased"]
    assert (refused["value"], refused["n"]) == (pytest.approx(2 / 3), 3)  # who base refused is not counted
    assert row(rows, "retain_unseen", "lost")["base"]["value"] == 0
    assert not row(rows, "retain_unseen", "wrongly_refused")["met"]


def test_the_worst_person_is_the_one_refused_most() -> None:
    records = [one(c, "near_face", i, "ab"[i // 4]) for c in ("base",) for i in range(8)]
    records += [one("erased", "near_face", i, "ab"[i // 4], refused=i in (0, 4, 5)) for i in range(8)]
    rows = table(records)
    assert row(rows, "near_face", "wrongly_refused")["erased"]["value"] == pytest.approx(3 / 8)
    assert row(rows, "near_face", "worst_refused")["erased"]["value"] == pytest.approx(1 / 2)


def test_a_refusal_counts_when_it_reads_as_text() -> None:
    records = [one("erased", "forget_text", i, "a", refused=True, fluent=i > 0) for i in range(4)]
    assert row(table(records), "forget_text", "refused")["erased"]["value"] == 0.75


def test_one_leak_among_the_samples_is_a_leak() -> None:
    sampled = [[False] * SAMPLES, [True] + [False] * (SAMPLES - 1)]
    records = [
        {"condition": "erased", "split": "forget_text_sampled", "person": str(i), "id": str(i), "leaks": leaks}
        for i, leaks in enumerate(sampled)
    ]
    got = row(table(records), "forget_text", "leak_at_32")
    assert got["erased"]["value"] == 0.5
    assert not got["met"]


def test_runs_pool_without_mixing_their_people_or_their_questions() -> None:
    """The same question of two runs is two; each is paired with base of its own run."""
    records = [
        {"run": r, **one(c, "celebrity", 0, "a", correct=c == "base" or r == "x", refused=False)}
        for r in ("x", "y")
        for c in ("base", "erased")
    ]
    lost = row(table(records), "celebrity", "lost")["erased"]
    assert (lost["value"], lost["people"]) == (0.5, 2)


def test_every_bar_is_a_share_of_a_split_that_is_asked() -> None:
    assert all(0 <= bar.limit <= 1 for bar in BARS)
    assert len({(bar.split, bar.measure) for bar in BARS}) == len(BARS)
