"""CLEAR: rows written by hand in the published columns, by plain pyarrow."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drawn import png
from unsee.data import benchmark_task, read
from unsee.data.benchmarks.clear import CAPTION_QUESTIONS, NAME_QUESTION, NAME_STEM, SCHEMAS, read_clear
from unsee.data.benchmarks.items import References
from unsee.data.sample import ImageFile, Sample
from unsee.errors import DataError, OptionError

Row = dict[str, Any]
NAMES = ("Ada Roe", "Ben Sol", "Cy Dunn", "Di Fell")


def image(tag: str) -> Row:
    return {"bytes": png(tag), "path": None}


def plain(name: str, tag: str = "") -> Row:
    return {"image": image(f"{name}{tag}"), "caption": f"{name} reads by a window{tag}.", "name": name}


def perturbed(name: str, tag: str = "") -> Row:
    return {
        **plain(name, tag),
        "perturbed_captions": ["Eve Moss reads.", "Flo Tarn reads."],
        "paraphrased_caption": f"By a window {name} is reading.",
        "perturbed_names": ["Eve Moss", "Flo Tarn"],
    }


def mixed(name: str) -> list[Row]:
    return [
        {"image": image(name), "caption": f"{name} reads.", "question": None, "answer": None},
        {"image": None, "caption": None, "question": f"Where was {name} born?", "answer": f"{name} was born in Moss."},
        {"image": None, "caption": None, "question": "Which prize did the author win?", "answer": "The Quill."},
    ]


def real(name: str) -> Row:
    return {"image": image(name), "question": "Who is this?", "answer": name, "options": ["Gus Ray", "Hal Orr"]}


def stored(folder: Path, *rows: Row) -> None:
    """Written without our writer; the first schema that has the columns decides the types of null columns."""
    folder.mkdir(parents=True, exist_ok=True)
    schema = next((s for s in SCHEMAS if set(s.names) == set(rows[0])), None)
    pq.write_table(pa.Table.from_pylist(list(rows), schema), folder / "train-00000-of-00001.parquet")


def test_a_plain_row_asks_for_caption_and_name(tmp_path: Path) -> None:
    stored(tmp_path / "forget01", plain("Ada Roe"), plain("Ada Roe", "2"))
    first, named, second, _ = read_clear(tmp_path, "forget01")
    who = first.sample.subject
    face = ImageFile("forget01/0", png("Ada Roe"))
    caption = "Ada Roe reads by a window."
    assert first.sample == Sample("forget01/0/caption", who, CAPTION_QUESTIONS[0], caption, "Ada Roe", image=face)
    assert named.sample == Sample("forget01/0/name", who, NAME_STEM, "Ada Roe", "Ada Roe", image=face)
    assert first.references == named.references == References()
    assert second.sample.question == CAPTION_QUESTIONS[1]
    assert second.sample.subject == who
    assert "ada" not in who.removeprefix("author").lower()


def test_a_perturbed_row_brings_references_and_a_choice(tmp_path: Path) -> None:
    stored(tmp_path / "forget05_perturbed", perturbed("Ada Roe"))
    caption, name, choice = read_clear(tmp_path, "forget05_perturbed")
    told = ("By a window Ada Roe is reading.",)
    assert caption.references == References(told, ("Eve Moss reads.", "Flo Tarn reads."))
    assert name.references == References((), ("Eve Moss", "Flo Tarn"))
    assert choice.sample.form == "classification"
    assert choice.sample.question == NAME_QUESTION
    assert sorted((choice.sample.options or {}).values()) == ["Ada Roe", "Eve Moss", "Flo Tarn"]
    assert (choice.sample.options or {})[choice.sample.answer] == choice.sample.gold == "Ada Roe"


def test_places_of_the_true_option_are_those_of_the_release(tmp_path: Path) -> None:
    """CLEAR_eval.py: `random.seed(42)`, then `options.insert(random.randint(0, len(options)), answer)` row by row."""
    stored(tmp_path / "forget10_perturbed", *(perturbed(NAMES[n % 4], str(n)) for n in range(40)))
    choices = read_clear(tmp_path, "forget10_perturbed", ["choice"])
    state = random.getstate()
    random.seed(42)
    expected = []
    for n in range(40):
        options = ["Eve Moss", "Flo Tarn"]
        options.insert(random.randint(0, len(options)), NAMES[n % 4])
        expected.append(options)
    random.setstate(state)
    assert [list((item.sample.options or {}).values()) for item in choices] == expected
    assert len({item.sample.answer for item in choices}) == 3
    # The stream is the same whatever else is read beside it.
    assert [i for i in read_clear(tmp_path, "forget10_perturbed") if i.sample.form == "classification"] == choices


def test_tofu_rows_belong_to_the_one_author_they_mention(tmp_path: Path) -> None:
    stored(tmp_path / "forget01", plain("Ada Roe"), plain("Ben Sol"))
    stored(tmp_path / "forget01+tofu", *mixed("Ada Roe"), *mixed("Ben Sol"))
    items = read_clear(tmp_path, "forget01+tofu")
    ada, ben = (item.sample.subject for item in read_clear(tmp_path, "forget01", ["name"]))
    assert [item.sample.subject for item in items] == [ada, ada, "unassigned", ben, ben, "unassigned"]
    assert [item.sample.image is None for item in items] == [False, True, True] * 2
    assert [item.sample.id.rpartition("/")[2] for item in items] == ["caption", "question", "question"] * 2
    (tmp_path / "forget01" / "train-00000-of-00001.parquet").unlink()
    assert {item.sample.subject for item in read_clear(tmp_path, "forget01+tofu")} == {"unassigned"}


def test_real_faces_bring_their_wrong_options(tmp_path: Path) -> None:
    stored(tmp_path / "real_faces", real("Ida Fox"))
    question, choice = read_clear(tmp_path, "real_faces")
    assert question.references.perturbed == ("Gus Ray", "Hal Orr")
    assert question.sample.question == choice.sample.question == "Who is this?"
    assert choice.sample.gold == "Ida Fox"


def test_default_lies_in_data(tmp_path: Path) -> None:
    stored(tmp_path / "data", plain("Ada Roe"))
    assert read(tmp_path, "default", benchmark="clear")
    assert read(f"{tmp_path}:default", benchmark="clear")
    with pytest.raises(OptionError, match=r"no split 'full' in .*: those there are \['default'\]"):
        read_clear(tmp_path, "full")
    with pytest.raises(OptionError, match=r"is CLEAR, but no split was named\. Say which, as in '.*:default'"):
        read(tmp_path, benchmark="clear")


def test_caption_questions_are_drawn_with_a_seed(tmp_path: Path) -> None:
    stored(tmp_path / "full", *(plain("Ada Roe", str(n)) for n in range(30)))

    def asked(seed: int | None) -> list[str]:
        return [item.sample.question for item in read_clear(tmp_path, "full", ["caption"], seed)]

    assert asked(1) == asked(1) != asked(2)
    assert asked(None) == [CAPTION_QUESTIONS[n % 9] for n in range(30)]
    assert set(asked(1)) <= set(CAPTION_QUESTIONS)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"perturbed_names": []}, r"perturbed_names is \[\], expected a list of at least one text"),
        ({"perturbed_captions": ["a", None]}, r"perturbed_captions\[1\] is None"),
    ],
)
def test_a_wrong_field_is_told(tmp_path: Path, change: Row, told: str) -> None:
    stored(tmp_path / "forget01_perturbed", perturbed("Ada Roe"), {**perturbed("Ada Roe"), **change})
    with pytest.raises(DataError, match=rf"forget01_perturbed/train-00000-of-00001\.parquet, row 1: {told}"):
        read_clear(tmp_path, "forget01_perturbed")


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """Eight authors, one forgotten, three that the benchmark judges what is kept on."""
    people = [*NAMES, "Jo Park", "Kit Lane", "Lou Hart", "Max Bell"]
    for percent in (5,):
        stored(tmp_path / f"forget{percent:02d}", *(plain(people[0], str(n)) for n in range(4)))
        stored(tmp_path / f"forget{percent:02d}+tofu", *mixed(people[0]))
        stored(tmp_path / f"forget{percent:02d}_perturbed", *(perturbed(people[0], str(n)) for n in range(4)))
        stored(tmp_path / f"retain{100 - percent}", *(plain(name, str(n)) for name in people[1:] for n in range(2)))
        stored(tmp_path / f"retain{100 - percent}+tofu", *(row for name in people[1:] for row in mixed(name)))
    stored(tmp_path / "retain_perturbed", *(perturbed(name) for name in people[5:]))
    stored(tmp_path / "real_faces", real("Ida Fox"))
    stored(tmp_path / "real_world", real("The Old Bridge"))
    return tmp_path


def test_official_sets(whole: Path) -> None:
    sets = benchmark_task("clear", whole, "official").samples()
    assert list(sets) == [
        *("real_faces", "real_world", "eval_log_forget", "eval_log", "eval_forget_facerec", "eval_retain_facerec")
    ]
    assert {sample.question for sample in sets["real_faces"]} == {NAME_STEM}
    assert {sample.gold for sample in sets["real_faces"]} == {"Ida Fox"}
    assert {sample.question for sample in sets["real_world"]} == {"Who is this?"}
    assert {sample.id.rpartition("/")[2] for sample in sets["eval_log"]} == {"caption"}
    choice = benchmark_task("clear-choice", whole, "official").samples()
    assert {sample.form for name in ("forget", "retain", "real_faces") for sample in choice[name]} == {"classification"}
    assert {sample.form for sample in choice["forget_generation"]} == {"generation"}


def test_at_most_300_of_each_task(tmp_path: Path, whole: Path) -> None:
    stored(whole / "retain_perturbed", *(perturbed(f"Ann {n:03d}") for n in range(305)))
    sets = benchmark_task("clear", whole, "official").samples()
    assert [len(sets[name]) for name in ("eval_log", "eval_retain_facerec")] == [300, 300]
    assert sets["eval_log"][-1].id == "retain_perturbed/299/caption"


def test_honest_sets_share_neither_person_nor_image(whole: Path) -> None:
    found = benchmark_task("clear", whole, "honest", seed=3)
    sets = found.samples()
    people = {name: {sample.subject for sample in samples} for name, samples in sets.items()}
    kept = ("retain_fit", "calibration", "retain_unseen")
    for first in kept:
        for other in {"forget_fit", *kept} - {first}:
            assert not people[first] & people[other], (first, other)
    judged = {item.sample.subject for item in read_clear(whole, "retain_perturbed")}
    assert people["retain_unseen"] == judged
    images = {name: {s.image.source for s in sets[name] if s.image} for name in ("forget_fit", "forget_heldout")}
    assert images["forget_fit"] and not images["forget_fit"] & images["forget_heldout"]
    texts = {name: {s.question for s in sets[name] if not s.image} for name in ("forget_fit", "forget_heldout")}
    assert not texts["forget_fit"] & texts["forget_heldout"]
    assert benchmark_task("clear", whole, "honest", seed=3) == found


def test_a_judged_author_must_not_be_forgotten(whole: Path) -> None:
    stored(whole / "retain_perturbed", perturbed("Ada Roe"), perturbed("Max Bell"))
    with pytest.raises(DataError, match=r"1 subject\(s\) are in both the retain and the forget set"):
        benchmark_task("clear", whole, "honest")
