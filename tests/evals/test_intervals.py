"""Intervals against scipy's bootstrap and a hand-computed Wilson interval; rows against hand counts."""

import itertools

import numpy as np
import pytest
from scipy import stats

from unsee.errors import DataError, OptionError
from unsee.evals.stats import bootstrap_ci, holm, p_value, summarise, wilson
from unsee.evals.values import interval_of


def test_equal_clusters_agree_with_scipy_on_cluster_means() -> None:
    rng = np.random.default_rng(3)
    values = (rng.random((40, 6)) < rng.random((40, 1))).astype(float)
    clusters = [f"p{person}" for person in range(40) for _ in range(6)]
    found = bootstrap_ci(values.ravel().tolist(), clusters, resamples=20_000)
    truth = stats.bootstrap(
        (values.mean(axis=1),), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert found == pytest.approx((truth.low, truth.high), abs=0.006)


def test_unequal_clusters_agree_with_a_slow_resampling_of_people() -> None:
    rng = np.random.default_rng(5)
    groups = [(rng.random(size) < 0.6).astype(float).tolist() for size in rng.integers(1, 12, 25)]
    values = [value for group in groups for value in group]
    clusters = [str(person) for person, group in enumerate(groups) for _ in group]
    means = []
    for _ in range(8_000):
        drawn = [groups[index] for index in rng.integers(0, len(groups), len(groups))]
        means.append(np.concatenate(drawn).mean())
    assert bootstrap_ci(values, clusters, resamples=8_000) == pytest.approx(
        tuple(np.quantile(means, [0.025, 0.975])), abs=0.01
    )


def test_questions_of_one_person_are_not_independent() -> None:
    values = [float(person % 2) for person in range(10) for _ in range(20)]
    by_person = bootstrap_ci(values, [str(person) for person in range(10) for _ in range(20)])
    by_question = bootstrap_ci(values, [str(index) for index in range(200)])
    assert by_person is not None and by_question is not None
    assert by_person[1] - by_person[0] > 3 * (by_question[1] - by_question[0])


def test_order_and_seed_decide_nothing_but_the_draw() -> None:
    values, clusters = [1.0, 0.0, 1.0, 1.0, 0.0, 0.0], ["a", "a", "b", "b", "c", "c"]
    assert bootstrap_ci(values, clusters, seed=4) == bootstrap_ci(values, clusters, seed=4)
    assert bootstrap_ci(values[::-1], clusters[::-1], seed=4) == bootstrap_ci(values, clusters, seed=4)


def test_without_spread_the_wilson_interval_over_people_stands_in() -> None:
    # z^2 = 3.8415: upper limit of 0 of 5 is z^2 / (5 + z^2) = 0.4345.
    assert bootstrap_ci([0.0] * 60, [str(index % 5) for index in range(60)]) == pytest.approx((0.0, 0.4345), abs=1e-4)
    assert bootstrap_ci([1.0] * 60, [str(index % 5) for index in range(60)]) == pytest.approx((0.5655, 1.0), abs=1e-4)
    assert stats.binomtest(0, 5).proportion_ci(method="wilson").high == pytest.approx(0.4345, abs=1e-4)


def test_rare_events_are_covered_as_often_as_is_claimed() -> None:
    """Simulated people who leak all or next to nothing: the percentiles alone hold the truth in 88 of 100 samples."""
    rng = np.random.default_rng(0)
    people = [str(person) for person in range(20) for _ in range(5)]
    ours = plain = 0
    for _ in range(400):
        rates = rng.beta(0.1 * 0.25, 0.9 * 0.25, 20)  # mean 0.1, correlation of two answers of a person 0.8
        told = (rng.random((20, 5)) < rates[:, None]).astype(float)
        low, high = bootstrap_ci(told.ravel().tolist(), people) or (1.0, 0.0)
        ours += low <= 0.1 <= high
        means = told.mean(1)[rng.integers(0, 20, (500, 20))].mean(1)
        plain += np.quantile(means, 0.025) <= 0.1 <= np.quantile(means, 0.975)
    assert plain < 0.91 * 400 and ours > 0.95 * 400


def test_one_leak_is_no_better_news_than_none() -> None:
    """The upper limit for 1 of 100 answers is not below that for 0 of 100, of the same 20 people."""
    people = [str(index // 5) for index in range(100)]
    none, one = (bootstrap_ci([1.0] * k + [0.0] * (100 - k), people) for k in (0, 1))
    assert none is not None and one is not None and one[1] >= none[1] > 0.16
    assert one == pytest.approx((0.0, wilson(0.01, 20)[1]))


def test_differences_of_few_people_may_be_anybodys() -> None:
    """By hand: 1 of 20 people differs, so up to Wilson's upper limit for 1 of 20, 0.2361, may, by 1 either way."""
    people = [str(index) for index in range(20)]
    found = interval_of([-1.0] + [0.0] * 19, people, (-1.0, 1.0))
    assert found == pytest.approx((-0.2361, 0.2361), abs=1e-4)
    assert stats.binomtest(1, 20).proportion_ci(method="wilson").high == pytest.approx(0.2361, abs=1e-4)
    many = interval_of([-1.0] * 8 + [0.0] * 12, people, (-1.0, 1.0))
    assert many == bootstrap_ci([-1.0] * 8 + [0.0] * 12, people)


@pytest.mark.parametrize("seed", range(4))
def test_a_p_value_is_that_of_scipys_permutations_of_people(seed: int) -> None:
    """Whole people are swapped: scipy is given one sum a person, and turns signs of one sample."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, 9)
    people = [str(person) for person, size in enumerate(sizes) for _ in range(size)]
    values = rng.integers(-1, 2, len(people)) + 0.3 * seed
    sums = np.array([values[[p == str(person) for p in people]].sum() for person in range(9)])
    truth = stats.permutation_test((sums,), np.sum, permutation_type="samples", n_resamples=np.inf).pvalue
    assert p_value(values.tolist(), people) == pytest.approx(truth)


def test_a_drawn_p_value_is_near_the_exact_one_and_never_0() -> None:
    rng = np.random.default_rng(1)
    values = (rng.normal(0.35, 1, 16)).tolist()
    people = [str(person) for person in range(16)]
    truth = stats.permutation_test((np.array(values),), np.sum, permutation_type="samples", n_resamples=np.inf).pvalue
    assert p_value(values, people) == pytest.approx(truth, abs=0.01)
    assert p_value([1.0] * 60, [str(person) for person in range(60)]) == pytest.approx(1 / 20_001)
    assert p_value([0.0] * 60, people * 3 + people[:12]) == 1.0
    with pytest.raises(DataError, match="got 1 differences and 2 clusters"):
        p_value([1.0], ["a", "b"])


@pytest.mark.parametrize("seed", range(5))
def test_holm_is_the_closed_test_of_bonferroni(seed: int) -> None:
    """By its definition: a hypothesis is rejected when each set of hypotheses with it is, by Bonferroni."""
    p = np.random.default_rng(seed).choice([0.001, 0.004, 0.02, 0.03, 0.2, 0.9], 6).tolist()
    truth = [
        max(
            min(1.0, len(some) * min(p[j] for j in some))
            for size in range(1, 7)
            for some in itertools.combinations(range(6), size)
            if i in some
        )
        for i in range(6)
    ]
    assert holm(p) == pytest.approx(truth)
    assert holm([]) == []


def test_one_person_has_no_interval() -> None:
    assert bootstrap_ci([0.0, 1.0, 1.0], ["a", "a", "a"]) is None


def test_spreadless_numbers_that_are_no_rates_have_no_interval() -> None:
    assert bootstrap_ci([7.0, 7.0], ["a", "b"]) is None


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match=r"got 2 values and 1 clusters"):
        bootstrap_ci([1.0, 0.0], ["a"])
    with pytest.raises(DataError, match=r"got 0 values"):
        bootstrap_ci([], [])
    with pytest.raises(DataError, match=r"NaN or infinite.*Leave unscored answers out"):
        bootstrap_ci([1.0, float("nan")], ["a", "b"])
    with pytest.raises(OptionError, match=r"resamples is 10, expected 100 or more"):
        bootstrap_ci([1.0, 0.0], ["a", "b"], resamples=10)


def record(condition: str, split: str, person: str, **verdict: bool | None) -> dict[str, object]:
    plain: dict[str, object] = {"answer": "x", "correct": False, "leaked": False, "refused": False, "fluent": True}
    role = "forget" if split.startswith("forget") else split.partition("_")[0]
    return {"condition": condition, "split": split, "role": role, "person": person} | plain | verdict


def test_rows_count_what_was_scored_and_what_was_not() -> None:
    records = [
        record("base", "retain_unseen", "a", correct=True),
        record("base", "retain_unseen", "a", correct=True),
        record("base", "retain_unseen", "b", correct=True),
        record("base", "retain_unseen", "b", refused=True),
        record("base", "retain_unseen", "c") | {"answer": None, "correct": None, "leaked": None},
        record("erased", "forget_heldout", "f", refused=True),
        record("erased", "forget_heldout", "f", refused=True),
        record("erased", "forget_heldout", "g", refused=True),
        record("erased", "forget_heldout", "g", leaked=True),
    ]
    base, erased = summarise(records)
    assert (base["condition"], base["split"], base["n"], base["n_subjects"], base["unscored"]) == (
        "base",
        "retain_unseen",
        4,
        2,
        1,
    )
    assert (base["accuracy"], base["refusal"], base["leak"]) == (0.75, 0.25, 0.0)
    assert base.get("worst") == {"accuracy": 0.5, "refusal": 0.5}
    # By hand, Wilson for 0.75 of 2 people: 0.5856 - 0.3878; what resampling alone would say is 0.5 to 1.
    assert base["ci95"]["accuracy"] == pytest.approx((0.1979, 1.0), abs=1e-4)
    assert (erased["refusal"], erased["leak"]) == (0.75, 0.25)
    assert erased.get("worst") == {"leak": 0.5, "refusal": 0.5}


def test_a_split_without_one_scored_answer_has_no_rates() -> None:
    (row,) = summarise([record("base", "visible", "a") | {"answer": None, "correct": None}])
    assert (row["n"], row["unscored"], row["accuracy"], row["ci95"]["accuracy"]) == (0, 1, None, None)


def test_one_question_each_has_no_worst_subject() -> None:
    (row,) = summarise([record("base", "knowledge", "a"), record("base", "knowledge", "b", correct=True)])
    assert "worst" not in row


def test_a_record_without_its_verdict_is_named() -> None:
    broken = record("base", "visible", "a")
    del broken["leaked"]
    with pytest.raises(DataError, match=r"answer record 1 lacks \['leaked'\]"):
        summarise([record("base", "visible", "a"), broken])
