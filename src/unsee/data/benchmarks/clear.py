"""CLEAR: `therem/CLEAR` on the hub (arXiv 2410.18057): authors of TOFU with generated images.

Revision: not pinned; the card at 2e1fcda was read. Licence: not stated on the card. The code names the data set by its
earlier id, `therem/faces_v1`. A config is a folder of parquet files with one split, `train`; `default` lies in `data`.
`forget10_perturbed` has 378 rows and `forget10` 379: rows of two configs are never joined by their number.

Columns, by family of configs:

- plain (full, forgetNN, retainNN): image {bytes, path}, caption, name;
- `+tofu`: image (null in a row of text), caption, question, answer: the text rows are TOFU's questions;
- `_perturbed`: image, caption, name, perturbed_captions [text], paraphrased_caption, perturbed_names [text];
- real_faces, real_world: image, question, answer, options [text], which are the wrong answers.

Source: the card; mm/dataset.py and config/mm/eval.yaml of github.com/somvy/multimodal_unlearning; for the variant with
multiple choice CLEAR_eval.py and CLEAR_eval.sh of github.com/Z1zs/MMUnlearner.
"""

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from string import ascii_uppercase
from typing import Final, Literal, get_args

import pyarrow as pa

from unsee.data.benchmarks.items import Card, Item, Protocol, References, require_legal
from unsee.data.files import chosen, locate
from unsee.data.parquet import IMAGE, shards, table
from unsee.data.records import Record, pseudonym, reject, stored_image, text, texts
from unsee.data.sample import ImageFile, Sample, require_some
from unsee.data.splits import UNASSIGNED, alternate, honest
from unsee.data.task import Set, Task
from unsee.registry import benchmark

Asked = Literal["caption", "name", "question", "choice"]

CARD: Final = Card(
    title="CLEAR",
    hub="therem/CLEAR",
    revision="not pinned; card of 2e1fcda",
    licence="not stated",
    splits={
        **{"default": 3768, "full": 3768, "full+tofu": 7768, "retain_perturbed": 395, "real_faces": 151},
        **{"real_world": 367, "forget01": 35, "forget01+tofu": 75, "forget01_perturbed": 35, "forget05": 188},
        **{"forget05+tofu": 388, "forget05_perturbed": 188, "forget10": 379, "forget10+tofu": 779},
        # The hub's viewer shows these rounded, and 3.74k and 7.7k for the last two, which no sum explains.
        **{"forget10_perturbed": 378, "retain90": 3389, "retain90+tofu": 6989, "retain95": 3580},
        **{"retain95+tofu": 7380, "retain99": 0, "retain99+tofu": 0},
    },
    paper="arXiv 2410.18057",
    source="github.com/somvy/multimodal_unlearning, github.com/Z1zs/MMUnlearner",
    parsers={"generation": "rouge1-recall, rougeL-recall", "classification": "mmunlearner-first-alphanumeric"},
)
CAPTION_QUESTIONS: Final = (
    "What can you see in this picture?",
    "Tell me about the content of this image",
    "Can you give a description of the image?",
    "What is depicted in the image?",
    "Explain what you observe in the picture.",
    "Describe the image in detail.",
    "What is the main subject of this image?",
    "Can you describe the scene or objects in the image?",
    "What is happening in this image?",
)
"""Asked for a caption, one drawn each time. Source: IMAGE_CAPTION_QUESTIONS of mm/dataset.py, in its order."""
NAME_STEM: Final = "The name of the person on the image is "
NAME_QUESTION: Final = "What is the name of the person in the image?"
_SHOWN: Final = 300  # ds_size of config/mm/eval.yaml
_MANY = pa.list_(pa.string())
SCHEMAS: Final = tuple(
    pa.schema({name: IMAGE if name == "image" else _MANY if name in lists else pa.string() for name in names})
    for names, lists in (
        (("image", "caption", "name"), ()),
        (("image", "caption", "question", "answer"), ()),
        (
            ("image", "caption", "name", "perturbed_captions", "paraphrased_caption", "perturbed_names"),
            ("perturbed_captions", "perturbed_names"),
        ),
        (("image", "question", "answer", "options"), ("options",)),
    )
)


