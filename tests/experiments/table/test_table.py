"""The table: what stands in a row, what a failure looks like, and that a finished cell is not made again."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from PIL import Image, ImageColor
from typer.testing import CliRunner

from tiny_llava import tiny_llava
from unsee.data.sample import Sample
from unsee.errors import OptionError, SaveError
from unsee.evals.answerers import PLAIN, Answerer, How, Local
from unsee.evals.results import read_results
from unsee.evals.store import SettingsError
from unsee.evals.tables import console, write
from unsee.experiments.table import run as running
from unsee.experiments.table import tuning
from unsee.experiments.table.budget import Budget
from unsee.experiments.table.cost import token_cost, with_peak
from unsee.experiments.table.entries import Entry, chosen, entries
from unsee.experiments.table.ground import Ground
from unsee.experiments.table.picture import COLOURS, _apart, draw
from unsee.experiments.table.run import Table, rows_in, run
from unsee.experiments.table.sheet import printed, sheet
from unsee.experiments.table.summary import COLUMNS, caption, line, lines
from unsee.experiments.table.tuning import Tuned, goodness, tuned
from unsee.methods.errors import MethodError
from unsee.methods.task import Made, Request
from unsee.models.load import LoadedModel
from unsee.registry import METHODS
from unsee.registry import Entry as Registered
from unsee.world.generate import World
from unsee.world.splits import Exam

BUDGET = Budget(1, 1, 2, 1, 2, 3, 2, 3, 2, 2)
ENTRIES = entries()
WORLD = World(2, private=20, celebrities=8, strangers=4)


@pytest.fixture(scope="module")
def base() -> LoadedModel:
    return tiny_llava()


@pytest.fixture(scope="module")
def made(base: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Table:
    """A table of two rows, one of which cannot be fitted: nobody is refused, so there is nothing to redirect to."""
    out = tmp_path_factory.mktemp("table")
    table = Table(out, base, base, WORLD, chosen(["prompt", "asru_ridge"]), (10,), (0,), BUDGET)
    said: list[str] = []
    run(table, said.append)
    assert [text.split(":")[0] for text in said] == ["10 % forgotten, split 0"]
    return table


class Backwards:
    """Workers on another machine, with a folder of its own, of which the last row is finished first."""

    def __init__(self, held: Table) -> None:
        self.held, self.given = held, list[Any]()

    def map(self, work: Any, parts: Iterable[Any], *, in_order: bool = False) -> Iterator[tuple[int, Any]]:
        parts = list(parts)
        self.given += parts
        return ((place, work(self.held, parts[place])) for place in reversed(range(len(parts))))


@pytest.mark.slow
def test_rows_that_workers_make_are_those_that_one_process_makes(
    base: LoadedModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(running, "ATTACKS", ("longer", "sampling"))
    alone = Table(tmp_path / "alone", base, base, WORLD, chosen(["prompt"]), (10,), (0,), BUDGET)
    here, there = replace(alone, out=tmp_path / "here"), Backwards(replace(alone, out=tmp_path / "there"))
    run(alone)
    run(here, workers=there)
    assert [name for *_, name in there.given] == ["base", "never_knew", "prompt"]
    for part in ("asked", "attacked"):
        for file in ("answers.jsonl", "metrics.json", "settings.json"):
            one, other = (table.folder(10, 0) / part / file for table in (alone, here))
            assert one.read_bytes() == other.read_bytes(), (part, file)
    facts = [json.loads((table.folder(10, 0) / "fits" / "prompt.json").read_text()) for table in (alone, here)]
    assert facts[0]["settings"] == facts[1]["settings"]
    there.given.clear()
    run(here, workers=there)
    assert not there.given, "what is finished is not made again"


def test_rows_are_all_methods_and_the_presets_cheap_ones_first() -> None:
    assert set(METHODS.names()) < set(ENTRIES)
    kinds = [METHODS.named(entry.method).facts["kind"] for entry in ENTRIES.values()]
    assert list(dict.fromkeys(kinds)) == ["prompted", "filtered", "steered", "trained", "reinforced"]
    assert [entry.name for entry in chosen(["npo", "prompt"])] == ["prompt", "npo"]
    with pytest.raises(OptionError, match=r"no row 'magic', expected some of \['prompt', .*base and never_knew"):
        chosen(["magic"])


@pytest.mark.parametrize(
    ("best", "tried", "chosen"),
    [(7, [4, 6, 7], 7), (5, [4, 6, 5], 5), (4, [4, 6, 5], 4), (1, [4, 2, 1], 1), (0, [4, 2, 1], 1)],
)
def test_values_are_tried_by_bisection(
    best: int, tried: list[float], chosen: int, base: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A made-up method hides the more, and keeps the less, the higher its value, and stands evenly at `best` + 1/4."""
    values = tuple(float(value) for value in range(1, 8))
    asked: list[float] = []

    def ladder(request: Request) -> Made:
        assert request.value is not None
        asked.append(request.value)
        if request.value == 6 and best == 4:
            raise MethodError("six is too much")
        return Made(Local(base), 1)

    def shown(answerer: Answerer, ground: Ground) -> tuple[float, float]:
        return 0.5 + 0.05 * (asked[-1] - best - 0.25), 0.5 - 0.05 * (asked[-1] - best - 0.25)

    facts = {"kind": "steered", "knob": "rung", "values": values, "reversible": True, "vary": None}
    monkeypatch.setitem(METHODS._entries, "ladder", Registered("ladder", ladder, facts))
    monkeypatch.setattr(tuning, "hidden_and_kept", shown)
    monkeypatch.setattr(tuning, "token_cost", lambda *given: 1.0)
    ground = Ground(Exam(WORLD, 0, 0.1), 10, replace(BUDGET, candidates=3), base)
    found = tuned(Entry("ladder", "ladder"), ground, 1.0, 0)
    assert asked == tried
    assert found.facts["value"] == chosen
    assert [one.get("reason") for one in found.facts["tried"]].count(None) == (2 if best == 4 else 3)


