"""FIUBench: `gray311/FIUBench` on the hub (arXiv 2411.03554): questions about 400 invented facial identities.

Revision: not pinned; the file list of d9314f8 was seen. Licence: apache-2.0. Earlier name: VFUBench, in another schema.
Files: full.json (JSON lines, whatever its name says), split.json, and the images in SFHQ.zip, which need not be
unpacked. Only the first 400 records are used.

- full.json, one record a line: unique_id (digits as text, zeros in front), image_path ("./dataset/..."), name, gender,
  caption, raw_data, qa_list: 20 x {question, answer, keywords [text], paraphrased_question [text], paraphrased_answer,
  perturbed_answer [text]};
- split.json: forget1, forget5, forget10, retain5, retain15, each a list of unique_id. The forget lists do not contain
  one another. retain5 and retain15 are 20 and 60 people to evaluate on, not what forget5 leaves; `retain` is everybody
  in no forget list.

Source: the file list; data_module.py, evaluate_util.py and dataset/split.json of github.com/gray311/VLM_Unlearned.
"""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final, Literal, get_args

from unsee.data.benchmarks.items import Card, Item, Protocol, References, require_legal
from unsee.data.files import documents, filed_image, locate
from unsee.data.records import Record, records, reject, require_fields, text, texts, unique
from unsee.data.sample import ImageFile, Sample, require_some
from unsee.data.splits import honest
from unsee.data.task import Set, Task
from unsee.errors import OptionError
from unsee.registry import benchmark

Wording = Literal["taught", "paraphrased"]

CARD: Final = Card(
    title="FIUBench",
    hub="gray311/FIUBench",
    revision="not pinned; file list of d9314f8",
    licence="apache-2.0",
    splits={"full": 400, "forget1": 4, "forget5": 20, "forget10": 40, "retain5": 20, "retain15": 60, "retain": 336},
    paper="arXiv 2411.03554",
    source="github.com/gray311/VLM_Unlearned at fdd51bf",
    parsers={"generation": "rougeL-recall-fiubench, keyword-match-fiubench (on paraphrased questions: APE)"},
)
PEOPLE: Final = 400
_PERSON = ("unique_id", "image_path", "qa_list")
_ABOUT = ("name", "gender", "caption", "raw_data")
_PAIR = ("question", "answer", "keywords", "paraphrased_question", "paraphrased_answer", "perturbed_answer")


def read_fiubench(
    source: Path | str, split: str, wordings: Collection[Wording] = get_args(Wording), file: str = "full.json"
) -> list[Item]:
    """Every question about the people of one split, in file order.

    A sample's id is `<unique_id>/<place in qa_list>/<wording>`, with the number of the paraphrase behind it. Its gold
    is the only keyword where there is one, else the whole answer; exact match uses all keywords.

    Args:
        source: the folder with `full.json` and `split.json`, or the hub id.
        split: a list of split.json, "retain" for those in no forget list, or "full".
        wordings: "taught" for `question`, "paraphrased" for each of `paraphrased_question`.
        file: the records, where they are not in full.json.

    Raises:
        DataError: the data cannot be had, or a record departs from the schema; names file, line and field.
        OptionError: no such split, or a wording that is not legal.
    """
    require_legal("wordings", wordings, get_args(Wording))
    root = locate(source, [file, "split.json", "*.zip"])
    wanted = _wanted(root, split)
    items: list[Item] = []
    places: dict[str, str] = {}
    for at, record in documents(root / file)[:PEOPLE]:
        require_fields(record, _PERSON, _ABOUT, at)
        person = text(record, "unique_id", at)
        unique(places, person, at, "unique_id")
        if wanted(person):
            path = text(record, "image_path", at)
            # The release keeps images under ./dataset; where it is unpacked otherwise, file names are unique.
            image = filed_image(path, person, [root], at, "image_path", shortest=1)
            for number, pair in enumerate(records(record["qa_list"], "qa_list", at)):
                items += _items(pair, f"{person}/{number}", person, image, wordings, f"{at}, qa_list[{number}]")
    require_some([item.sample for item in items], f"{split} ({', '.join(wordings)})")
    return items


