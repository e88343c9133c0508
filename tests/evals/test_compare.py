"""Results side by side: pairs, resampling by person, what may not be mixed, and every form of the table."""

import csv as reader
import io
import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from scipy import stats
from tools.results import main as page_of

from unsee.errors import OptionError
from unsee.evals.compare import Comparison, compare
from unsee.evals.compare_tables import sheet
from unsee.evals.frontier import draw, frontier
from unsee.evals.memorised import warning
from unsee.evals.results import Result, knew, read_folder, read_results, require_comparable
from unsee.evals.store import ResultsError, SettingsError
from unsee.evals.tables import console, csv, html, latex, markdown, write
from unsee.evals.values import Value, paired

SETTINGS: dict[str, Any] = {
    "schema": 2, "code": "c", "task": "mllmu", "benchmark": "mllmu", "protocol": "honest", "ratio": 5,
    "data": "sha256:d", "limit": None,
    "sets": {n: {"role": n.partition("_")[0], "n": 80} for n in ("forget_heldout", "retain_unseen")},
    "style": "plain", "prompts": "chat template", "max_new_tokens": 48, "replies": "greedy", "tries": 4,
    "attacks": [], "judge": "offline", "detectors": {"refusal": "r 1"}, "seed": 0, "measures": ["rougeL-f", "leak"],
    "condition": {"engine": "transformers", "erasers": []},
}  # fmt: skip


def result(name: str, leaked: float, right: float, *, seed: int = 0, people: int = 20, **settings: Any) -> Result:
    """Four questions about each of some people in two sets, answered at these rates."""
    rng = np.random.default_rng(seed)
    rows = []
    for split, rate in (("forget_heldout", leaked), ("retain_unseen", right)):
        for person in range(people):
            for number in range(4):
                hit = bool(rng.random() < rate)
                forget = split == "forget_heldout"
                rows.append(
                    {
                        "condition": name, "split": split, "role": split.partition("_")[0], "in_sample": False,
                        "person": f"{split}-{person}", "id": f"{person}/{number}",
                        "form": "cloze", "question": "q?", "gold": "g", "answer": "g" if hit else "no",
                        "image": "i" if number % 2 else None, "correct": hit, "leaked": hit, "refused": not hit,
                        "fluent": True, "measures": {"rougeL-f": float(hit)} | ({"leak": float(hit)} if forget else {}),
                    }
                )  # fmt: skip
    return Result(name, SETTINGS | settings, rows)


@pytest.fixture(scope="module")
def three() -> list[Result]:
    return [result("base", 0.9, 0.8), result("erased", 0.1, 0.75, seed=1), result("never_knew", 0.05, 0.8, seed=2)]


def cell_of(comparison: Comparison, split: str, measure: str, condition: str) -> Any:
    return next(line for line in comparison.lines if (line.split, line.measure) == (split, measure)).cells[condition]


def test_a_difference_is_paired_by_item_and_resampled_by_person() -> None:
    """Against scipy, which resamples the people's own means; every person has as many questions."""
    rng = np.random.default_rng(3)
    first, second = (rng.random((30, 5)) + 0.3 * rng.random((30, 1)) * side for side in (1, -1))

    def values(table: np.ndarray) -> list[Value]:
        return [Value(f"p{p}", f"q{q}", float(table[p, q])) for p in range(30) for q in range(5)]

    found = paired(values(first), values(second)[::-1], (None, None))
    truth = stats.bootstrap(((first - second).mean(1),), np.mean, method="percentile", rng=rng).confidence_interval
    assert found is not None and found.n == 150
    assert found.value == pytest.approx((first - second).mean())
    assert found.interval == pytest.approx((truth.low, truth.high), abs=0.02)


def test_pairs_take_what_both_have_scored() -> None:
    mine = [Value("a", "1", 1.0), Value("a", "2", None), Value("b", "1", 0.0), Value("c", "9", 1.0)]
    theirs = [Value("b", "1", 1.0), Value("a", "1", 1.0), Value("a", "2", 0.0)]
    found = paired(mine, theirs, (0.0, 1.0))
    assert found is not None and (found.value, found.n) == (-0.5, 2)
    assert paired(mine, [Value("z", "1", 1.0)], (0.0, 1.0)) is None


