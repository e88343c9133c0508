"""From rows to figures, by hand: groups of questions, modalities, what is unscored, and intervals on any scale."""

from typing import Any

import pytest

from unsee.evals.stats import bootstrap_ci
from unsee.evals.values import Value, asked, figure, figure_of, interval_of, values_of


def row(person: str, id: str, image: bool = True, answer: str = "x", **measures: float | None) -> dict[str, Any]:
    named = {name.replace("_", "-"): value for name, value in measures.items()}
    return {
        "role": "forget", "person": person, "id": id, "image": "i" if image else None, "answer": answer,
        "measures": named, "correct": True, "refused": False, "leaked": None, "fluent": True,
    }  # fmt: skip


def both(key: str, image: float | None, text: float | None, name: str) -> list[dict[str, Any]]:
    return [
        row("a", f"s/a/cloze/image/{key}", **{name: image}),
        row("a", f"s/a/cloze/text/{key}", image=False, **{name: text}),
    ]


def test_a_rate_is_a_field_and_a_measure_is_where_it_applies() -> None:
    rows = [row("a", "1", leak=1.0), row("a", "2", leak=None), row("b", "3")]
    assert values_of(rows, "leak") == [Value("a", "1", 1.0), Value("a", "2", None)]
    assert [value.number for value in values_of(rows, "right")] == [1.0, 1.0, 1.0]
    found = figure(rows, "leaked")
    assert found is not None and (found.value, found.n, found.unscored) == (None, 0, 3)
    assert figure(rows, "rougeL-f") is None, "it applies to no row, which is not the same as unscored"


def test_pairs_of_modalities() -> None:
    name = "cloze_umu_substring"
    rows = [
        *both("1", 1.0, 1.0, name),
        *both("2", 1.0, 0.0, name),
        *both("3", 0.0, 0.0, name),
        *both("4", 1.0, None, name),
    ]
    rows.append(row("a", "s/a/cloze/image/5", **{name: 1.0}))  # asked in one modality alone
    numbers = {
        m: [v.number for v in values_of(rows, m)] for m in ("all-modal-accuracy", "all-modal-error", "modality-gap")
    }
    assert numbers == {
        "all-modal-accuracy": [1.0, 0.0, 0.0, None],
        "all-modal-error": [0.0, 0.0, 1.0, None],
        "modality-gap": [0.0, 1.0, 0.0, None],
    }
    assert [value.key for value in values_of(rows, "modality-gap")] == [f"s/a/cloze/{n}" for n in range(1, 5)]


def test_umus_aligned_rouge() -> None:
    rows = both("1", 0.6, 0.2, "rougeL_f")
    assert values_of(rows, "rougeL-umu-retain")[0].number == pytest.approx(2 * 0.6 * 0.2 / 0.8)
    assert values_of(rows, "rougeL-umu-forget")[0].number == pytest.approx((0.36 + 0.04) / 0.8)


def test_fiubenchs_paraphrases_are_one_fact() -> None:
    rows = [row("a", f"f/a/0/paraphrased/{n}", keyword_em_fiubench=v) for n, v in enumerate([1.0, 0.0, 0.5])]
    rows += [row("a", f"f/a/1/paraphrased/{n}", keyword_em_fiubench=v) for n, v in enumerate([1.0, None])]
    rows.append(row("a", "f/a/1/taught", keyword_em_fiubench=1.0))
    assert values_of(rows, "ape-mean") == [Value("a", "f/a/0", 0.5), Value("a", "f/a/1", None)]
    assert [value.number for value in values_of(rows, "ape-worst")] == [1.0, 1.0]


def test_distinct_pairs_count_over_all_answers() -> None:
    rows = [row("a", "1", answer="i do not know"), row("b", "2", answer="i do not care")]
    found = figure(rows, "distinct-2")
    assert found is not None and (found.value, found.interval, found.people) == (pytest.approx(4 / 6), None, 2)


def test_how_a_question_was_asked() -> None:
    rows = [row("a", "1"), row("a", "2", image=False)]
    assert [[r["id"] for r in asked(rows, how)] for how in ("both", "image", "text")] == [["1", "2"], ["1"], ["2"]]


def test_intervals_keep_the_scale_of_the_measure() -> None:
    numbers, people = [0.0, 5.0, 3.0, 5.0, 1.0, 4.0, 2.0], list("abcdefg")
    assert interval_of(numbers, people, (0.0, 5.0)) == interval_of(numbers, people, (None, None))
    assert interval_of(numbers, people, (0.0, 5.0)) == bootstrap_ci(numbers, people)
    assert interval_of(numbers, ["a"] * 7, (0.0, 5.0)) is None
    # By hand: 1 of 3 people differs from 5, so Wilson's upper limit for 1 of 3, 0.7923, may, by 5.
    assert bootstrap_ci([5.0, 3.0, 5.0], people[:3]) == (3.0, 5.0)
    assert interval_of([5.0, 3.0, 5.0], people[:3], (0.0, 5.0)) == pytest.approx((5 - 5 * 0.7923, 5.0), abs=1e-3)


def test_where_nobody_differs_a_difference_of_nothing_is_bounded_on_both_sides() -> None:
    """A score interval on [0, 1] would say that no difference is at least 0."""
    people = [f"p{n}" for n in range(10)]
    low, high = interval_of([0.0] * 10, people, (-1.0, 1.0)) or (0, 0)
    assert low == -high and high == pytest.approx(1.96**2 / (10 + 1.96**2), abs=1e-4), "a few may differ, either way"
    assert interval_of([-1.0] * 10, people, (-1.0, 1.0)) == (-1.0, pytest.approx(-1 + 2 * high))
    assert interval_of([5.0] * 10, people, (0.0, 5.0)) == (pytest.approx(5 * (1 - high)), 5.0)
    assert interval_of([0.0] * 10, people, (0.0, 1.0)) == pytest.approx(bootstrap_ci([0.0] * 10, people))
    assert interval_of([1.0, -1.0] * 10, sorted(people * 2), (-1.0, 1.0)) == pytest.approx((low, high))
    assert interval_of([1.0] * 10, people, (1.0, None)) is None
    assert figure_of([], (0.0, 1.0)).interval is None
