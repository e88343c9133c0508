"""MLLMU-Bench: `MLLMMU/MLLMU-Bench` on the hub (arXiv 2410.22108), and every data set kept in its schema.

Revision: not pinned, the newest is fetched unless the id names one; the schema is that of e91a01e (2024). Licence: not
stated on the data set's page; ask before passing any of it on.
A config is a folder of parquet files with one split, `train`; a row is a person; `CONFIGS` counts them.
`Retain_Set` holds the real celebrities; the people to keep beside `forget_5` are in `retain_95`.
The baselines' training splits, `MLLMMU/baseline_train_split`, lie in a *model* repository: forget_N, retain_(100-N).

Columns, by kind of config:

- evaluation: image {bytes, path}, ID, Directory, biography, question, answer,
  Classification_Task {Image_Textual_Questions and Pure_Text_Questions: [{Correct_Answer, Options {A..D}, Question}]},
  Generation_Task and Mask_Task [{Ground_Truth, Question, Type}], where Type is Image_Textual or Pure_Text;
- Test_Set: the same with `images`, a list of other views, in place of `image`, in two files;
- training (ft_Data and the splits of `MLLMMU/baseline_train_split`): image, ID, metadata = JSON [{Question, Answer}].

Source: the hub's file listing; eval.py of github.com/franciscoliu/MLLMU-Bench.
"""

import random
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, get_args

import pyarrow as pa

from unsee.data.benchmarks.items import Card, Item, Protocol, require_legal
from unsee.data.files import chosen, locate
from unsee.data.parquet import IMAGE, configs_of, shards, table, write_table
from unsee.data.records import Record, lettered, mapping, records, reject, right_option, stored_image, strict_json, text
from unsee.data.sample import Form, ImageFile, Sample, require_some
from unsee.data.splits import honest
from unsee.data.task import Set, Task
from unsee.errors import DataError, OptionError
from unsee.registry import benchmark

Modality = Literal["image", "text"]
Views = Literal["first", "all", "drawn"]

CARD: Final = Card(
    title="MLLMU-Bench",
    hub="MLLMMU/MLLMU-Bench",
    revision="not pinned; schema of e91a01e",
    licence="not stated",
    # Published row counts; a folder of another name is read just as well.
    splits={
        **{"Full_Set": 500, "Retain_Set": 153, "Test_Set": 500, "ft_Data": 500},
        **{"forget_5": 25, "forget_10": 50, "forget_15": 75, "retain_95": 475, "retain_90": 450, "retain_85": 425},
    },
    paper="arXiv 2410.22108",
    source="github.com/franciscoliu/MLLMU-Bench",
    parsers={
        "classification": "mllmu-first-char",
        "cloze": "cloze-mllmu-substring",
        "generation": "rougeL-f, bleu-mllmu",
    },
)
CONFIGS: Final = CARD.splits
BASELINE_SPLITS: Final = "MLLMMU/baseline_train_split"
_KINDS: Final[dict[str, Modality]] = {"Image_Textual": "image", "Pure_Text": "text", "metadata": "image"}
_TEXT = pa.string()
_CHOICE = pa.struct({"Correct_Answer": _TEXT, "Options": pa.struct(dict.fromkeys("ABCD", _TEXT)), "Question": _TEXT})
_CHOICES = pa.list_(_CHOICE)
_OPEN = pa.list_(pa.struct({"Ground_Truth": _TEXT, "Question": _TEXT, "Type": _TEXT}))
_TASKS: Final = {
    **dict.fromkeys(("ID", "Directory", "biography", "question", "answer"), _TEXT),
    "Classification_Task": pa.struct({"Image_Textual_Questions": _CHOICES, "Pure_Text_Questions": _CHOICES}),
    **dict.fromkeys(("Generation_Task", "Mask_Task"), _OPEN),
}
_SCHEMAS: Final = (
    pa.schema({"image": IMAGE, **_TASKS}),
    pa.schema({"images": pa.list_(IMAGE), **_TASKS}),
    pa.schema({"image": IMAGE, "ID": _TEXT, "metadata": _TEXT}),
)
_FAMILIES: Final = tuple(schema.names for schema in _SCHEMAS)