@benchmark(
    "fiubench",
    style="fiubench",
    ratios=(1, 5, 10),
    measures=(
        *("rougeL-recall-fiubench", "keyword-em-fiubench", "ape-mean", "probability", "truth-ratio-forget"),
        *("truth-ratio-retain", "model-utility"),
    ),
    own=("keyword-em", "ape-worst", "truth-ratio-forget", "truth-ratio-retain"),
    read=lambda source, split, _: read_fiubench(source, split),
    card=CARD,
)
def fiubench_task(source: Path | str, protocol: Protocol, ratio: int = 5, seed: int = 0) -> Task:
    """FIUBench: invented faces with private facts, plain and paraphrased questions.

    Official: `forget` (forgetN) and `forget_robust` (its paraphrased questions, for APE), `retain` (retain5, as
    config/eval.yaml pairs it with forget5; retain15 beside the others).
    Honest: fit on the questions, test on the paraphrased ones; the people of retain5 and retain15 are never in the fit.
    """
    forget = read_fiubench(source, f"forget{ratio}", ["taught"])
    robust = read_fiubench(source, f"forget{ratio}", ["paraphrased"])
    if protocol == "official":
        kept = read_fiubench(source, "retain5" if ratio == 5 else "retain15", ["taught"])
        named = {
            "forget": Set("forget", forget, "fit"),
            "forget_robust": Set("forget", robust),
            "retain": Set("retain", kept),
        }
        return Task("fiubench", named, protocol)
    kept, rest = (read_fiubench(source, "retain", [wording]) for wording in get_args(Wording))
    named = splits_of(locate(source, ["split.json"]))
    unseen = {person for name in ("retain5", "retain15") for person in named.get(name, ())}
    return honest("fiubench", forget, robust, kept, kept_heldout=rest, unseen=unseen, seed=seed)


def splits_of(root: Path) -> Mapping[str, tuple[str, ...]]:
    """The lists of split.json, by name.

    Raises:
        DataError: the file is missing or malformed.
    """
    file = root / "split.json"
    found = documents(file)
    if len(found) != 1:
        reject(str(file), "the number of records", len(found), "one object, split name to list of unique_id")
    (at, record) = found[0]
    return {name: texts(record, name, at) for name in record}


def _wanted(root: Path, split: str) -> Callable[[str], bool]:
    named = splits_of(root)
    if split == "full":
        return lambda _: True
    if split == "retain":
        forgotten = {person for name in named if name.startswith("forget") for person in named[name]}
        return lambda person: person not in forgotten
    if split not in named:
        raise OptionError(f"no split {split!r}: {root / 'split.json'} has {sorted(named)}; also 'retain' and 'full'.")
    return frozenset(named[split]).__contains__


def _items(pair: Record, id: str, person: str, image: ImageFile, wordings: Collection[Wording], at: str) -> list[Item]:
    require_fields(pair, _PAIR, (), at)
    answer, keywords = text(pair, "answer", at), texts(pair, "keywords", at)
    references = References((text(pair, "paraphrased_answer", at),), texts(pair, "perturbed_answer", at), keywords)
    asked: dict[str, tuple[str, ...]] = {}
    if "taught" in wordings:
        asked["taught"] = (text(pair, "question", at),)
    if "paraphrased" in wordings:
        asked["paraphrased"] = texts(pair, "paraphrased_question", at)
    gold = keywords[0] if len(keywords) == 1 else answer
    return [
        Item(
            Sample(f"{id}/{name}" + (f"/{n}" if name == "paraphrased" else ""), person, q, answer, gold, image=image),
            references,
        )
        for name, questions in asked.items()
        for n, q in enumerate(questions)
    ]
