"""Figures that take more than one set or more than one model, from rows to table, against scipy."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from unsee.evals.aggregates import KEPT, against_never_knew, utility, utility_parts
from unsee.evals.choices import AGAINST, MEMBERSHIP
from unsee.evals.compare import compare
from unsee.evals.compare_tables import sheet
from unsee.evals.results import Result
from unsee.evals.summary import summary
from unsee.evals.values import figure, values_of

UTILITY = "model-utility"
ROLES = {
    "forget": "forget", "strangers": "unknown", "real_faces": "general", "real_world": "general",
    **dict.fromkeys(("retain", "retain_fit", "calibration", "retain_unseen"), "retain"),
}  # fmt: skip


def row(split: str, person: str, id: str, *, image: bool = True, **beside: Any) -> dict[str, Any]:
    return {
        "condition": "c", "split": split, "role": ROLES[split], "in_sample": split in ("retain_fit", "calibration"),
        "person": person, "id": id, "image": "i" if image else None,
        "answer": "x", "correct": True, "refused": False, "leaked": False, "fluent": True, "measures": {},
    } | beside  # fmt: skip


def settings(*measures: str, **other: Any) -> dict[str, Any]:
    return {
        "benchmark": "clear", "protocol": "official", "ratio": 5, "style": "clear", "prompts": "chat template",
        "replies": "greedy", "seed": 0, "measures": list(measures), "condition": {}, "task": "t",
    } | other  # fmt: skip


def scores(value: float | None) -> dict[str, float | None]:
    return dict.fromkeys(("loss", "zlib", "min-k", "min-k-plus-plus"), value)


def members(shift: float, seed: int = 0) -> list[dict[str, Any]]:
    """30 questions about 10 forgotten people, 20 about strangers; scores of both overlap."""
    rng = np.random.default_rng(seed)
    mine = [row("forget", f"p{n % 10}", f"f{n}", membership=scores(float(rng.normal(shift)))) for n in range(30)]
    others = [row("strangers", f"s{n % 5}", f"s{n}", membership=scores(float(rng.normal()))) for n in range(20)]
    return [*mine, *others]


def parted(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return [r for r in rows if r["split"] == "forget"], [r for r in rows if r["split"] == "strangers"]


@pytest.mark.parametrize("name", [name for name in MEMBERSHIP if name.startswith("mia-auc")])
def test_membership_is_the_area_of_scipy(name: str) -> None:
    mine, others = parted(members(0.8))
    sides = [[r["membership"][MEMBERSHIP[name]] for r in part] for part in (mine, others)]
    area = stats.mannwhitneyu(*sides).statistic / (30 * 20)
    found = figure(mine, name, unknown=others)
    assert found is not None and found.value == pytest.approx(area) and 0.5 < area < 1
    assert (found.n, found.people, found.unscored) == (30, 10, 0)
    assert found.interval is not None and found.interval[0] < area < found.interval[1]


def test_ties_count_half_and_all_that_is_unscored_is_counted() -> None:
    mine = [row("forget", "p", f"{n}", membership=scores(value)) for n, value in enumerate((1.0, 2.0, None))]
    others = [row("strangers", "s", f"s{n}", membership=scores(value)) for n, value in enumerate((1.0, 0.0, None))]
    found = figure(mine, "mia-auc-loss", unknown=others)
    assert found is not None and (found.value, found.n, found.unscored) == ((0.75 + 1) / 2, 2, 2)
    nobody = figure(mine, "mia-auc-loss", unknown=[others[2]])
    assert nobody is not None and (nobody.value, nobody.n, nobody.unscored) == (None, 0, 4), "not 0.5, and not 0"
    assert figure([row("forget", "p", "1")], "mia-auc-loss", unknown=others) is None, "no answer to score: not asked"
    assert values_of(others, "mia-auc-loss", others) == [], "strangers are not members"


def test_what_is_derived_from_the_area() -> None:
    mine, others = parted(members(2.0))
    area = figure(mine, "mia-auc-loss", unknown=others)
    derived, found = (figure(mine, name, unknown=others) for name in ("mia-open-mm", "mia-tpr-at-fpr"))
    assert area is not None and derived is not None and found is not None and area.value is not None
    assert derived.value == pytest.approx(1 - 2 * abs(area.value - 0.5)) and derived.interval is None
    highest = max(r["membership"]["loss"] for r in others)
    assert found.value == pytest.approx(np.mean([r["membership"]["loss"] > highest for r in mine]))


def test_membership_in_summary_and_table() -> None:
    chosen = settings(*MEMBERSHIP)
    told = summary(members(0.8), chosen, {})
    lines = {(one["split"], one["measure"]): one for one in told["measures"]}
    assert lines.keys() == {("forget", name) for name in MEMBERSHIP}
    table = compare([Result("base", chosen, members(2.0)), Result("erased", chosen, members(0.2, seed=0))])
    cells = {line.measure: line.cells for line in table.lines if line.measure in MEMBERSHIP}
    gain = cells["mia-auc-loss"]["erased"].difference
    assert gain is not None and gain.n == 30
    apart = [figure(*parted(members(s))[:1], "mia-auc-loss", unknown=parted(members(s))[1]) for s in (0.2, 2.0)]
    assert apart[0] is not None and apart[1] is not None
    assert gain.value == pytest.approx((apart[0].value or 0) - (apart[1].value or 0))
    assert {line.better for line in table.lines if line.measure == "mia-auc-loss"} == {"same"}
    assert cells["mia-open-mm"]["erased"].difference is None, "of an area there are no pairs"
    assert "mia-auc-loss" in {one["measure"] for one in sheet(table).numbers}


def test_strangers_of_one_modality_are_compared_with_members_of_the_same() -> None:
    rows = members(0.8)
    for number, one in enumerate(rows):
        one["image"] = None if number % 2 else "i"
    told = summary(rows, settings("mia-auc-loss"), {})
    by_way = {one["asked"]: one["value"] for one in told["measures"]}
    sides = [[r["membership"]["loss"] for r in part if r["image"]] for part in parted(rows)]
    assert by_way["image"] == pytest.approx(stats.mannwhitneyu(*sides).statistic / (len(sides[0]) * len(sides[1])))
    assert by_way.keys() == {"both", "image", "text"}


def kept(split: str, *values: float | None, contrastive: float | None = 0.9) -> list[dict[str, Any]]:
    """Rows with probability, ROUGE-L recall and truth ratio at these values."""
    return [
        row(split, f"{split}{n}", f"{split}{n}", measures={
            "probability": value, "rougeL-recall": value, "truth-ratio-retain": value,
            "probability-contrastive": contrastive,
        }) for n, value in enumerate(values)
    ]  # fmt: skip


def test_model_utility_is_the_harmonic_mean_of_scipy() -> None:
    rows = [*kept("retain", 0.5, 0.7), *kept("real_faces", 0.2, 0.4, None), *kept("forget", 0.0)]
    found = utility(rows, "official")
    assert found is not None and found.value == pytest.approx(stats.hmean([0.6, 0.6, 0.6, 0.9, 0.3, 0.3]))
    assert (found.n, found.unscored, found.people, found.interval) == (6, 0, 5, None)
    assert utility_parts(rows, "official").keys() == {
        *(f"retain/{name}" for name in ("probability", "rougeL-recall", "truth-ratio-retain")),
        *(f"real_faces/{name}" for name in ("probability-contrastive", "rougeL-recall", "truth-ratio-retain")),
    }


def test_model_utility_is_0_with_a_0_and_unscored_with_a_part_unscored() -> None:
    zero = utility([*kept("retain", 0.5), *kept("real_world", 0.0)], "official")
    assert zero is not None and zero.value == 0.0
    lost = utility([*kept("retain", 0.5), *kept("real_world", None)], "official")
    assert lost is not None and (lost.value, lost.n, lost.unscored) == (None, 4, 2), "not the mean of the others"
    assert utility(kept("forget", 0.5), "official") is None and utility([row("retain", "p", "1")], "official") is None


def test_model_utility_is_of_people_that_no_fit_saw() -> None:
    rows = [*kept("retain_fit", 0.1), *kept("calibration", 0.1), *kept("retain_unseen", 0.5)]
    assert {name.partition("/")[0] for name in utility_parts(rows, "honest")} == {"retain_unseen"}


def test_model_utility_in_summary_and_table() -> None:
    chosen = settings(UTILITY)
    told = summary(kept("retain", 0.5), chosen, {})
    (one,) = [one for one in told["measures"] if one["measure"] == UTILITY]
    assert (one["split"], one["value"], one["n"], len(one["parts"])) == (KEPT, pytest.approx(0.5), 3, 3)
    results = [Result(name, chosen, kept("retain", value)) for name, value in (("base", 0.5), ("erased", 0.25))]
    (line,) = [line for line in compare(results).lines if line.measure == UTILITY]
    assert [cell.figure.value for cell in line.cells.values()] == pytest.approx([0.5, 0.25])
    assert (line.split, line.better) == (KEPT, "higher")
    assert KEPT in {row[0] for row in sheet(compare(results)).rows}
    assert not [line for line in compare(results, sets=["retain"]).lines if line.split == KEPT]
    silent = compare([Result("base", settings("rougeL-recall"), kept("retain", 0.5))])
    assert not [line for line in silent.lines if line.measure == UTILITY], "it was not chosen"


def ratios(*values: float | None, name: str = "q") -> list[dict[str, Any]]:
    measures = {"truth-ratio-forget": 0.5}
    return [
        row("forget", f"p{n % 4}", f"{name}{n}", measures=measures)
        | ({} if value is None else {"log_truth_ratio": value})
        for n, value in enumerate(values)
    ]


def test_jensen_shannon_is_that_of_scipy() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(1.0, size=40), rng.normal(size=40)
    found = against_never_knew("js-distance-histogram", ratios(*first), ratios(*second))
    edges = np.linspace(min(*first, *second), max(*first, *second), 51)
    counts = [np.histogram(side, edges)[0] for side in (first, second)]
    assert found is not None and found.value == pytest.approx(jensenshannon(*counts)) and found.n == 40
    weights = against_never_knew("js-distance-clear-weights", ratios(*first), ratios(*second))
    assert weights is not None and weights.value == pytest.approx(jensenshannon(np.exp(first), np.exp(second)))


def test_clears_weights_are_paired_by_question_and_do_not_overflow() -> None:
    mine, theirs = ratios(900.0, 901.0, None, 902.0), ratios(1.0, 2.0, 3.0)
    found = against_never_knew("js-distance-clear-weights", mine, theirs[::-1])
    expected = jensenshannon([1, math.e], [1, math.e])
    assert found is not None and found.value == pytest.approx(expected, abs=1e-9)
    assert (found.n, found.unscored) == (2, 2), "one without a ratio, one that was asked on one side alone"
    lost = against_never_knew("js-distance-clear-weights", ratios(1.0), ratios(1.0, name="other"))
    assert lost is not None and (lost.value, lost.n, lost.unscored) == (None, 0, 2)


@pytest.mark.parametrize("name", AGAINST)
def test_what_is_unscored_is_counted_and_what_was_not_asked_is_no_line(name: str) -> None:
    found = against_never_knew(name, ratios(1.0, None), ratios(1.0, 2.0))
    assert found is not None and (found.n, found.unscored) == (1, 1) and found.interval is None
    assert against_never_knew(name, [row("forget", "p", "1")], ratios(1.0)) is None


def test_distances_from_the_never_knew_model_are_lines() -> None:
    results = [
        Result(name, settings(), ratios(*np.arange(4.0) + shift))
        for name, shift in (("base", 2.0), ("never_knew", 0.0))
    ]
    shown = [line.measure for line in compare(results).lines if line.measure in AGAINST]
    assert shown == ["forget-quality-log10", "js-distance-histogram"]
    chosen = [Result(one.name, settings(*AGAINST), one.rows) for one in results]
    lines = {line.measure: line for line in compare(chosen).lines if line.measure in AGAINST}
    assert list(lines) == list(AGAINST)
    assert lines["js-distance-histogram"].cells.keys() == {"base"}, "it has no distance from itself"
    assert {line.better for line in lines.values()} == {"higher", "lower"}
