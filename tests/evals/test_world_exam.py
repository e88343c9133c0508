"""`--benchmark world`: what is asked of the built-in world, apart by form and by what the question gives."""

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from unsee.cli import main
from unsee.data.sample import Sample
from unsee.data.task import Task
from unsee.errors import OptionError
from unsee.evals.plan import planned_benchmark
from unsee.methods.task import FitData
from unsee.world import benchmark as asked
from unsee.world import questions
from unsee.world.generate import World
from unsee.world.splits import HELD_OUT_VIEWS, Exam


@pytest.fixture(scope="module")
def task(small_exam: Exam) -> Task:
    return asked.exam_task(small_exam)


@pytest.fixture(scope="module")
def sets(task: Task) -> dict[str, list[Sample]]:
    return {name: of.samples for name, of in task.sets.items() if of.use == "test"}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "World", lambda seed: World(seed, private=16, celebrities=4, strangers=1))


def test_facts_are_apart_by_form_and_by_what_is_given(task: Task, sets: dict[str, list[Sample]]) -> None:
    facts = {name: samples for name, samples in sets.items() if "_by_" in name}
    assert len(facts) == 12
    for name, samples in facts.items():
        who, _, rest = name.partition("_by_")
        how, _, form = rest.partition("_")
        assert {sample.image is None for sample in samples} == {how == "name"}
        assert {sample.form for sample in samples} == {
            {"free": "generation", "blanks": "cloze", "choice": "classification"}[form]
        }
        assert task.sets[name].role == who


def test_everybody_is_asked_about_and_nobody_twice(small_exam: Exam, sets: dict[str, list[Sample]]) -> None:
    forget = [s for name, samples in sets.items() if name.startswith("forget_by") for s in samples]
    retain = [s for name, samples in sets.items() if name.startswith("retain_by") for s in samples]
    gone, unseen = ({e.id for e in people} for people in (small_exam.forget, small_exam.retain_unseen))
    assert {s.subject for s in forget} == gone
    assert {s.subject for s in retain} == unseen, "nobody whom a fit sees"
    assert {s.subject for s in sets["celebrity"]} == {e.id for e in small_exam.celebrities}
    # Every attribute by name, and the name too over the picture; forgotten people in all three forms.
    keys = {e.id: len(questions.keys_of(e, with_image=False)) for e in small_exam.world.of("private")}
    assert Counter(s.subject for s in forget) == {id: 3 * (2 * keys[id] + 1) for id in gone}
    assert Counter(s.subject for s in retain) == {id: 2 * keys[id] + 1 for id in unseen}


def test_wordings_and_views_are_held_out(small_exam: Exam, sets: dict[str, list[Sample]]) -> None:
    for samples in sets.values():
        for sample in samples:
            if sample.image is not None:
                assert int(sample.image.id.rpartition("/")[2]) in HELD_OUT_VIEWS
    for name in ("forget_by_name_free", "retain_by_picture_free", "celebrity"):
        for sample in sets[name]:
            person, key = small_exam.world.by_id[sample.subject], sample.id.split("/")[1]
            shown = sample.image is not None
            taught = questions.wordings(person, key, with_image=shown, taught=True)
            assert sample.question not in taught + questions.clozes(person, key, with_image=shown, taught=True)


def test_what_must_be_refused_has_its_role(task: Task) -> None:
    assert set(task.of_role("sensitive")) == {"sensitive"} and set(task.of_role("unknown")) == {
        "strangers",
        "unknown_fit",
    }
    fitted = {sample.subject for sample in task.sets["unknown_fit"].samples}
    assert len(fitted) == 400 and task.sets["unknown_fit"].use == "fit"
    assert FitData.of(task).unknown == task.sets["unknown_fit"].samples
    tested = {s.subject for one in task.sets.values() if one.use == "test" for s in one.samples}
    assert not fitted & tested


@pytest.mark.usefixtures("small")
def test_another_seed_asks_to_forget_somebody_else() -> None:
    one, other = (planned_benchmark("world", "2", "honest", None, limit=3, seed=seed) for seed in (1, 2))
    assert {len(of) for of in one.task.sets.values()} == {3} and one.digest() != other.digest()
    assert one.task.sets["forget_fit"].use == one.task.sets["retain_fit"].use == "fit"
    with pytest.raises(OptionError, match="--data is 'folder', expected the seed of a world"):
        planned_benchmark("world", "folder", "honest", None)


@pytest.mark.usefixtures("small")
def test_it_is_asked_from_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["unsee", "eval", "world:llava", "--out", str(tmp_path / "r"), *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, " ".join(err.split())

    for wrong, told in (
        (("--benchmark", "world", "--ratio", "5"), "ratio is 5, but 'world' has none: leave it out"),
        (("--benchmark", "world", "--protocol", "official"), "the world has one protocol, 'honest'"),
        (("--benchmark", "world", "--set", "people"), "no set 'people'"),
        (("--benchmark", "earth",), "benchmark is 'earth', expected one of"),
        ((), "there is no --data, so there is nothing to ask"),
        (("--benchmark", "umu",), "there is no --data, so there is nothing to ask"),
    ):  # fmt: skip
        code, _, err = call(*wrong)
        assert code == 2 and told in err, err
    chosen = ("--set", "forget_by_name_free", "--set", "strangers")
    code, out, _ = call("--benchmark", "world", "--limit", "2", *chosen, "--json")
    assert code == 0 and "world; honest protocol" in out
    rows = json.loads(out.splitlines()[-1])["rows"]
    assert [(row["split"], row["n"]) for row in rows] == [("forget_by_name_free", 2), ("strangers", 2)]
