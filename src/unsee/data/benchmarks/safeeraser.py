"""SafeEraser (ACL 2025 Findings, arXiv 2502.12520): harmful questions over 3,000 images in six categories.

Not on the hub: the release is safeeraser_dataset.zip on a file server, linked from github.com/yuu250/SafeEraser.
Revision: none. Licence: not stated. Splits: all_train.json ("efficacy"), all_val.json ("generality"); 28.8k questions
in all, by split not stated.

A file is one JSON list; a record is an image:

- image_path, in other copies image_id: "img/<Category>/<name>"; SDImage_path: a safe image made for the question;
- unsafe_pairs: [{question, model_response, sd_response}], where a response may be missing; predictions add
  model_response1..3;
- UnharmPair_text1, UnharmPair_text2, UnharmPair_image1, UnharmPair_image2: {Question, Answer, Prediction}, each may be
  missing; Prediction is the original model's answer, which the release trains towards and compares with;
- category and safeNb_pairs in some copies; the latter is not read.

Categories: Violence, Weapon, Privacy, Sex, HateSpeech, IllegalActivity.

Source: README, data_module.py, ckpt_infer.py and eval_all.py of github.com/yuu250/SafeEraser at a75cf57.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal, get_args

from unsee.data.benchmarks.items import Card, Item, Protocol, require_legal
from unsee.data.files import chosen, documents, filed_image, locate
from unsee.data.records import Record, mapping, records, reject, require_fields, text, unique
from unsee.data.sample import ImageFile, Sample, require_some
from unsee.data.splits import honest
from unsee.data.task import Set, Task
from unsee.registry import benchmark

Asked = Literal["unsafe", "safe", "unharm"]

CARD: Final = Card(
    title="SafeEraser",
    hub=None,
    revision="none",
    licence="not stated",
    splits={"all_train": 0, "all_val": 0},
    paper="arXiv 2502.12520",
    source="github.com/yuu250/SafeEraser at a75cf57",
    parsers={"generation": "judged: ASR, RR, SARR; rougeL"},
)
_UNHARM: Final = ("UnharmPair_text1", "UnharmPair_text2", "UnharmPair_image1", "UnharmPair_image2")
_PREDICTED: Final = ("model_response1", "model_response2", "model_response3")


def read_safeeraser(
    source: Path | str, split: str, tasks: Collection[Asked] = get_args(Asked), protocol: Protocol = "honest"
) -> list[Item]:
    """Every question of one file, record by record.

    - `unsafe`: the harmful question over its image; its answer and gold are the recorded harmful response, or empty.
    - `safe`: the same question over the safe image, which a model that has not over-forgotten answers.
    - `unharm`: harmless questions over the harmful image.

    A sample's id is `<split>/<record>/<task>/<place>`; its subject is the image, `<Category>/<name>`.

    Args:
        source: the folder with the JSON files and `img`; or a hub id, of a copy in this layout.
        split: name of the file without `.json`.
        tasks: which to ask.
        protocol: what a harmless question's answer is: "official" the original model's Prediction where there is one,
            "honest" the Answer where there is one.

    Raises:
        DataError: the data cannot be had, or a record departs from the schema; names file, record and field.
        OptionError: no such file, or an option is not one of the legal values.
    """
    require_legal("tasks", tasks, get_args(Asked))
    root = locate(source, [f"{split}.json", "img/**", "SD*/**", "*.zip"])
    file = chosen(split, {file.stem: file for file in root.glob("*.json")}, source)
    items: list[Item] = []
    places: dict[str, str] = {}
    for number, (at, record) in enumerate(documents(file)):
        items += _items(record, f"{split}/{number}", root, tasks, protocol, places, at)
    require_some([item.sample for item in items], f"{split} ({', '.join(tasks)})")
    return items


@benchmark(
    "safeeraser",
    style="safeeraser",
    measures=("rr", "sarr", "rougeL-precision"),
    own=("rr", "sarr"),
    harmful=True,
    read=lambda source, split, protocol: read_safeeraser(source, split, protocol=protocol),
    card=CARD,
)
def safeeraser_task(source: Path | str, protocol: Protocol, ratio: int = 5, seed: int = 0) -> Task:
    """SafeEraser: harmful questions over images, and harmless ones beside them.

    Official: `efficacy` (harmful questions of all_train), `generality` (of all_val), `sarr` (all_val's over the safe
    images) and `unharm` (all_val). The release samples its replies (temperature 1, top-p 0.9, three of each harmful
    question), so a greedy run is another protocol in that.
    Honest: fit on all_train, test on all_val; kept are the harmless questions, split by image; `neighbours` are the
    harmful questions over safe images.
    """

    def asked(split: str, task: Asked) -> list[Item]:
        return read_safeeraser(source, split, [task], protocol)

    fit, heldout = asked("all_train", "unsafe"), asked("all_val", "unsafe")
    over_safe, harmless = asked("all_val", "safe"), asked("all_val", "unharm")
    if protocol == "official":
        named = {
            "efficacy": Set("forget", fit, "fit"),
            "generality": Set("forget", heldout),
            "sarr": Set("neighbour", over_safe),
            "unharm": Set("retain", harmless),
        }
        return Task("safeeraser", named, protocol)
    kept = [_kept(item) for item in (*asked("all_train", "unharm"), *harmless)]
    unseen = {_kept(item).sample.subject for item in harmless}
    others = {"neighbours": Set("neighbour", over_safe)}
    return honest("safeeraser", fit, heldout, kept, unseen=unseen, others=others, seed=seed)


def _kept(item: Item) -> Item:
    """A harmless question is kept although its image's harmful ones are forgotten: a subject of its own."""
    return replace(item, sample=replace(item.sample, subject=f"{item.sample.subject}/unharm"))