def read_mllmu(
    directory: Path | str,
    config: str,
    forms: Collection[Form] = get_args(Form),
    modalities: Collection[Modality] = get_args(Modality),
    images: Views = "first",
    seed: int = 0,
) -> list[Sample]:
    """Every question of one config: people in file order, each person's questions by form.

    A sample's id is `<config>/<ID>/<form>/<modality>/<place in its list>`, with `/<view>` behind it where views differ.

    Args:
        directory: the folder that holds the configs, or a data set's id on the hub, of which only `config` is fetched.
        config: name of the folder to read, such as `forget_5`.
        forms: the forms to read; the training schema has only "generation".
        modalities: "image" for questions asked over the image, "text" for those asked without one.
        images: which views of `Test_Set` to ask over: the first, each (one sample per question and view), or one drawn
            for each person and form, as the released evaluation does without a seed.
        seed: of the drawn views.

    Raises:
        DataError: the data cannot be had, or a row departs from the schema; names file, row, field, got and expected.
        OptionError: there is no such config, or an option is not one of the legal values.
    """
    for name, got, legal in (("forms", forms, Form), ("modalities", modalities, Modality), ("images", [images], Views)):
        require_legal(name, got, get_args(legal))
    kind = "model" if str(directory).split("@")[0] == BASELINE_SPLITS else "dataset"
    root = locate(directory, [f"{config}/*.parquet"], kind)
    folder = chosen(config, {name: root / name for name in configs_of(root)}, directory)
    rows = table(shards(folder), _FAMILIES, key="ID")
    samples = [s for at, row in rows for s in _samples(row, config, forms, modalities, images, seed, at)]
    require_some(samples, f"{config} ({', '.join(forms)}; {', '.join(modalities)})")
    return samples


def write_mllmu(rows: Sequence[Record], directory: Path | str, config: str) -> Path:
    """Write people to `<directory>/<config>/train-00000-of-00001.parquet`; the same rows give the same bytes.

    The columns of the first row choose among the three schemas. Nothing is written that `read_mllmu` would refuse.

    Raises:
        DataError: there is no row, or one that departs from the schema.
        OptionError: `config` is not a plain folder name.
        SaveError: the file could not be written.
    """

    def check(part: Path) -> None:
        for at, row in table([part], _FAMILIES, key="ID"):
            list(_samples(row, config, get_args(Form), get_args(Modality), "all", 0, at))

    if not re.fullmatch(r"\w[\w.-]*", config):
        raise OptionError(f"config is {config!r}, expected a plain folder name such as 'forget_5'.")
    if not rows:
        raise DataError(f"{config}: there is no row to write, expected at least one person.")
    return write_table(rows, _SCHEMAS, Path(directory) / config / "train-00000-of-00001.parquet", config, check)


def _split(source: Path | str, config: str, protocol: Protocol) -> list[Item]:
    return _items(read_mllmu(source, config, images="drawn" if protocol == "official" else "first"))