def test_a_budget_is_at_least_one_of_everything() -> None:
    with pytest.raises(OptionError, match="candidates is 0, expected a whole number of at least 1"):
        Budget(candidates=0)


def test_one_number_of_a_budget_can_be_raised() -> None:
    assert Budget().changed({"grpo_steps": 300, "asked": 60}) == Budget(grpo_steps=300, asked=60)
    with pytest.raises(OptionError, match=r"the budget has no 'steps', expected some of .*'grpo_steps'"):
        Budget().changed({"steps": 300})
    with pytest.raises(OptionError, match="asked is 'many', expected a whole number of at least 1"):
        Budget().changed({"asked": "many"})


def test_a_candidate_must_both_hide_and_keep() -> None:
    assert goodness(1.0, 0.0) == goodness(0.0, 1.0) == goodness(0.0, 0.0) == 0.0
    assert goodness(0.5, 1.0) == pytest.approx(2 / 3)


def test_nobody_of_the_test_is_in_a_fit_or_a_choice(base: LoadedModel) -> None:
    ground = Ground(Exam(WORLD, 0, 0.1), 10, BUDGET, base)
    task = ground.task(ENTRIES["asru"])
    assert len(task.forget) == len(task.retain) == 2
    assert {s.subject for s in task.unknown} == {f"unknown-{n:05d}" for n in range(3)}
    assert {s.image is None for s in task.unknown} == {True, False}
    forgotten = {sample.subject for sample in ground.asked.sets["forget_heldout"].samples}
    learnt = {s.subject for s in [*ground.task(ENTRIES["erased"]).retain, *ground.tuning[1], *task.unknown]}
    tested = {
        s.subject for name in ("retain_unseen", "neighbours", "celebrity") for s in ground.asked.sets[name].samples
    }
    assert not learnt & (tested | forgotten | {s.subject for s in ground.asked.sets["strangers"].samples})
    seen = {s.question for s in ground.task(ENTRIES["erased"]).forget}
    assert not seen & {s.question for s in ground.asked.sets["forget_heldout"].samples}
    attacked = {s.id for s in ground.attacked.sets["forget_heldout"].samples}
    assert attacked <= {s.id for s in ground.asked.sets["forget_heldout"].samples}