def test_a_difference_can_be_clear_where_intervals_overlap() -> None:
    """What pairing buys: people differ much, the conditions little but always the same way."""
    rng = np.random.default_rng(0)
    person = rng.random(40)
    before = [Value(f"p{n}", "q", float(v)) for n, v in enumerate(person)]
    after = [Value(f"p{n}", "q", float(v) - 0.05) for n, v in enumerate(person)]
    found = paired(after, before, (None, None))
    assert found is not None and found.clear and found.interval is None, "nobody differs from the others"
    shifted = [Value(v.person, v.key, (v.number or 0) + 0.01 * (-1) ** n) for n, v in enumerate(after)]
    found = paired(shifted, before, (None, None))
    assert found is not None and found.clear and found.value == pytest.approx(-0.05)


def test_the_table_holds_every_set_rate_and_measure(three: list[Result]) -> None:
    table = compare(three)
    assert (table.conditions, table.reference) == (["base", "erased", "never_knew"], "base")
    assert [(line.split, line.measure) for line in table.lines] == [
        ("forget_heldout", "refused"), ("forget_heldout", "leaked"), ("forget_heldout", "right"),
        ("forget_heldout", "rougeL-f"), ("forget_heldout", "leak"),
        ("retain_unseen", "right"), ("retain_unseen", "refused"), ("retain_unseen", "rougeL-f"),
    ]  # fmt: skip
    leaks = {name: [row["leaked"] for row in one.rows if row["split"] == "forget_heldout"] for name, one in
             ((one.name, one) for one in three)}  # fmt: skip
    base, erased = (cell_of(table, "forget_heldout", "leaked", name) for name in ("base", "erased"))
    assert base.figure.value == pytest.approx(np.mean(leaks["base"])) and base.difference is None
    assert erased.difference.value == pytest.approx(np.mean(leaks["erased"]) - np.mean(leaks["base"]))
    assert erased.difference.clear and erased.difference.n == 80 and erased.figure.people == 20
    assert not cell_of(table, "retain_unseen", "right", "never_knew").difference.clear


def test_stars_of_a_column_are_one_family(three: list[Result]) -> None:
    """Nine conditions that differ from base by chance alone have hardly a star; one that differs has them all."""
    chance = [result(f"c{n}", 0.9, 0.8, seed=10 + n) for n in range(9)]
    table = compare([three[0], three[1], *chance])
    ours = [line.cells["erased"].difference for line in table.lines if line.split == "forget_heldout"]
    assert all(one is not None and one.clear and one.p <= 8 * 2 / 20_001 for one in ours)
    differences = [line.cells[one.name].difference for line in table.lines for one in chance]
    assert None not in differences and sum(one.clear for one in differences if one is not None) <= 2
    alone = paired(*([Value(r["person"], r["id"], float(r["leaked"])) for r in one.rows if "forget" in r["split"]]
                     for one in (chance[0], three[0])), (0.0, 1.0))  # fmt: skip
    found = cell_of(table, "forget_heldout", "leaked", "c0").difference
    assert alone is not None and found.p >= alone.p


def test_modalities_apart(three: list[Result]) -> None:
    table = compare(three, modalities=True)
    apart = {line.asked: line.cells["base"].figure.n for line in table.lines if line.measure == "leak"}
    assert apart == {"both": 80, "image": 40, "text": 40}


def test_the_reference_is_chosen_by_name(three: list[Result]) -> None:
    table = compare(three, "erased")
    assert cell_of(table, "forget_heldout", "leaked", "erased").difference is None
    assert cell_of(table, "forget_heldout", "leaked", "base").difference.value > 0.5
    assert compare(three[1:]).reference == "erased"
    with pytest.raises(OptionError, match=r"reference is 'gone', expected one of \['base', 'erased', 'never_knew'\]"):
        compare(three, "gone")


def test_sets_are_chosen_by_name(three: list[Result]) -> None:
    assert {line.split for line in compare(three, sets=["retain_unseen"]).lines} == {"retain_unseen"}
    with pytest.raises(OptionError, match=r"no set 'gone' in the results: expected some of \['forget_heldout', 'ret"):
        compare(three, sets=["gone"])


