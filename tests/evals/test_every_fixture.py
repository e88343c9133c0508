"""Every benchmark's fixture through evaluation and comparison: base, erased, never-knew, every measure it can give."""

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from tests.serve.served import eraser_for

from unsee.data.benchmarks.items import Item
from unsee.evals.aggregates import KEPT
from unsee.evals.answerers import Local
from unsee.evals.choices import AGAINST, MEASURES
from unsee.evals.compare import compare
from unsee.evals.compare_tables import sheet
from unsee.evals.evaluate import Condition, evaluate
from unsee.evals.judge import Safety
from unsee.evals.memorised import warning
from unsee.evals.plan import Plan, planned_benchmark
from unsee.evals.results import knew, read_results
from unsee.evals.scoring import Judges
from unsee.evals.tables import console, write
from unsee.models.load import LoadedModel, load
from unsee.registry import BENCHMARKS
from unsee.world.splits import Exam

PAIRED = {"all-modal-accuracy", "all-modal-error", "modality-gap", "rougeL-umu-forget", "rougeL-umu-retain"}
WITH_FALSE = {
    "probability-contrastive", "truth-ratio-forget", "truth-ratio-retain", "answer-rank", "answer-in-top-k",
    "exposure-bits", *AGAINST,
}  # fmt: skip
WITH_KEYWORDS = {"keyword-em", "keyword-em-fiubench", "ape-mean", "ape-worst"}
OF_TOLD_ANSWERS = {"asru-reward-forget", "mia-open-mm", "model-utility"}
"""Take more than letters: of a set to be forgotten, or of retained people that no fit saw."""

CHOICES = {name for name in MEASURES if name.startswith("accuracy-")} | {"unparsed"}
CLOZE = {name for name in MEASURES if name.startswith("cloze-")}

NOT_GIVEN: dict[str, set[str]] = {
    "mllmu": WITH_FALSE | WITH_KEYWORDS,
    "clear": WITH_KEYWORDS | CLOZE,
    "clear-choice": WITH_KEYWORDS | CLOZE | WITH_FALSE | OF_TOLD_ANSWERS,
    "umu": WITH_FALSE | WITH_KEYWORDS,
    "fiubench": CHOICES | CLOZE,
    "safeeraser": WITH_FALSE | WITH_KEYWORDS | CHOICES | CLOZE,
    "offside": WITH_FALSE | WITH_KEYWORDS | CLOZE,
    "unlok": WITH_FALSE | WITH_KEYWORDS | CHOICES | CLOZE,
}
"""What a benchmark's data holds nothing for; every other measure must come out as a line."""


@pytest.fixture(scope="module")
def models() -> dict[str, LoadedModel]:
    return {name: load(f"world:{name}") for name in ("llava", "llava-never-knew")}


def one_of_a_kind(items: Sequence[Item]) -> list[Item]:
    """The first question of each form and modality, with false answers and without."""
    kinds = {
        (item.sample.form, item.sample.image is None, bool(item.references.perturbed)): item for item in items[::-1]
    }
    return [item for item in items if item in kinds.values()]


def plan_for(name: str, folder: Path, exam: Exam) -> Plan:
    strangers = [sample for sample in exam.strangers(per_person=6) if sample.form == "generation"]
    chosen = [one for one in MEASURES if one != "asr" or name == "safeeraser"]
    made = planned_benchmark(
        name, folder, "honest", None, measures=chosen, max_new_tokens=6, batch_size=16, tries=2, unknown=strangers
    )
    return replace(made, task=replace(made.task, sets={
        split: replace(one, items=one_of_a_kind(one.items)) for split, one in made.task.sets.items()
    }))  # fmt: skip


def lines_expected(name: str) -> set[str]:
    absent = NOT_GIVEN[name] | (set() if name == "umu" else PAIRED)
    absent |= set() if name == "safeeraser" else {"asr", "sarr"}
    return set(MEASURES) - absent


@pytest.mark.parametrize("name", [one.name for one in BENCHMARKS if one.facts["needs_data"]])
def test_base_erased_and_never_knew_side_by_side(
    name: str,
    benchmark_folder: Callable[[str], Path],
    small_exam: Exam,
    models: dict[str, LoadedModel],
    tmp_path: Path,
) -> None:
    plan = plan_for(name, benchmark_folder("clear" if name == "clear-choice" else name), small_exam)
    base = models["llava"]
    forget, kept = (plan.task.sets[split].samples for split in ("forget_heldout", "retain_unseen"))
    eraser = eraser_for(base, forget, kept, seed=0)
    conditions = {
        "base": Local(base),
        "erased": Local(base, [eraser], ["sha256:e"]),
        "never_knew": Local(models["llava-never-knew"]),
    }
    judges = Judges(safety=lambda question, answer: Safety("a" in answer, "scripted"))
    for condition, answerer in conditions.items():
        told = evaluate([Condition.of(condition, answerer)], plan, tmp_path / condition, judges=judges)
        assert told is not None and sum(row["n"] + row["unscored"] for row in told["rows"]) == sum(
            len(of) for of in plan.task.sets.values()
        )
    results = read_results([str(tmp_path / condition) for condition in conditions])
    assert all(len(one.rows) == sum(map(len, plan.task.sets.values())) for one in results), "one row a question"
    table = compare(results)
    assert table.conditions == list(conditions)
    measured = {line.measure for line in table.lines}
    assert measured >= lines_expected(name), sorted(lines_expected(name) - measured)
    for line in table.lines:
        if line.measure not in AGAINST:
            assert line.cells.keys() == conditions.keys(), (line.split, line.measure)
        rows = [row for row in results[0].rows if row["split"] == line.split]
        found = line.cells["base"].figure
        if line.split != KEPT and line.measure in rows[0]["measures"]:
            assert found.n + found.unscored == sum(line.measure in row["measures"] for row in rows)
        if line.measure != "distinct-2":  # one word has no pairs
            assert found.value is not None or found.unscored, (line.split, line.measure)
    said = [{row["id"]: row["answer"] for row in one.rows if row["split"] == "forget_heldout"} for one in results]
    assert said[0] != said[1], "the eraser fires on what it was made for"
    assert "it is not shown that the base model knew" in (warning(knew(results[0], results[2])) or "")
    assert {"forget", "retain", "unknown"} <= {of.role for of in plan.task.sets.values()}
    assert all(path.stat().st_size for path in write(sheet(table), tmp_path / "table"))
    Console(file=io.StringIO(), width=200).print(console(sheet(table)))