@benchmark(
    "mllmu",
    style="mllmu",
    ratios=(5, 10, 15),
    measures=("accuracy-mllmu-first-char", "cloze-mllmu-substring", "rougeL-f", "bleu-mllmu"),
    read=_split,
    card=CARD,
)
def mllmu_task(source: Path | str, protocol: Protocol, ratio: int = 5, seed: int = 0) -> Task:
    """MLLMU-Bench: invented people with images, by free question, cloze and choice.

    Official: `forget`, `test` (the same people in Test_Set, one view drawn for each person and form), `retain_shared`
    (retain_(100-N)) and `retain_celebrity` (Retain_Set). The released script draws without a seed; `seed` is ours.
    Honest: fit on forget_N and half of the retained people; test on Test_Set's wordings and views, and on celebrities.
    """
    forget, kept = (_items(read_mllmu(source, name)) for name in (f"forget_{ratio}", f"retain_{100 - ratio}"))
    celebrities = _items(read_mllmu(source, "Retain_Set"))
    tests = _items(read_mllmu(source, "Test_Set", images="drawn", seed=seed))
    people = {item.sample.subject for item in forget}
    mine = [item for item in tests if item.sample.subject in people]
    if protocol == "official":
        named = {
            "forget": Set("forget", forget, "fit"),
            "test": Set("forget", mine),
            "retain_shared": Set("retain", kept, "fit"),
            "retain_celebrity": Set("general", celebrities),
        }
        return Task("mllmu", named, protocol)
    rest = [item for item in tests if item.sample.subject not in people]
    return honest(
        "mllmu", forget, mine, kept, kept_heldout=rest, others={"celebrity": Set("general", celebrities)}, seed=seed
    )


def _items(samples: Sequence[Sample]) -> list[Item]:
    return [Item(sample) for sample in samples]


def _samples(
    row: Record,
    config: str,
    forms: Collection[Form],
    modes: Collection[Modality],
    views: Views,
    seed: int,
    at: str,
) -> Iterator[Sample]:
    name = f"{config}/{row['ID']}"
    images = _images(row, name, at) if "image" in modes else []
    for form in (form for form in get_args(Form) if form in forms):
        shown = list(enumerate(images))
        if views == "drawn" and shown:
            shown = [random.Random(f"view/{seed}/{row['ID']}/{form}").choice(shown)]
        by_modality = {"image": shown[:1] if views == "first" else shown, "text": [(0, None)] * ("text" in modes)}
        for here, place, modality, record, field in _questions(row, form, at):
            question, answer = text(record, "Question", here), text(record, field, here)
            options = lettered(record.get("Options"), here) if form == "classification" else None
            gold = answer if options is None else right_option(options, answer, field, here)
            for view, image in by_modality[modality]:
                id = f"{name}/{form}/{modality}/{place}" + (f"/{view}" if image and "images" in row else "")
                yield Sample(id, row["ID"], question, answer, gold, form, image, options)


def _questions(row: Record, form: Form, at: str) -> Iterator[tuple[str, int, Modality, Record, str]]:
    """Each record that asks in this form: where it is, its place there, its modality, and the field of its answer."""
    if "metadata" in row:
        lists, field = {"metadata": _pairs(text(row, "metadata", at))} if form == "generation" else {}, "Answer"
    elif form == "classification":
        task = row["Classification_Task"]
        lists, field = {} if task is None else mapping(task, "Classification_Task", at), "Correct_Answer"
    else:
        column = "Generation_Task" if form == "generation" else "Mask_Task"
        lists, field = {column: row[column]}, "Ground_Truth"
    # None is a list that this person lacks; an empty list is a mistake.
    for column, found in ((column, found) for column, found in lists.items() if found is not None):
        for place, record in enumerate(records(found, column, at)):
            here = f"{at}, {column}[{place}]"
            kind = text(record, "Type", here) if field == "Ground_Truth" else column.removesuffix("_Questions")
            if kind not in _KINDS:
                reject(here, "Type", kind, "'Image_Textual' or 'Pure_Text'")
            yield here, place, _KINDS[kind], record, field


def _pairs(metadata: str) -> object:
    try:
        return strict_json(metadata) or []
    except ValueError:
        return metadata  # for the check that follows to show


def _images(row: Record, name: str, at: str) -> list[ImageFile]:
    if "images" not in row:
        return [stored_image(row["image"], f"{name}/0", at)]
    found = row["images"]
    if not isinstance(found, list) or not found:
        reject(at, "images", found, "a list of at least one image")
    return [stored_image(image, f"{name}/{view}", at, f"images[{view}]") for view, image in enumerate(found)]
