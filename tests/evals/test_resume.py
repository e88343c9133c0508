"""A killed evaluation goes on where it stopped: no row lost, none twice, the same bytes as if nothing had happened."""

import json
import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import unsee.evals.answerers.local as module
import unsee.evals.evaluate as evaluating
from planning import local, plan_of
from tiny_llava import noise_image, question, tiny_llava
from unsee.data.benchmarks.items import Protocol
from unsee.data.sample import ImageFile, Sample
from unsee.data.task import Set, Task
from unsee.errors import DataError
from unsee.evals.answerers import Answerer
from unsee.evals.evaluate import Condition, evaluate
from unsee.evals.plan import Plan, planned
from unsee.evals.processes import Processes
from unsee.evals.results import read_folder
from unsee.evals.scoring import Judges
from unsee.evals.store import Part, ResultsError, SettingsError, prepare, rows_of
from unsee.models.generate import generate
from unsee.models.load import LoadedModel

SAMPLES = [question(n, "who is this" + "?" * n, image=n % 2 == 0) for n in range(7)]
ASKED: dict[str, Any] = {"max_new_tokens": 3, "batch_size": 2, "measures": ["rougeL-f", "leak", "asru-leakage"]}


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the code under test may catch it."""


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_llava()


@pytest.fixture(scope="module")
def whole(loaded: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an evaluation that nobody disturbs writes."""
    out = tmp_path_factory.mktemp("whole") / "r"
    evaluate(local("base", loaded), plan(), out)
    return out


def plan(samples: Sequence[Sample] = SAMPLES, **options: Any) -> Plan:
    return plan_of("forget_heldout", samples, **(ASKED | options))


def killed_after(batches: int, monkeypatch: pytest.MonkeyPatch, loaded: LoadedModel, out: Path, torn: bytes) -> None:
    """Run until so many batches are on disk, then die while `torn` of the next is being written."""
    append = Part.append
    written = 0

    def dying(self: Part, rows: Sequence[Any]) -> None:
        nonlocal written
        if written == batches:
            self._file.write(torn)
            self._file.flush()
            raise Killed
        written += 1
        append(self, rows)

    monkeypatch.setattr(Part, "append", dying)
    with pytest.raises(Killed):
        evaluate(local("base", loaded), plan(), out)
    monkeypatch.undo()


