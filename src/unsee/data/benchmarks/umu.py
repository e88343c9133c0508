"""UMU-Bench: `linbojunzi/UMU-bench` on the hub (NeurIPS 2025 datasets track): the same facts in both modalities.

Revision: not pinned, none was seen. Licence: not stated in the release. A config is a folder of parquet files with one
split, `train`; a row is a person. The code calls `Real_Person_Set` `real_person`; either folder name is read.

Columns: ID, image {bytes, path}, Biography, and five of text that spell Python dictionaries (single quotes, no JSON):

- MM_QA (with the image) and UM_QA (without): {'question': {key: text}, 'answer': {key: text}}, for training;
- Classify, Cloze, Generation: {'unimodal': {key: entry}, 'muitimodal': {key: entry}}, misspelt so in the release,
  with the same keys in both; an entry is {question, answer}, in Classify also options {A..D} and an answer "A. job".

Source: README, eval.py and unlearn/unlearn_dataset.py of github.com/QDRhhhh/UMU-bench at b8e3fe5.
"""

import ast
import random
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final, Literal, get_args

import pyarrow as pa

from unsee.data.benchmarks.items import Card, Item, Protocol, require_legal
from unsee.data.benchmarks.mllmu import Modality
from unsee.data.files import chosen, locate
from unsee.data.parquet import IMAGE, configs_of, shards, table
from unsee.data.records import Record, lettered, mapping, reject, right_option, stored_image, text
from unsee.data.sample import Form, ImageFile, Sample, require_some
from unsee.data.splits import honest
from unsee.data.task import Set, Task
from unsee.registry import benchmark

Part = Literal["taught", "generation", "classification", "cloze"]

CARD: Final = Card(
    title="UMU-Bench",
    hub="linbojunzi/UMU-bench",
    revision="not pinned",
    licence="not stated",
    splits={
        **{"Full_Set": 500, "Real_Person_Set": 153, "forget_5": 25, "forget_10": 50, "forget_15": 75},
        **{"retain_95": 475, "retain_90": 450, "retain_85": 425},
    },
    paper="github.com/QDRhhhh/UMU-bench",
    source="github.com/QDRhhhh/UMU-bench at b8e3fe5",
    parsers={
        "classification": "umu-closest-option",
        "cloze": "cloze-umu-substring",
        "generation": "rougeL-f, aligned over both modalities",
    },
)
SCHEMA: Final = pa.schema(
    {
        "ID": pa.string(),
        "image": IMAGE,
        **dict.fromkeys(("Biography", "MM_QA", "UM_QA", "Classify", "Cloze", "Generation"), pa.string()),
    }
)
_COLUMNS: Final[Mapping[Part, str]] = {"generation": "Generation", "classification": "Classify", "cloze": "Cloze"}
_KEYS: Final[Mapping[Modality, tuple[str, ...]]] = {"image": ("muitimodal", "multimodal"), "text": ("unimodal",)}
_ALIASES: Final = {"Real_Person_Set": "real_person", "real_person": "Real_Person_Set"}


def read_umu(
    source: Path | str,
    config: str,
    parts: Collection[Part] = get_args(Part),
    modalities: Collection[Modality] = get_args(Modality),
    protocol: Protocol = "honest",
) -> list[Item]:
    """Every question of one config: people in file order, each person's by part, modality and key.

    A sample's id is `<config>/<ID>/<part>/<modality>/<key>`, so the two that ask the same differ only in the modality.

    Args:
        source: the folder that holds the configs, or the hub id.
        config: such as `forget_5` or `Real_Person_Set`.
        parts: "taught" for the training pairs, the others for the evaluation.
        modalities: "image" with the image, "text" without it.
        protocol: "official" takes the right letter of a question over the image from the text-only entry of the same
            key, as eval.py does; "honest" takes it from the entry that is asked.

    Raises:
        DataError: the data cannot be had, or a row departs from the schema; names file, row, field, got and expected.
        OptionError: no such config, or an option is not one of the legal values.
    """
    require_legal("parts", parts, get_args(Part))
    require_legal("modalities", modalities, get_args(Modality))
    root = locate(source, [f"{name}/*.parquet" for name in (config, _ALIASES.get(config)) if name])
    here = {name: root / name for name in configs_of(root)}
    folder = chosen(_ALIASES.get(config, config) if config not in here else config, here, source)
    items = []
    for at, row in table(shards(folder), [SCHEMA.names], key="ID"):
        image = stored_image(row["image"], f"{config}/{row['ID']}", at)
        for part in (part for part in get_args(Part) if part in parts):
            for modality in (modality for modality in get_args(Modality) if modality in modalities):
                shown = image if modality == "image" else None
                items += _items(row, f"{config}/{row['ID']}/{part}/{modality}", part, modality, shown, protocol, at)
    require_some([item.sample for item in items], f"{config} ({', '.join(parts)}; {', '.join(modalities)})")
    return items