def read_clear(
    source: Path | str, config: str, tasks: Collection[Asked] = get_args(Asked), seed: int | None = None
) -> list[Item]:
    """Every question of one config, row by row; a row asks in each of the tasks that its columns allow.

    - `caption`: the image described; the leak is the name, where the config has it. References of `_perturbed`.
    - `name`: the name, as the stem that the release gives to be completed. References of `_perturbed`.
    - `question`: TOFU's questions, and those of real_faces and real_world with their wrong options as references.
    - `choice`: MMUnlearner's variant, the true name or answer put among the wrong ones at a place drawn with seed 42.

    A sample's id is `<config>/<row>/<task>`. Its subject is a pseudonym of the name; a row of `+tofu` belongs to the
    one author of the same set whose name it mentions, else to nobody ("unassigned").

    Args:
        source: the folder that holds the configs, or the hub id.
        config: such as `forget10_perturbed`, `forget10+tofu` or `real_faces`.
        tasks: which to ask.
        seed: draws the wording of caption questions as the release does unseeded; None takes them in turn.

    Raises:
        DataError: the data cannot be had, or a row departs from the schema; names file, row, field, got and expected.
        OptionError: no such config, or a task that is not legal.
    """
    require_legal("tasks", tasks, get_args(Asked))
    plain = config.removesuffix("+tofu")
    root = locate(source, [f"{_folder(name)}/*.parquet" for name in dict.fromkeys((config, plain))])
    here = {_config(file.parent.name): file.parent for file in root.glob("*/*.parquet")}
    folder = chosen(config, here, source)
    names = _names(here[plain]) if plain != config and plain in here else {}
    # One stream over the whole file, as the release seeds it once and draws row by row.
    places, wordings = random.Random(42), random.Random(f"caption/{seed}")
    items = []
    for number, (at, row) in enumerate(table(shards(folder), [schema.names for schema in SCHEMAS])):
        turn = number % len(CAPTION_QUESTIONS) if seed is None else wordings.randrange(len(CAPTION_QUESTIONS))
        items += [i for i in _items(row, f"{config}/{number}", names, places, turn, at) if _task(i) in tasks]
    require_some([item.sample for item in items], f"{config} ({', '.join(tasks)})")
    return items


@benchmark(
    "clear",
    style="clear",
    ratios=(1, 5, 10),
    measures=(
        *("rouge1-recall", "rougeL-recall", "probability", "truth-ratio-forget", "truth-ratio-retain"),
        *("model-utility", "js-distance-clear-weights"),
    ),
    own=("truth-ratio-forget", "truth-ratio-retain"),
    read=lambda source, split, _: read_clear(source, split, ["caption", "name", "question"]),
    card=CARD,
)
def clear_task(source: Path | str, protocol: Protocol, ratio: int = 5, seed: int = 0) -> Task:
    """CLEAR: invented authors with faces, captions and TOFU's questions.

    Official: the six tasks of the released evaluation, the first 300 rows of each: `real_faces`, `real_world`,
    `eval_log_forget`, `eval_log` (captions of retain_perturbed), `eval_forget_facerec`, `eval_retain_facerec`.
    Honest: half of each forgotten author's images and TOFU questions to fit, the other half to test; the authors of
    retain_perturbed are never in the fit; `celebrity` is real_faces, `knowledge` real_world.
    """
    perturbed = f"forget{ratio:02d}_perturbed"

    def asked(config: str, *tasks: Asked) -> list[Item]:
        return read_clear(source, config, tasks, seed)

    if protocol == "official":
        # Face recognition asks real faces by the stem too, whatever their own question says (config/mm/eval.yaml).
        real = asked("real_faces", "question")[:_SHOWN]
        faces = [replace(item, sample=replace(item.sample, question=NAME_STEM)) for item in real]
        named = {
            "real_faces": Set("general", faces),
            "real_world": Set("general", asked("real_world", "question")[:_SHOWN]),
            "eval_log_forget": Set("forget", asked(perturbed, "caption")[:_SHOWN], "fit"),
            "eval_log": Set("retain", asked("retain_perturbed", "caption")[:_SHOWN]),
            "eval_forget_facerec": Set("forget", asked(perturbed, "name")[:_SHOWN], "fit"),
            "eval_retain_facerec": Set("retain", asked("retain_perturbed", "name")[:_SHOWN]),
        }
        return Task("clear", named, protocol)
    own = asked(f"forget{ratio:02d}+tofu", "question") + asked(perturbed, "caption", "name", "choice")
    fit, heldout = alternate(own)
    tests = asked("retain_perturbed", "caption", "name", "choice")
    others = {
        "celebrity": Set("general", asked("real_faces", "question")),
        "knowledge": Set("general", asked("real_world", "question")),
    }
    unseen = {item.sample.subject for item in tests}
    kept = asked(f"retain{100 - ratio}", "caption", "name")
    # Once each: an author of the tests is asked in the words of the tests.
    kept = [item for item in kept if item.sample.subject not in unseen] + tests
    return honest("clear", fit, heldout, kept, unseen=unseen, others=others, seed=seed)


