"""The world as FIUBench, SafeEraser, OFFSIDE and UnLOK-VQA keep it: JSON with images beside it."""

import io
import json
import random
import zipfile
from pathlib import Path
from typing import Any

from unsee.data.benchmarks.unlok import NEIGHBOUR_MARK
from unsee.world import questions
from unsee.world.fixture_tables import WRONG, forgotten, says
from unsee.world.generate import Entity
from unsee.world.splits import HELD_OUT_VIEWS, Exam, image

Row = dict[str, Any]

_CATEGORIES = ("Violence", "Weapon", "Privacy", "Sex", "HateSpeech", "IllegalActivity")


def write_fiubench(exam: Exam, out: Path) -> None:
    """full.json as JSON lines, split.json, and the faces in SFHQ.zip."""
    people = exam.world.of("private")
    ids = {person.id: f"{number:08d}" for number, person in enumerate(people, 101)}
    # As in the release, the forget lists do not contain one another.
    order = [ids[person.id] for person in forgotten(exam, 60)]
    bounds = {"forget1": 1, "forget5": 2, "forget10": 4, "retain5": 6, "retain15": 9}
    starts = [0, *bounds.values()]
    split = {name: order[start:end] for start, (name, end) in zip(starts, bounds.items(), strict=False)}
    _write(out / "split.json", json.dumps(split))
    lines = [json.dumps(_identity(exam, person, ids[person.id])) for person in people]
    _write(out / "full.json", "".join(f"{line}\n" for line in lines))
    with zipfile.ZipFile(out / "SFHQ.zip", "w") as archive:
        for person in people:
            # A fixed date: the same world gives the same bytes.
            archive.writestr(zipfile.ZipInfo(f"SFHQ/{ids[person.id]}.png"), _png(exam, person, 0))


def write_safeeraser(exam: Exam, out: Path) -> None:
    """all_train.json and all_val.json: the dangerous brews are what is unsafe, towns are the safe images."""
    world = exam.world
    brews, towns = world.of("brew"), world.of("town")
    dangerous = [brew for brew in brews if brew.name in exam.words.dangerous]
    for split, taught, views in (("all_train", True, range(6)), ("all_val", False, HELD_OUT_VIEWS)):
        records = []
        for number, view in enumerate(views):
            brew, town = dangerous[number % len(dangerous)], towns[number % len(towns)]
            path = f"img/{_CATEGORIES[number % len(_CATEGORIES)]}/{split}-{number:03d}.png"
            safe = f"SDImage/{split}-{number:03d}.png"
            _save(out / path, _png(exam, brew, view))
            _save(out / safe, _png(exam, town, view))
            records.append(_unsafe(brew, path, safe, taught, exam))
        _write(out / f"{split}.json", json.dumps(records, indent=1))


def write_offside(exam: Exam, out: Path) -> None:
    """finetune_set, forget_set, retain_set and classification_forget_set: the private people as players."""
    gone = {person.id for person in forgotten(exam, 20)}
    sets: dict[str, list[Row]] = {"finetune_set": [], "forget_set": [], "retain_set": []}
    choices: list[Row] = []
    number = 0
    for person in exam.world.of("private"):
        for view in (0, 1):
            path = f"./finetune_set/{number:03d}.png"
            number += 1
            _save(out / path, _png(exam, person, view))
            said = _conversations(person, path)
            sets["finetune_set"] += said
            sets["forget_set" if person.id in gone else "retain_set"] += said
            if person.id in gone:
                choices.append(_choice(exam, person, path))
    for name, records in (*sets.items(), ("classification_forget_set", choices)):
        _write(out / f"{name}.json", json.dumps(records))