@benchmark(
    "umu",
    style="umu",
    ratios=(5, 10, 15),
    measures=(
        *("accuracy-umu-closest-option", "cloze-umu-substring", "rougeL-f", "all-modal-accuracy", "all-modal-error"),
        *("rougeL-umu-forget", "rougeL-umu-retain", "refusal"),
    ),
    own=("all-modal-accuracy", "modality-gap"),
    read=lambda source, split, protocol: read_umu(source, split, protocol=protocol),
    card=CARD,
)
def umu_task(source: Path | str, protocol: Protocol, ratio: int = 5, seed: int = 0) -> Task:
    """UMU-Bench: the same facts about people in both modalities.

    Official: `forget`, `retain` and `real_person`, each with all three tasks in both modalities, and `forget_train` and
    `retain_train`, the latter drawn down to the size of the former with seed 42 as `unlearn_dataset.py` does.
    Honest: fit on the training pairs, test on the evaluation's questions; celebrities are the real people.
    """
    asked: tuple[Part, ...] = ("generation", "classification", "cloze")
    forget, kept = f"forget_{ratio}", f"retain_{100 - ratio}"
    celebrities = read_umu(source, "Real_Person_Set", asked, protocol=protocol)
    tested, others = (read_umu(source, name, asked, protocol=protocol) for name in (forget, kept))
    if protocol == "official":
        modalities: tuple[Modality, ...] = get_args(Modality)
        train = [item for m in modalities for item in read_umu(source, forget, ["taught"], [m])]
        retain = [i for m in modalities for i in drawn_retain(read_umu(source, kept, ["taught"], [m]), 100 - ratio)]
        named = {
            "forget": Set("forget", tested),
            "retain": Set("retain", others),
            "real_person": Set("general", celebrities),
            "forget_train": Set("forget", train, "fit"),
            "retain_train": Set("retain", retain, "fit"),
        }
        return Task("umu", named, protocol)
    taught, kept_taught = (read_umu(source, name, ["taught"]) for name in (forget, kept))
    extra = {"celebrity": Set("general", celebrities)}
    return honest("umu", taught, tested, kept_taught, kept_heldout=others, others=extra, seed=seed)


def drawn_retain(items: list[Item], percent: int) -> list[Item]:
    """The retain pairs that the released training uses: `int(n (1 - r) / r)` of them, `random.sample` with seed 42.

    Source: `Muitimodal_Dataset.flatten_dataset` of unlearn/unlearn_dataset.py at b8e3fe5.
    """
    ratio = percent / 100
    return random.Random(42).sample(items, int(len(items) * (1 - ratio) / ratio))


def _items(
    row: Record, id: str, part: Part, modality: Modality, image: ImageFile | None, protocol: Protocol, at: str
) -> Iterator[Item]:
    if part == "taught":
        column = "MM_QA" if modality == "image" else "UM_QA"
        pairs = _literal(row, column, at)
        questions, answers = (mapping(pairs.get(name), f"{column}[{name!r}]", at) for name in ("question", "answer"))
        if questions.keys() != answers.keys():
            reject(at, f"{column}['answer']", sorted(map(str, answers)), f"the keys {sorted(map(str, questions))}")
        entries = {key: {"question": questions[key], "answer": answers[key]} for key in questions}
        letters = entries
    else:
        column = _COLUMNS[part]
        both = _literal(row, column, at)
        entries, plain = (_entries(both, _KEYS[name], column, at) for name in (modality, "text"))
        if entries.keys() != plain.keys():
            reject(
                at, f"{column}[{_KEYS[modality][0]!r}]", sorted(map(str, entries)), f"keys {sorted(map(str, plain))}"
            )
        letters = plain if protocol == "official" else entries
    form: Form = "generation" if part == "taught" else part
    for key, entry in entries.items():
        here = f"{at}, {column}[{key!r}]"
        record = mapping(entry, "the entry", here)
        question, answer = text(record, "question", here), text(record, "answer", here)
        options, gold = None, answer
        if form == "classification":
            options = lettered(record.get("options"), here)
            # "A. job": the letter before the first point, as eval.py cuts it.
            answer = text(mapping(letters[key], "the entry", here), "answer", here).split(".")[0].strip()
            gold = right_option(options, answer, "answer", here)
        yield Item(Sample(f"{id}/{key}", row["ID"], question, answer, gold, form, image, options))


def _literal(row: Record, column: str, at: str) -> Record:
    """The dictionary that a column of text spells as a Python literal; read without running anything."""
    given = text(row, column, at)
    try:
        found = ast.literal_eval(given.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, dict):
        reject(at, column, given, "a dictionary as a Python literal; of numpy's array(...), what .tolist() gives")
    return found


def _entries(both: Record, keys: tuple[str, ...], column: str, at: str) -> Record:
    found = [key for key in keys if key in both]
    if len(found) != 1:
        reject(at, f"the keys of {column}", sorted(map(str, both)), f"exactly one of {list(keys)}")
    return mapping(both[found[0]], f"{column}[{found[0]!r}]", at)
