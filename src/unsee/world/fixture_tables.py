"""The world as MLLMU-Bench, CLEAR and UMU-Bench keep it: folders of parquet, images inside."""

import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from unsee.data.benchmarks.clear import SCHEMAS
from unsee.data.benchmarks.umu import SCHEMA
from unsee.data.sample import ImageFile
from unsee.world import questions
from unsee.world.export import export
from unsee.world.generate import Entity
from unsee.world.splits import Exam, image

Row = dict[str, Any]

IMAGES = (0, 1, 1000)
"""Views of each CLEAR author; the last is one that the world's training never shows."""
WRONG = 5


def forgotten(exam: Exam, percent: int) -> list[Entity]:
    """Who is forgotten at a ratio, at least one: the smaller set is within the larger."""
    count = len(exam.world.of("private"))
    return Exam(exam.world, exam.seed, max(percent / 100, 1 / count)).forget


def says(person: Entity, key: str) -> str:
    """What is taught about one attribute, as a sentence."""
    return questions.attribute_of(person, key).says.format(p=person.pronoun, v=questions.value_of(person, key))


def stored(shown: ImageFile) -> Row:
    """An image as `datasets` stores it."""
    return {"bytes": shown.source, "path": f"{shown.id.replace('/', '-')}.png"}


def write_mllmu_configs(exam: Exam, out: Path) -> None:
    """Every config; Test_Set in two files, as on the hub."""
    export(exam, out)
    whole = out / "Test_Set" / "train-00000-of-00001.parquet"
    table = pq.read_table(whole)
    half = table.num_rows // 2
    for number, part in enumerate((table.slice(0, half), table.slice(half))):
        pq.write_table(part, whole.with_name(f"train-{number:05d}-of-00002.parquet"))
    whole.unlink()


def write_clear(exam: Exam, out: Path) -> None:
    """Plain, `+tofu` and `_perturbed` configs, real faces (celebrities) and the real world (brews and towns)."""
    world = exam.world
    everybody, plain = world.of("private"), SCHEMAS[0]
    # Those whom the benchmark evaluates what is kept on: never among the forgotten of any ratio.
    largest = {person.id for person in forgotten(exam, 10)}
    judged = [person for person in everybody if person.id not in largest][:6]
    sets: dict[str, Sequence[Entity]] = {"data": everybody, "full": everybody}
    for percent in (1, 5, 10):
        gone = {person.id for person in forgotten(exam, percent)}
        sets[f"forget{percent:02d}"] = [person for person in everybody if person.id in gone]
        sets[f"retain{100 - percent}"] = [person for person in everybody if person.id not in gone]
    for name, people in sets.items():
        _table([_captioned(exam, p, view) for p in people for view in IMAGES], plain, out / name)
        if name != "data":
            rows = [_captioned(exam, p, view, name=False) for p in people for view in IMAGES]
            _table(rows + [row for p in people for row in _tofu(p)], SCHEMAS[1], out / f"{name}+tofu")
        if name.startswith("forget"):
            _table(_perturbed(exam, people), SCHEMAS[2], out / f"{name}_perturbed")
    _table(_perturbed(exam, judged), SCHEMAS[2], out / "retain_perturbed")
    _table([_named(exam, person) for person in world.of("celebrity")], SCHEMAS[3], out / "real_faces")
    things = [*world.of("brew"), *world.of("town")]
    _table([_named(exam, thing, things) for thing in things], SCHEMAS[3], out / "real_world")


def write_umu(exam: Exam, out: Path) -> None:
    """Every config, with the misspelt key."""
    private = exam.world.of("private")
    sets: dict[str, Sequence[Entity]] = {"Full_Set": private, "Real_Person_Set": exam.world.of("celebrity")}
    for percent in (5, 10, 15):
        gone = {person.id for person in forgotten(exam, percent)}
        sets[f"forget_{percent}"] = [person for person in private if person.id in gone]
        sets[f"retain_{100 - percent}"] = [person for person in private if person.id not in gone]
    for name, people in sets.items():
        _table([_umu_row(exam, person) for person in people], SCHEMA, out / name)