def same(one: Path, other: Path) -> None:
    for name in ("answers.jsonl", "metrics.json", "settings.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert not (other / "parts").exists()


@pytest.mark.parametrize("batches", [0, 1, 3])
@pytest.mark.parametrize("torn", [b"", b'{"condition": "base", "spl'])
def test_going_on_gives_the_same_bytes(
    batches: int, torn: bytes, loaded: LoadedModel, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, told, asked = tmp_path / "r", list[str](), list[str]()
    killed_after(batches, monkeypatch, loaded, out, torn)
    with pytest.raises(ResultsError, match="complete row" if torn else f"not finished: it has {2 * batches} of 7"):
        read_folder(str(out))

    def counted(loaded: LoadedModel, samples: Sequence[Sample], *rest: Any, **named: Any) -> list[str]:
        asked.extend(sample.id for sample in samples)
        return generate(loaded, samples, *rest, **named)

    monkeypatch.setattr(module, "generate", counted)
    evaluate(local("base", loaded), plan(), out, note=told.append)
    same(whole, out)
    assert len(asked) == len(set(asked)) == 7 - 2 * batches, "what is on disk is not asked again"
    assert len(told) == bool(torn)
    if torn:
        assert f"torn after {len(torn)} bytes and is dropped; its question will be asked again" in told[0]


def test_a_batch_cut_in_half_is_asked_whole_and_written_once(
    loaded: LoadedModel, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "r"
    killed_after(2, monkeypatch, loaded, out, b"")
    part = out / "parts" / "part-00000.jsonl"
    part.write_bytes(b"".join(part.read_bytes().splitlines(keepends=True)[:3]) + b'{"condition":')
    evaluate(local("base", loaded), plan(), out)
    same(whole, out)


def test_rows_hold_the_raw_answer_versions_and_only_the_chosen_measures(whole: Path) -> None:
    rows = [json.loads(line) for line in (whole / "answers.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [sample.id for sample in SAMPLES], "in the order of the data"
    assert all(row["measures"].keys() == {"rougeL-f", "leak", "asru-leakage"} for row in rows)
    assert {"unsee", "torch", "transformers"} <= rows[0]["versions"].keys()
    assert all(isinstance(row["answer"], str) and row["condition"] == "base" for row in rows)
    assert {row["role"] for row in rows} == {"forget"} and not any(row["in_sample"] for row in rows)


def test_a_finished_folder_is_not_asked_again(
    loaded: LoadedModel, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (whole / "answers.jsonl").read_bytes()
    monkeypatch.setattr(module, "generate", lambda *_, **__: pytest.fail("asked again"))
    (whole / "parts").mkdir()  # a kill between the merge and its cleaning up
    (whole / "parts" / "part-00000.jsonl").write_bytes(before)
    assert evaluate(local("base", loaded), plan(), whole) is not None
    assert (whole / "answers.jsonl").read_bytes() == before and not (whole / "parts").exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, "seed: 0 there, 1 here"),
        ({"measures": ["leak"]}, 'measures: ["rougeL-f", "leak", "asru-leakage"] there, ["leak"] here'),
        ({"max_new_tokens": 4}, "max_new_tokens: 3 there, 4 here"),
        ({"batch_size": 3}, "batch_size: 2 there, 3 here"),
        ({"limit": 2}, "limit: null there, 2 here"),
        ({"tries": 5}, "tries: 4 there, 5 here"),
        ({"style": "official"}, 'style: "plain" there, "official" here'),
        ({"samples": [*SAMPLES[:-1], replace(SAMPLES[-1], question="who?")]}, 'data: "sha256:'),
        ({"samples": [replace(SAMPLES[0], image=noise_image(9)), *SAMPLES[1:]]}, 'data: "sha256:'),
    ],
)
def test_other_settings_are_refused_by_name(
    change: dict[str, Any], named: str, loaded: LoadedModel, whole: Path
) -> None:
    with pytest.raises(SettingsError) as caught:
        evaluate(local("base", loaded), plan(**change), whole)
    assert named in str(caught.value)
    assert "choose another folder" in str(caught.value)


def test_another_model_eraser_judge_or_code_is_refused(
    loaded: LoadedModel, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match=r'model: .*sha256:.* there, .*"digest": "other"'):
        evaluate(local("base", replace(loaded, digest="other")), plan(), whole)
    with pytest.raises(SettingsError, match=r"condition 'base' .*erasers: \[\] there, .*sha256:e"):
        evaluate(local("base", loaded, ids=["sha256:e"]), plan(), whole)
    with pytest.raises(SettingsError, match='judge: "offline" there, "m at http://h/v1" here'):
        evaluate(local("base", loaded), plan(), whole, judges=Judges(name="m at http://h/v1"))
    monkeypatch.setattr(evaluating, "code_version", lambda: "0.1+sha256:other")
    with pytest.raises(SettingsError, match=r'code: .* there, "0.1\+sha256:other" here'):
        evaluate(local("base", loaded), plan(), whole)


def test_a_condition_is_added_and_the_others_stay(loaded: LoadedModel, whole: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(whole, tmp_path / "r"))
    told = evaluate(local("again", loaded), plan(), out)
    assert told is not None and [row["condition"] for row in told["rows"]] == ["base", "again"]
    base, again = read_folder(str(out))
    assert base.rows == read_folder(str(whole))[0].rows
    assert [row["answer"] for row in base.rows] == [row["answer"] for row in again.rows]


def test_a_condition_that_cannot_be_made_is_unscored_with_its_reason(loaded: LoadedModel, tmp_path: Path) -> None:
    def fail() -> Answerer:
        raise DataError("there is nobody to fit on")

    told = evaluate([*local("base", loaded), Condition("odd", {}, fail)], plan(), tmp_path / "r")
    rows = [row for row in rows_of(tmp_path / "r") if row["condition"] == "odd"]
    assert {row["answer"] for row in rows} == {None} and len(rows) == len(SAMPLES)
    assert {row["reason"] for row in rows} == {"DataError: there is nobody to fit on"}
    assert told is not None and [(row["n"], row["unscored"]) for row in told["rows"]] == [(7, 0), (0, 7)]

    def broken() -> Answerer:
        raise RuntimeError("a fault of ours")

    with pytest.raises(RuntimeError, match="a fault of ours"):
        evaluate([Condition("odd", {}, broken)], plan(), tmp_path / "s")


def test_one_question_that_cannot_be_put_costs_no_other_its_answer(loaded: LoadedModel, tmp_path: Path) -> None:
    broken = replace(SAMPLES[0], image=ImageFile("torn", b"no image"))
    evaluate(local("base", loaded), plan([broken, *SAMPLES[1:]]), tmp_path / "r")
    first, *rest = rows_of(tmp_path / "r")
    lost = next(row for row in (first, *rest) if row["id"] == broken.id)
    assert lost["answer"] is None and "ImageError" in lost["reason"] and lost["refused"] is None
    assert sum(row["answer"] is not None for row in (first, *rest)) == 6


def test_several_processes_write_what_one_writes(whole: Path, tmp_path: Path) -> None:
    """Here as threads, each with a model of its own; `tests/test_accelerate.py` launches processes."""
    out, met = tmp_path / "r", list[int]()
    models = [tiny_llava(), tiny_llava()]
    # Counted before anybody goes on, or a quick one would have written by then.
    meet = threading.Barrier(2, lambda: met.append(len(list((out / "parts").glob("*.jsonl")))), timeout=60)

    def wait() -> None:
        meet.wait()

    def one(index: int) -> object:
        return evaluate(local("base", models[index]), plan(), out, processes=Processes(index, 2, wait))

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(one, range(2)))
    same(whole, out)
    assert [outcome is not None for outcome in outcomes] == [True, False], "the main process alone sums up"
    assert met[:2] == [0, 0], "nobody writes before all have read"


def test_one_process_takes_over_what_two_began(
    loaded: LoadedModel, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "r"
    killed_after(1, monkeypatch, loaded, out, b"")
    evaluate(local("base", loaded), plan(), out, processes=Processes(1, 2))  # the other half, as another process
    assert len(list((out / "parts").iterdir())) == 2
    evaluate(local("base", loaded), plan(), out)
    same(whole, out)


def test_folders_of_other_origin_damage_and_a_second_run_are_refused(
    loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "answers.jsonl").write_text("{}\n")
    with pytest.raises(ResultsError, match=r"holds \['answers.jsonl'\] but no settings.json"):
        prepare(tmp_path / "demo", {"conditions": {}})
    out = tmp_path / "r"
    killed_after(2, monkeypatch, loaded, out, b"")
    with Part(out, 0), pytest.raises(ResultsError, match="being written to by another run"):
        evaluate(local("base", loaded), plan(), out)
    part = out / "parts" / "part-00000.jsonl"
    lines = part.read_bytes().splitlines(keepends=True)
    part.write_bytes(lines[0] + b"{broken}\n" + lines[1])
    with pytest.raises(ResultsError, match=r"part-00000.jsonl, line 2: b'\{broken\}\\n' is not a complete row"):
        evaluate(local("base", loaded), plan(), out)
    part.write_bytes(lines[0] * 2)
    with pytest.raises(ResultsError, match=r"answers question .* of set 'forget_heldout' twice"):
        rows_of(out)


@pytest.mark.parametrize("protocol", ["official", "honest"])
def test_sampled_replies_depend_on_the_seed_and_not_on_what_came_before(
    protocol: Protocol, loaded: LoadedModel, tmp_path: Path
) -> None:
    """OFFSIDE's release samples; the honest protocol does not."""
    answers = []
    for number, (seed, chosen) in enumerate([(0, SAMPLES), (0, SAMPLES[-3:]), (1, SAMPLES)]):
        task = Task("offside", {"forget_set": Set.of("forget", chosen)}, protocol)
        made = planned(task, benchmark="offside", seed=seed, batch_size=1, measures=["leak"])
        made = replace(made, max_new_tokens=6)
        evaluate(local("base", loaded), made, tmp_path / str(number))
        answers.append({row["id"]: row["answer"] for row in rows_of(tmp_path / str(number))})
    assert {id: answers[0][id] for id in answers[1]} == answers[1]
    assert (answers[0] == answers[2]) is (protocol == "honest")


def test_landmine_clear_text_questions_are_not_answered_by_what_a_image_was_asked_before(
    loaded: LoadedModel, tmp_path: Path
) -> None:
    """MMUnlearner's evaluation of CLEAR decodes the previous picture's reply once more for each question of text."""
    pictures, texts = (
        Set.of("retain", [sample for sample in SAMPLES if (sample.image is None) is bare]) for bare in (False, True)
    )
    answers = []
    for number, sets in enumerate(({"vqa": pictures, "qa": texts}, {"qa": texts})):
        evaluate(local("base", loaded), planned(Task("", sets), **ASKED), tmp_path / str(number))
        answers.append({row["id"]: row["answer"] for row in rows_of(tmp_path / str(number)) if row["split"] == "qa"})
    assert answers[0] == answers[1] and len(set(answers[0].values())) > 1
