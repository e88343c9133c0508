"""UnLOK-VQA: `vaidehi99/UnLOK-VQA` on the hub (TMLR, arXiv 2505.01456): single answers to delete, about 500.

Revision: not pinned, none was seen. Licence: not stated on the data set's page as far as it was readable; the code is
under its repository's LICENSE. Images are COCO 2017's and come from there: `<image_id as 12 digits>.jpg`, looked for
in `train2017`, `val2017`, `images` and the folder itself. Those of the image attacks (neighbours, paraphrases) are on
a file server under names of their own and are not read.

One JSON list (UnLOK-VQA.json; data/retain.json of the code has the same schema and tells the retain rate). A record:

- id: number; src: the question; pred: the answer to delete; image_id: number;
- loc and loc_ans: questions of the neighbourhood, each with "nq question: " in front, and their answers, as many;
- in the code's files also rephrase [text], alt, alt_ans [text], answers [text], subject, neigh_idx and columns of their
  making (cond, img_desc, ...), of which `rephrase` is read.

Source: README, data/retain.json, experiments/evaluate_llava_mm.py and util/fewshot_utils.py (5c0fbd2) of
github.com/Vaidehi99/UnLOK-VQA.
"""

import random
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, Literal, get_args

from unsee.data.benchmarks.items import Card, Item, Protocol, require_legal
from unsee.data.files import chosen, documents, filed_image, locate
from unsee.data.records import Record, reject, require_fields, text, texts, unique
from unsee.data.sample import ImageFile, Sample, require_some
from unsee.data.splits import honest
from unsee.data.task import Set, Task
from unsee.errors import DataError
from unsee.registry import benchmark

Asked = Literal["target", "rephrased", "neighbour"]

CARD: Final = Card(
    title="UnLOK-VQA",
    hub="vaidehi99/UnLOK-VQA",
    revision="not pinned",
    licence="not stated",
    splits={"UnLOK-VQA": 500, "retain": 0},
    paper="arXiv 2505.01456",
    source="github.com/Vaidehi99/UnLOK-VQA at 5c0fbd2",
    parsers={"generation": "answer in a candidate set of B"},
)
NEIGHBOUR_MARK: Final = "nq question: "
_NEEDED: Final = ("id", "src", "pred", "loc", "loc_ans", "image_id")
_OPTIONAL: Final = (
    *("rephrase", "alt", "alt_ans", "answers", "subject", "neigh_idx", "cond", "img_desc", "dissimilar_sent"),
    *("img_desc_ques_sum", "noun_phrases_ques+ans", "noun_phrases_img_desc", "tifa_ques_ans", "objects_edit"),
)
_FOLDERS: Final = ("train2017", "val2017", "images", ".")


def read_unlok(
    source: Path | str, split: str = "UnLOK-VQA", asked: Collection[Asked] = ("target", "neighbour")
) -> list[Item]:
    """Every question of one file, record by record.

    - `target`: the question whose answer is to be deleted;
    - `rephrased`: its rephrasings, where the file has them;
    - `neighbour`: questions about the same image whose answers must stay.

    A sample's id is `<split>/<id>/<which>`, with the place in the list behind it; its subject is the record.

    Args:
        source: the folder with the JSON file and COCO's images, or the hub id.
        split: name of the file without `.json`.
        asked: which questions.

    Raises:
        DataError: the data cannot be had, or a record departs from the schema; names file, record and field.
        OptionError: no such file, or an option is not one of the legal values.
    """
    require_legal("asked", asked, get_args(Asked))
    root = locate(source, ["*.json", "*.jsonl", "*.zip", *(f"{folder}/*.jpg" for folder in _FOLDERS[:-1])])
    file = chosen(split, {one.stem: one for suffix in ("jsonl", "json") for one in root.glob(f"*.{suffix}")}, source)
    items: list[Item] = []
    places: dict[str, str] = {}
    for at, record in documents(file):
        items += _items(record, split, root, asked, places, at)
    require_some([item.sample for item in items], f"{split} ({', '.join(asked)})")
    return items


@benchmark(
    "unlok",
    style="unlok",
    measures=("leak",),
    read=lambda source, split, _: read_unlok(source, split),
    card=CARD,
)
def unlok_task(source: Path | str, protocol: Protocol, ratio: int = 5, seed: int = 0) -> Task:
    """UnLOK-VQA: single facts about images, with rephrasings and neighbours.

    Official: `target` and `neighbour` of the released file, deleted one record at a time, and `retain` where
    retain.json is there. Honest: a seeded tenth of the records is forgotten at once and tested on their rephrasings;
    their neighbourhood questions are `neighbours`, the other records are kept.
    """
    del ratio
    target, near = (read_unlok(source, asked=[which]) for which in ("target", "neighbour"))
    if protocol == "official":
        root = locate(source, ["retain.json"])
        kept = read_unlok(root, "retain", ["target"]) if (root / "retain.json").is_file() else None
        named = {"target": Set("forget", target), "neighbour": Set("neighbour", near)}
        return Task("unlok", {**named, **({} if kept is None else {"retain": Set("retain", kept)})}, protocol)
    again = read_unlok(source, asked=["rephrased"])
    order = sorted({item.sample.subject for item in again})
    forgotten = set(random.Random(f"unlok/{seed}").sample(order, max(1, round(len(target) / 10))))

    def about(items: list[Item], inside: bool) -> list[Item]:
        return [item for item in items if (item.sample.subject in forgotten) is inside]

    others = {"neighbours": Set("neighbour", about(near, True))}
    return honest("unlok", about(target, True), about(again, True), about(target, False), others=others, seed=seed)


def _items(
    record: Record, split: str, root: Path, asked: Collection[Asked], places: dict[str, str], at: str
) -> Iterator[Item]:
    require_fields(record, _NEEDED, _OPTIONAL, at)
    number = str(_whole(record, "id", at))
    unique(places, number, at, "id")
    image = _coco(_whole(record, "image_id", at), root, at)
    id, subject = f"{split}/{number}", f"fact-{number}"
    question, answer = text(record, "src", at), text(record, "pred", at)
    if "target" in asked:
        yield Item(Sample(f"{id}/target", subject, question, answer, answer, image=image))
    if "rephrased" in asked and "rephrase" in record:
        for place, wording in enumerate(texts(record, "rephrase", at)):
            yield Item(Sample(f"{id}/rephrased/{place}", subject, wording, answer, answer, image=image))
    if "neighbour" in asked:
        questions, answers = texts(record, "loc", at), texts(record, "loc_ans", at)
        if len(questions) != len(answers):
            reject(at, "the number of loc_ans", len(answers), f"{len(questions)}, as many as loc")
        for place, (near, right) in enumerate(zip(questions, answers, strict=True)):
            near = near.removeprefix(NEIGHBOUR_MARK)
            yield Item(Sample(f"{id}/neighbour/{place}", subject, near, right, right, image=image))


def _coco(number: int, root: Path, at: str) -> ImageFile:
    name = f"{number:012d}.jpg"
    roots = [root / folder for folder in _FOLDERS]
    try:
        return filed_image(name, name.removesuffix(".jpg"), roots, at, "image_id", shortest=1)
    except DataError as error:
        raise DataError(
            f"{error} It is an image of COCO 2017 (train or val), which is not part of the data set."
        ) from error


def _whole(record: Record, field: str, at: str) -> int:
    value = record[field]
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        reject(at, field, value, "a whole number")
    return value