def test_presets_change_what_is_said_and_what_is_fitted_on(base: LoadedModel) -> None:
    ground = Ground(Exam(WORLD, 0, 0.1), 10, Budget(batches=8), base)
    assert ground.task(ENTRIES["po_rigid"]).refusals == ("I cannot answer that question.",)
    task = ground.task(ENTRIES["po_contextual"])
    assert len(task.refusals) == len(task.forget)
    nouns = {s.id.split("/")[1]: text for s, text in zip(task.forget, task.refusals, strict=True)}
    assert nouns["city"] == "i do not know the home city of this person."
    assert {s.form for s in ground.task(ENTRIES["asru_ridge_one_form"]).forget} == {"generation"}
    assert ground.options(ENTRIES["asru_rigid"])["favours"] == "rigid"
    few = Ground(Exam(WORLD, 0, 0.1), 10, BUDGET, base)
    assert len(few.task(ENTRIES["po_longer"]).forget) == 8 * len(few.task(ENTRIES["po"]).forget)


def test_a_row_that_cannot_be_fitted_has_a_reason_and_no_number(made: Table) -> None:
    failed = next(one for one in lines(made) if one.name == "asru_ridge")
    assert all(figure.value is None for figure in failed.figures.values())
    shown = sheet([failed], "")
    assert len(shown.numbers) == len(COLUMNS)
    assert all(one["value"] is None and "refuses 0 of" in one["reason"] for one in shown.numbers)
    assert set(shown.rows[0][2:-1]) == {"not fitted"}


def test_a_row_is_asked_everything(made: Table) -> None:
    shown = {one.name: one for one in lines(made)}
    assert {row["split"] for row in rows_in(made, 10, 0) if row["condition"] == "prompt"} >= {
        "visible", "strangers", "forget_heldout/sampling", "forget_heldout/relearning", "retain_unseen/rounding",
    }  # fmt: skip
    assert list(shown) == ["base", "never_knew", "prompt", "asru_ridge"]
    assert shown["prompt"].figures["turns"].n == 2
    assert shown["prompt"].figures["rounded"].n == 2
    assert shown["prompt"].figures["seconds"].value is not None
    seconds = next(column for column in COLUMNS if column.name == "seconds")
    assert printed(shown["base"], seconds) == ""
    assert (shown["prompt"].reversible, shown["base"].reversible) == (True, None)


def test_finished_rows_stay_and_others_are_added(made: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows_in(made, 10, 0)
    again: list[str] = []

    def counted(entry: Entry, *rest: object) -> Tuned:
        again.append(entry.name)
        return Tuned(Local(made.loaded), {"kind": "prompted", "reversible": True})

    monkeypatch.setattr(running, "tuned", counted)
    run(replace(made, entries=chosen(["output_filter"])))
    run(made)
    assert again == ["output_filter"]
    assert [row for row in rows_in(made, 10, 0) if row["condition"] != "output_filter"] == before
    with pytest.raises(SettingsError, match="budget"):
        run(replace(made, budget=replace(BUDGET, candidates=2)))


def test_a_split_is_a_results_folder(made: Table) -> None:
    found = read_results([str(made.folder(10, 0) / "asked")])
    assert [result.name for result in found][:3] == ["base", "never_knew", "prompt"]
    assert {result.role("forget_heldout") for result in found} == {"forget"}


def test_shares_other_than_the_benchmarks_are_refused(made: Table) -> None:
    with pytest.raises(OptionError, match=r"forget is 7 %, expected some of \[5, 10, 15\]"):
        replace(made, percents=(7,))
    assert made.knows(5, 0) is None
    assert made.knows(10, 1) is None


def row(split: str, number: int, person: str, **verdict: object) -> dict[str, object]:
    verdict = {"correct": False, "refused": False, "leaked": False, "fluent": True, **verdict}
    asked = {"condition": "x", "split": split, "person": person, "id": str(number), "image": None, "form": "generation"}
    return {**asked, "answer": "", "measures": {}, **verdict}


def test_splits_are_pooled_and_a_person_of_both_is_one() -> None:
    """By hand: 1 of 4 leaks in split 0 and 3 of 4 in split 1, in all half of 8 questions about 3 people."""
    rows = [row("forget_heldout", i, f"p{i % 2}", leaked=i < 1) for i in range(4)]
    rows[-1] |= {"refused": True, "form": "cloze"}
    rows += [row("forget_heldout", i, f"p{i % 2 + 1}", leaked=i < 3) for i in range(4)]
    facts = [
        {"kind": "trained", "seconds": seconds, "knob": "rate", "value": value, "reversible": False}
        for seconds, value in ((2.0, 1e-4), (4.0, 1e-3))
    ]
    made = line("npo", 10, rows, facts)
    assert made.figures["hallucinated"].value == 3 / 8  # 4 leaks and 1 refusal
    assert (made.figures["leaked_forms"].value, made.figures["leaked_forms"].n) == (0.0, 1)
    found = made.figures["leaked"]
    assert (found.value, found.n, found.people) == (0.5, 8, 3)
    assert made.figures["seconds"].value == 3.0
    assert made.figures["unseen"].value is None
    assert (made.chosen, made.splits) == ("rate 0.0001, rate 0.001", 2)


def test_kinds_keep_their_colours_in_the_image(made: Table, tmp_path: Path) -> None:
    kinds = [*COLOURS]
    rows = [replace(lines(made)[0], name=kind, kind=kind) for kind in 4 * kinds]
    with Image.open(draw(rows, 10, tmp_path / "table.png")) as image:
        found = image.convert("RGB").getcolors(1 << 20) or []
    for kind in kinds:
        wanted = ImageColor.getrgb(COLOURS[kind])
        assert min(math.dist(wanted, colour) for _, colour in found) < 20, kind


def test_every_form_holds_the_same_figures(made: Table, tmp_path: Path) -> None:
    shown = [one for one in lines(made) if one.name != "asru_ridge"]
    table = sheet(shown, caption(made))
    assert [path.name for path in write(table, tmp_path)] == ["table.csv", "table.html", "table.tex", "table.md"]
    assert console(table).row_count == len(shown) and len(table.numbers) == len(shown) * len(COLUMNS)
    assert r"never\_knew & 10 &" in (tmp_path / "table.tex").read_text()
    page = (tmp_path / "table.html").read_text()
    assert "<script" not in page and "never_knew" in page and "confirms none of them" in page
    heads = dict(zip((column.name for column in COLUMNS), table.columns[2:-1], strict=True))
    assert (heads["leaked"], heads["seconds"]) == ("leaked (n 3/2)", "fit"), "answers and people beside every rate"
    assert 5_000 < draw(shown, 10, tmp_path / "table.png").stat().st_size < 60_000
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match="cannot write to"):
        write(table, tmp_path / "file")
    with pytest.raises(SaveError, match="cannot write"):
        draw(shown, 10, tmp_path / "file" / "table.png")