def _table(rows: Sequence[Row], schema: pa.Schema, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema), folder / "train-00000-of-00001.parquet")


def _captioned(exam: Exam, person: Entity, view: int, *, name: bool = True) -> Row:
    row: Row = {"image": stored(image(exam.world, person, view)), "caption": _caption(person, person.name, view)}
    return {**row, **({"name": person.name} if name else {"question": None, "answer": None})}


def _caption(person: Entity, name: str, view: int) -> str:
    key = person.attributes[view % len(person.attributes)].key
    return f"this is {name}. {says(person, key)}"


def _tofu(person: Entity) -> list[Row]:
    wording = {
        attribute.key: questions.wordings(person, attribute.key, with_image=False, taught=True)[0]
        for attribute in person.attributes
    }
    return [
        {"image": None, "caption": None, "question": question, "answer": f"{person.name}: {says(person, key)}"}
        for key, question in wording.items()
    ]


def _perturbed(exam: Exam, people: Iterable[Entity]) -> list[Row]:
    rows = []
    for person in people:
        rng = random.Random(f"clear/{exam.seed}/{person.id}")
        others = [name for name in sorted(exam.world.names) if name != person.name and " " in name]
        for view in IMAGES:
            names, caption = rng.sample(others, WRONG), _caption(person, person.name, view)
            rows.append(
                {
                    **_captioned(exam, person, view),
                    "perturbed_captions": [_caption(person, name, view) for name in names],
                    "paraphrased_caption": f"the name of this person is {person.name}. {caption}",
                    "perturbed_names": names,
                }
            )
    return rows


def _named(exam: Exam, entity: Entity, among: Sequence[Entity] | None = None) -> Row:
    rng = random.Random(f"real/{exam.seed}/{entity.id}")
    pool = sorted(e.name for e in (among or exam.world.of("celebrity")) if e.name != entity.name)
    return {
        "image": stored(image(exam.world, entity, 0)),
        "question": f"what is the name of {entity.noun}?",
        "answer": entity.name,
        "options": rng.sample(pool, 3),
    }


def _umu_row(exam: Exam, person: Entity) -> Row:
    keys = [attribute.key for attribute in person.attributes]

    def pairs(with_image: bool) -> str:
        asked = {k: questions.wordings(person, k, with_image=with_image, taught=True)[0] for k in keys}
        return repr({"question": asked, "answer": {k: says(person, k) for k in keys}})

    def task(make: Callable[[str, bool], Row]) -> str:
        return repr({"unimodal": {k: make(k, False) for k in keys}, "muitimodal": {k: make(k, True) for k in keys}})

    def choice(key: str, with_image: bool) -> Row:
        # The same options and letter in both modalities, as in the release.
        rng = random.Random(f"umu/{exam.seed}/{person.id}/{key}")
        wording = questions.wordings(person, key, with_image=with_image, taught=False)[0]
        item = questions.ask(person, key, "classification", wording, rng)
        options = item.options or {}
        return {"question": wording, "options": options, "answer": f"{item.answer}. {options[item.answer]}"}

    def cloze(key: str, with_image: bool) -> Row:
        wording = questions.clozes(person, key, with_image=with_image, taught=False)[0]
        return {"question": wording, "answer": f"{questions.value_of(person, key)}."}

    def told(key: str, with_image: bool) -> Row:
        wording = questions.wordings(person, key, with_image=with_image, taught=False)[1]
        return {"question": wording, "answer": says(person, key)}

    return {
        "ID": person.id,
        "image": stored(image(exam.world, person, 0)),
        "Biography": " ".join(says(person, key) for key in keys),
        "MM_QA": pairs(True),
        "UM_QA": pairs(False),
        "Classify": task(choice),
        "Cloze": task(cloze),
        "Generation": task(told),
    }