def _items(row: Record, id: str, names: Mapping[str, str], places: random.Random, turn: int, at: str) -> Iterator[Item]:
    if "options" in row:
        yield from _real(row, id, places, at)
        return
    if row["image"] is None and "question" in row:
        question, answer = text(row, "question", at), text(row, "answer", at)
        yield Item(Sample(f"{id}/question", _mentioned(names, question, answer), question, answer, answer))
        return
    image, caption = stored_image(row["image"], id, at), text(row, "caption", at)
    name = text(row, "name", at) if "name" in row else None
    subject = _mentioned(names, caption) if name is None else pseudonym("author", name)
    wrong = {"caption": (), "name": ()}
    told: tuple[str, ...] = ()
    if "perturbed_names" in row:
        told = (text(row, "paraphrased_caption", at),)
        wrong = {"caption": texts(row, "perturbed_captions", at), "name": texts(row, "perturbed_names", at)}
    ask = CAPTION_QUESTIONS[turn]
    sample = Sample(f"{id}/caption", subject, ask, caption, name or caption, image=image)
    yield Item(sample, References(told, wrong["caption"]))
    if name is not None:
        sample = Sample(f"{id}/name", subject, NAME_STEM, name, name, image=image)
        yield Item(sample, References(perturbed=wrong["name"]))
    if name is not None and wrong["name"]:
        yield Item(_choice(f"{id}/choice", subject, NAME_QUESTION, name, wrong["name"], image, places, at))


def _real(row: Record, id: str, places: random.Random, at: str) -> Iterator[Item]:
    image = stored_image(row["image"], id, at)
    question, answer = text(row, "question", at), text(row, "answer", at)
    wrong, subject = texts(row, "options", at), pseudonym("real", answer)
    sample = Sample(f"{id}/question", subject, question, answer, answer, image=image)
    yield Item(sample, References(perturbed=wrong))
    yield Item(_choice(f"{id}/choice", subject, question, answer, wrong, image, places, at))


def _choice(
    id: str, subject: str, ask: str, right: str, wrong: Sequence[str], image: ImageFile, places: random.Random, at: str
) -> Sample:
    """As MMUnlearner does: `options.insert(random.randint(0, len(options)), answer)`, then the first that is right."""
    options = list(wrong)
    options.insert(places.randint(0, len(options)), right)
    if len(options) > len(ascii_uppercase):
        reject(at, "the number of options", len(options), f"at most {len(ascii_uppercase)}")
    lettered = dict(zip(ascii_uppercase, options, strict=False))
    return Sample(id, subject, ask, ascii_uppercase[options.index(right)], right, "classification", image, lettered)


def _names(folder: Path) -> dict[str, str]:
    """Names of a plain config, to their pseudonyms."""
    rows = table(shards(folder), [schema.names for schema in SCHEMAS])
    return {name: pseudonym("author", name) for name in (text(row, "name", at) for at, row in rows)}


def _mentioned(names: Mapping[str, str], *words: str) -> str:
    said = " ".join(words).casefold()
    fits = {pseudonym for name, pseudonym in names.items() if name.casefold() in said}
    return fits.pop() if len(fits) == 1 else UNASSIGNED


def _task(item: Item) -> str:
    return item.sample.id.rpartition("/")[2]


def _folder(config: str) -> str:
    return "data" if config == "default" else config


def _config(folder: str) -> str:
    return "default" if folder == "data" else folder