def test_labels_keep_their_distance_and_their_order() -> None:
    placed = _apart([0, 0, 50, 99, 100, 100], 5)
    assert all(b - a >= 5 - 1e-9 for a, b in zip(sorted(placed), sorted(placed)[1:], strict=False))
    assert max(placed) <= 100
    assert placed[2] == 50
    assert _apart([], 5) == []


def test_costs_are_measured(base: LoadedModel) -> None:
    import torch

    made, mib = with_peak(lambda: torch.ones(32 * 2**20, dtype=torch.float64).sum().item())
    assert made == 32 * 2**20
    assert mib is None or 200 < mib < 2000  # 256 MiB of ones

    class Slow:
        about: ClassVar[dict[str, str]] = {}
        loaded = None

        def order(self, samples: Sequence[Sample], how: How) -> list[int]:
            return list(range(len(samples)))

        def answers(self, samples: Sequence[Sample], how: How = PLAIN, begun: Sequence[str] = ()) -> list[str]:
            answers = [Local(base).answers(samples, how, begun) for _ in range(3)]
            return answers[0]

    samples = Ground(Exam(WORLD, 0, 0.1), 10, BUDGET, base).asked.sets["visible"].samples
    assert 1.5 < token_cost(Slow(), Local(base), samples) < 6


def test_the_command_says_what_is_wrong_and_ends_in_json(
    base: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import typer

    from unsee.cli.table import table
    from unsee.models import load as loading

    monkeypatch.setattr(loading, "load", lambda name: base)
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(table)
    for given, message in (
        (["--methods", "magic"], "there is no row 'magic'"),
        (["--forget", "ten"], "--forget is 'ten', expected whole numbers"),
        (["--forget", "20"], "forget is 20 %"),
        (["--seeds", "0;1"], "--seeds is '0;1'"),
    ):
        with pytest.raises(OptionError, match=message):
            CliRunner().invoke(app, ["--out", str(tmp_path), *given], catch_exceptions=False)
    given = ["--out", str(tmp_path), "--methods", "prompt", "--show", "--json"]
    done = CliRunner().invoke(app, given, catch_exceptions=False)
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["rows"] == 0
    assert Path(last["files"][0]).name == "table.csv"