def test_forget_quality_is_against_the_never_knew_model() -> None:
    rng = np.random.default_rng(5)
    results = [result(name, 0.5, 0.5) for name in ("base", "never_knew")]
    for one, shift in zip(results, (3.0, 0.0), strict=True):
        for row in one.rows[:80]:
            row["measures"]["truth-ratio-forget"] = 0.5
            row["log_truth_ratio"] = float(rng.normal(shift))
    del results[0].rows[0]["log_truth_ratio"]
    ratios = [[row.get("log_truth_ratio") for row in one.rows[:80]] for one in results]
    truth = stats.ks_2samp([r for r in ratios[0] if r is not None], ratios[1], method="exact").pvalue
    cell = cell_of(compare(results), "forget_heldout", "forget-quality-log10", "base")
    assert cell.figure.value == pytest.approx(np.log10(truth), rel=1e-6)
    assert (cell.figure.n, cell.figure.unscored) == (79, 1)
    assert not [line for line in compare(results[:1]).lines if "quality" in line.measure or "js-" in line.measure]


@pytest.mark.parametrize(
    ("name", "other"),
    [("benchmark", "clear"), ("protocol", "official"), ("ratio", 10), ("data", "sha256:e"), ("style", "mllmu"),
     ("limit", 3), ("judge", "m at http://h/v1"), ("replies", "sampled"), ("tries", 8), ("attacks", ["turns"]),
     ("detectors", {"refusal": "others"})],
)  # fmt: skip
def test_other_questions_are_not_mixed(name: str, other: object) -> None:
    with pytest.raises(SettingsError) as caught:
        require_comparable(result("a", 0.5, 0.5), result("b", 0.5, 0.5, **{name: other}))
    assert f"{name} is {SETTINGS[name]!r} and {other!r}" in str(caught.value)


def test_models_seeds_and_measures_may_differ() -> None:
    other = result("b", 0.5, 0.5, seed=1, model={"digest": "x"}, measures=["rougeL-f"])
    require_comparable(result("a", 0.5, 0.5), other)


def saved(one: Result, folder: Path) -> str:
    folder.mkdir(parents=True)
    settings = {k: v for k, v in one.settings.items() if k != "condition"}
    conditions = {one.name: one.settings["condition"]}
    (folder / "settings.json").write_text(json.dumps(settings | {"conditions": conditions}))
    (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in one.rows))
    return str(folder)


def test_folders_are_read_and_renamed(three: list[Result], tmp_path: Path) -> None:
    base, erased = (saved(one, tmp_path / one.name) for one in three[:2])
    found = read_results([base, erased])
    assert [(one.name, one.rows) for one in found] == [(one.name, one.rows) for one in three[:2]]
    assert [one.name for one in read_results([base, f"again={base}"])] == ["base", "again"]
    with pytest.raises(OptionError, match="two results are called 'base'"):
        read_results([base, base])
    (tmp_path / "odd=name").mkdir()
    with pytest.raises(ResultsError, match=r"holds no settings.json, so it is no results folder"):
        read_folder(str(tmp_path / "odd=name"))
    (tmp_path / "base" / "answers.jsonl").unlink()
    with pytest.raises(ResultsError, match="is not finished: it has 0 of 160 answers"):
        read_folder(base)


def test_it_is_checked_that_the_base_model_knew(three: list[Result]) -> None:
    assert warning(knew(three[0], three[2])) is None
    text = warning(knew(three[2], result("never_knew", 0.05, 0.8, seed=7))) or ""
    assert "WARNING" in text and "forget_heldout: did not know" in text


def test_csv_holds_every_number(three: list[Result]) -> None:
    table = compare(three)
    rows = list(reader.DictReader(io.StringIO(csv(sheet(table)))))
    assert len(rows) == sum(len(line.cells) for line in table.lines)
    one = next(row for row in rows if row["measure"] == "leaked" and row["condition"] == "erased")
    cell = cell_of(table, "forget_heldout", "leaked", "erased")
    assert (float(one["value"]), float(one["low"])) == (cell.figure.value, cell.figure.interval[0])
    assert (float(one["difference"]), float(one["pairs"]), one["reference"]) == (cell.difference.value, 80, "base")
    assert (one["better"], one["people"], one["unscored"], one["asked"]) == ("lower", "20", "0", "both")
    assert next(row for row in rows if row["condition"] == "base")["difference"] == ""


class Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags, self.text = list[str](), ""

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_and_latex_escape_names() -> None:
    name = "a_b & <script>x</script> 5%"
    table = sheet(compare([result(name, 0.5, 0.5), result("other", 0.4, 0.5, seed=1)]))
    page = Text()
    page.feed(html(table))
    assert name in page.text and not {"script", "link", "img"} & set(page.tags)
    assert "The weights still contain what they contained" in page.text
    assert 0 < page.text.index("honest protocol") < page.text.index("forget_heldout"), "what it is of stands first"
    assert r"a\_b \& <script>x</script> 5\%" in latex(table)


def test_latex_and_markdown_are_tables(three: list[Result]) -> None:
    table = sheet(compare(three))
    lines = latex(table).splitlines()
    body = [line for line in lines if line.endswith(r"\\")]
    assert lines.count(r"\toprule") == lines.count(r"\bottomrule") == 1
    assert len(body) == 1 + len(table.rows) and {line.count("&") for line in body} == {5}
    assert {line.count("|") for line in markdown(table).splitlines()[: len(table.rows) + 2]} == {7}


def test_the_terminal_shows_interval_difference_and_protocol(three: list[Result]) -> None:
    def shown(results: list[Result]) -> str:
        screen = Console(width=200, record=True, file=io.StringIO())
        screen.print(console(sheet(compare(results))))
        return " ".join(screen.export_text().split())

    text = shown(three)
    assert "honest protocol" in text and "difference from base" in text and "5 % forgotten" in text
    cell = cell_of(compare(three), "forget_heldout", "leaked", "erased")
    low, high = cell.difference.interval
    assert f"{100 * cell.difference.value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]*" in text
    assert "80, 20" in text and "difference from" not in shown(three[:1])


def test_what_a_fit_has_seen_is_called_in_sample() -> None:
    seen = result("erased", 0.1, 0.8)
    for row in seen.rows[:3]:
        row["in_sample"] = True
    table = sheet(compare([result("base", 0.9, 0.8), seen]))
    assert "In sample (a fit had these prompts): forget_heldout." in table.caption
    assert {one["set"] for one in table.numbers if one["in_sample"]} == {"forget_heldout"}
    assert "In sample" not in sheet(compare([result("base", 0.9, 0.8)])).caption


def test_measures_beyond_one_are_no_percentages() -> None:
    results = [result(name, 0.5, 0.5, seed=n, measures=["asru-leakage"]) for n, name in enumerate(("base", "erased"))]
    for one in results:
        for row in one.rows:
            row["measures"] = {"asru-leakage": 5.0 if row["refused"] else 0.0}
    (line,) = [line for line in compare(results).lines if line.measure == "asru-leakage"]
    assert 1 < (line.cells["base"].figure.value or 0) < 4
    assert any(f"{line.cells['base'].figure.value:.2f} [" in row[3] for row in sheet(compare(results)).rows)


def test_files_are_written_with_the_image(three: list[Result], tmp_path: Path) -> None:
    files = write(sheet(compare(three)), tmp_path / "out")
    shown = frontier(three)
    assert shown is not None and (shown.forget, shown.keep) == ("forget_heldout", "retain_unseen")
    assert shown.about == "mllmu, 5 % forgotten; honest protocol"
    assert [point.leaked.value for point in shown.points] == pytest.approx([0.9, 0.1, 0.05], abs=0.1)
    drawn = draw(shown, tmp_path / "out" / "forget-retain.png")
    assert [file.name for file in files] == ["compare.csv", "compare.html", "compare.tex", "compare.md"]
    with Image.open(drawn) as image:
        assert image.size[0] > 600 and len(image.convert("RGB").getcolors(1 << 24) or []) > 20


def test_no_image_without_both_sides(three: list[Result]) -> None:
    alone = [Result(one.name, one.settings, one.rows[:80]) for one in three]
    assert frontier(alone) is None


def test_the_results_page_is_made_of_folders(three: list[Result], tmp_path: Path) -> None:
    (tmp_path / "both").mkdir()
    settings = {k: v for k, v in three[0].settings.items() if k != "condition"}
    settings["conditions"] = {one.name: one.settings["condition"] for one in three[:2]}
    (tmp_path / "both" / "settings.json").write_text(json.dumps(settings))
    rows = [row for one in three[:2] for row in one.rows]
    (tmp_path / "both" / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page_of([str(tmp_path / "both"), "--out", str(tmp_path / "results.md")])
    page = (tmp_path / "results.md").read_text()
    assert "## both" in page and "code c, seed 0" in page and "forget_heldout 80" in page
    assert page.count("| forget_heldout |") == 5