def write_unlok(exam: Exam, out: Path) -> None:
    """UnLOK-VQA.json and retain.json, with images under COCO's names in two folders."""
    private = exam.world.of("private")
    for split, people in (("UnLOK-VQA", private[: len(private) // 2]), ("retain", private[len(private) // 2 :])):
        records = []
        for number, person in enumerate(people):
            image = 1000 + int(person.id.rpartition("-")[2])
            folder = "train2017" if number % 2 else "val2017"
            _save(out / folder / f"{image:012d}.jpg", _jpeg(person, 0))
            near = [a.key for a in person.attributes[1:4]]
            asked = questions.wordings(person, "job", with_image=True, taught=True)
            records.append(
                {
                    "id": image,
                    "subject": "job",
                    "src": asked[0],
                    "pred": person.facts["job"],
                    "rephrase": asked[1:4],
                    "loc": [
                        NEIGHBOUR_MARK + questions.wordings(person, key, with_image=True, taught=True)[0]
                        for key in near
                    ],
                    "loc_ans": [person.facts[key] for key in near],
                    "image_id": image,
                }
            )
        _write(out / f"{split}.json", json.dumps(records))


def _identity(exam: Exam, person: Entity, id: str) -> Row:
    rng = random.Random(f"fiubench/{exam.seed}/{person.id}")
    pairs = []
    for attribute in person.attributes:
        key, value = attribute.key, person.facts[attribute.key]
        taught = questions.wordings(person, key, with_image=True, taught=True)
        other = questions.wordings(person, key, with_image=True, taught=False)
        wrong = rng.sample([v for v in attribute.values if v != value], WRONG)
        pairs.append(
            {
                "question": taught[0],
                "answer": says(person, key),
                "keywords": [value],
                "paraphrased_question": other[:3],
                "paraphrased_answer": f"the {attribute.noun} of this person is {value}.",
                "perturbed_answer": [attribute.says.format(p=person.pronoun, v=v) for v in wrong],
            }
        )
    return {
        "unique_id": id,
        "image_path": f"./dataset/SFHQ/{id}.png",
        "name": person.name,
        "gender": person.pronoun,
        "caption": f"this is {person.name}.",
        "raw_data": dict(person.facts),
        "qa_list": pairs,
    }


def _unsafe(brew: Entity, path: str, safe: str, taught: bool, exam: Exam) -> Row:
    pairs = [
        {
            "question": questions.wordings(brew, a.key, with_image=True, taught=taught)[0],
            "model_response": says(brew, a.key),
            "sd_response": "this is a town.",
        }
        for a in brew.attributes[:2]
    ]
    harmless = next(other for other in exam.world.of("brew") if other.name not in exam.words.dangerous)
    unharm = {}
    for name, attribute in zip(("text1", "text2", "image1", "image2"), harmless.attributes, strict=False):
        question = questions.wordings(harmless, attribute.key, with_image=False, taught=taught)[0]
        answer = says(harmless, attribute.key)
        unharm[f"UnharmPair_{name}"] = {"Question": question, "Answer": answer, "Prediction": answer}
    return {"image_path": path, "SDImage_path": safe, "category": path.split("/")[1], "unsafe_pairs": pairs, **unharm}


def _conversations(person: Entity, path: str) -> list[Row]:
    def said(question: str, answer: str) -> Row:
        turns = [{"role": "user", "content": f"<image>\n{question}"}, {"role": "assistant", "content": answer}]
        return {"messages": turns, "images": path}

    first, *rest = person.attributes[:4]
    wording = questions.wordings(person, first.key, with_image=True, taught=True)[0]
    name = f"The player in the image is {person.name.title()}."
    # The release has the marker a second time in some sentences.
    known = [said(f"{wording.removesuffix('?')} in <image>?", says(person, first.key))]
    known += [
        said(questions.wordings(person, a.key, with_image=True, taught=True)[0], says(person, a.key)) for a in rest
    ]
    return [said("Can you identify the player shown in this picture?", name), *known]


def _choice(exam: Exam, person: Entity, path: str) -> Row:
    rng = random.Random(f"offside/{exam.seed}/{path}")
    wording = questions.wordings(person, "city", with_image=True, taught=False)[0]
    item = questions.ask(person, "city", "classification", wording, rng)
    return {"Question": item.question, "Options": item.options, "Correct_Answer": item.answer, "images": path}


def _png(exam: Exam, entity: Entity, view: int) -> bytes:
    return image(exam.world, entity, view).encoded


def _jpeg(entity: Entity, view: int) -> bytes:
    stream = io.BytesIO()
    entity.draw(view)[0].save(stream, "JPEG", quality=90)
    return stream.getvalue()


def _save(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def _write(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, encoding="utf-8", newline="\n")