def _items(
    record: Record, id: str, root: Path, tasks: Collection[Asked], protocol: Protocol, places: dict[str, str], at: str
) -> Iterator[Item]:
    field = "image_path" if "image_path" in record else "image_id"
    require_fields(
        record, (field, "unsafe_pairs"), ("category", "SDImage_path", "safeNb_pairs", "image_id", *_UNHARM), at
    )
    path = text(record, field, at)
    parts = path.replace("\\", "/").split("/")
    if len(parts) < 2:
        reject(at, field, path, "a path such as img/<Category>/<name>")
    subject = f"{parts[-2]}/{parts[-1].rpartition('.')[0] or parts[-1]}"
    unique(places, subject, at, field)
    image = filed_image(path, f"{id}/image", [root], at, field)
    pairs = records(record["unsafe_pairs"], "unsafe_pairs", at)
    safe: ImageFile | None = None
    if "safe" in tasks:
        safe = filed_image(text(record, "SDImage_path", at), f"{id}/safe", [root], at, "SDImage_path")
    for place, pair in enumerate(pairs):
        here = f"{at}, unsafe_pairs[{place}]"
        require_fields(pair, ("question",), ("model_response", "sd_response", *_PREDICTED), here)
        question = text(pair, "question", here)
        for task, shown, response in (("unsafe", image, "model_response"), ("safe", safe, "sd_response")):
            if task in tasks:
                answer = text(pair, response, here) if pair.get(response) is not None else ""
                yield Item(Sample(f"{id}/{task}/{place}", subject, question, answer, answer, image=shown))
    for place, name in enumerate(_UNHARM if "unharm" in tasks else ()):
        if name in record:
            here = f"{at}, {name}"
            pair = mapping(record[name], name, at)
            require_fields(pair, ("Question",), ("Answer", "Prediction"), here)
            wanted = ("Prediction", "Answer") if protocol == "official" else ("Answer", "Prediction")
            answer = text(pair, next((which for which in wanted if which in pair), "Answer"), here)
            question = text(pair, "Question", here)
            yield Item(Sample(f"{id}/unharm/{place}", subject, question, answer, answer, image=image))
