"""OFFSIDE: `zh1218001/OFFSIDE` on the hub (arXiv 2510.22535): rumours about 80 football players, 8 images each.

Revision: not pinned, none was seen. Licence: not stated in the release. These are real people: nothing of it is shown
or shipped here. Published: 15.68k questions, half of them without image; images are split by their number mod 5.

A file is one JSON list, its images in folders beside it. Two kinds of record, one kind a file:

- messages [{role: user, content}, {role: assistant, content}], images: a path such as "./finetune_set/006.jpg";
  the content begins with "<image>" and a line break, and may contain "<image>" once more inside the sentence;
- Question, Options {A..D}, Correct_Answer, images or image.

Files without any `images` are asked without images. Seen in the release: train_data.json (the same as finetune_set),
forget_set_part.json, retain_set.json, classification_forget_set.json; the hub's complete list was not readable.

The player is not a field. An image's subject is the name that its own answers give ("The player in the image is X."),
as a pseudonym; an image that nobody names is a subject of its own. Where the published split by number puts a player
into both retain and forget, the honest protocol leaves the retained questions about that player out and counts them.

Source: train_data.json, MLLM_finetune.py, eval/eval_classi.py (90f5ac6) and eval/eval_generation.py (22bd829) of
github.com/zh121800/OFFSIDE.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from unsee.data.benchmarks.items import Card, Item, Protocol
from unsee.data.files import chosen, documents, filed_image, locate
from unsee.data.records import Record, lettered, pseudonym, records, reject, require_fields, right_option, text
from unsee.data.sample import ImageFile, Sample, require_some
from unsee.data.splits import honest
from unsee.data.task import Role, Set, Task
from unsee.registry import benchmark

CARD: Final = Card(
    title="OFFSIDE",
    hub="zh1218001/OFFSIDE",
    revision="not pinned",
    licence="not stated",
    splits=dict.fromkeys(("finetune_set", "forget_set_part", "retain_set", "classification_forget_set"), 0),
    paper="arXiv 2510.22535",
    source="github.com/zh121800/OFFSIDE at 90f5ac6",
    parsers={"classification": "offside-pattern", "generation": "bleu-offside, rouge1-f, rouge2-f, rougeL-f"},
)
MARKER: Final = "<image>"
_ROLES: Final[dict[str, Role]] = {
    "forget_set": "forget",
    "forget_set_part": "forget",
    "classification_forget_set": "forget",
    "retain_set": "retain",
    "finetune_set": "retain",
}
"""Of the released files; another file's is not known."""
_TAUGHT, _CHOICE = ("messages",), ("Question", "Options", "Correct_Answer")
_SHOWN = ("images", "image")
_NAMED = re.compile(r"(?:The player in (?:the|this) image is|The player's name is) (\S.*?)\.?")


def read_offside(source: Path | str, split: str, protocol: Protocol = "honest") -> list[Item]:
    """Every question of one file, in its order.

    A sample's id is `<split>/<record>`. The leading "<image>" stands for the image and is cut off.

    Args:
        source: the folder with the JSON files and their images, or the hub id.
        split: name of the file without `.json`.
        protocol: "official" keeps a further "<image>" inside a sentence, which the release sends as plain characters;
            "honest" cuts it out, since most models would take it for a second image.

    Raises:
        DataError: the data cannot be had, or a record departs from the schema; names file, record and field.
        OptionError: no such file, or unknown protocol.
    """
    root = locate(source, [f"{split}.json", "*/*.jpg", "*/*.png", "*/*.jpeg", "*.zip"])
    found = documents(chosen(split, {file.stem: file for file in root.glob("*.json")}, source))
    # In a file of plain text nothing has an image; where one record has one, each needs it.
    with_images = any(name in record for _, record in found for name in _SHOWN)
    shown: dict[str, ImageFile] = {}
    asked: list[tuple[str, Sample]] = []
    for number, (at, record) in enumerate(found):
        path = text(record, next((name for name in _SHOWN if name in record), "images"), at) if with_images else ""
        if path not in shown and path:
            shown[path] = filed_image(path, _stem(path), [root], at, "images")
        asked.append((path, _sample(record, f"{split}/{number}", shown.get(path), protocol, at)))
    players = _players(asked)
    items = [Item(replace(sample, subject=players.get(path) or _stem(path) or "text")) for path, sample in asked]
    require_some([item.sample for item in items], split)
    return items


@benchmark(
    "offside",
    style="offside",
    measures=("accuracy-offside-pattern", "bleu-offside", "rouge1-f", "rouge2-f", "rougeL-f"),
    read=read_offside,
    card=CARD,
)
def offside_task(source: Path | str, protocol: Protocol, ratio: int = 5, seed: int = 0) -> Task:
    """OFFSIDE: rumours about football players.

    Official: every JSON file of the folder, under its name. Honest: `forget_set` (or `forget_set_part`) to fit,
    `classification_forget_set` to test, `retain_set` split by player; players of the forget set are left out of it.
    """
    root = locate(source, ["*.json", "*/*.jpg", "*/*.png", "*/*.jpeg", "*.zip"])
    here = sorted(file.stem for file in root.glob("*.json"))
    if protocol == "official":
        named = {name: Set(_ROLES.get(name, "unlabelled"), read_offside(root, name, protocol)) for name in here}
        return Task("offside", named, protocol)
    forget = next((name for name in ("forget_set", "forget_set_part") if name in here), "forget_set")
    fit = read_offside(root, forget)
    heldout, kept = read_offside(root, "classification_forget_set"), read_offside(root, "retain_set")
    # Multiple choice names nobody: the images that it shares with the forget set say whom it is about.
    player = {item.sample.image.id: item.sample.subject for item in (*kept, *fit) if item.sample.image}
    mine = (player.get(i.sample.image.id if i.sample.image else "", i.sample.subject) for i in heldout)
    heldout = [Item(replace(i.sample, subject=subject)) for i, subject in zip(heldout, mine, strict=True)]
    return honest("offside", fit, heldout, kept, shared="leave out", seed=seed)


def _sample(record: Record, id: str, image: ImageFile | None, protocol: Protocol, at: str) -> Sample:
    if "messages" not in record:
        require_fields(record, _CHOICE, _SHOWN, at)
        options, answer = lettered(record["Options"], at), text(record, "Correct_Answer", at)
        gold = right_option(options, answer, "Correct_Answer", at)
        question = _cleaned(text(record, "Question", at), protocol)
        return Sample(id, "", question, answer, gold, "classification", image, options)
    require_fields(record, _TAUGHT, _SHOWN, at)
    turns = records(record["messages"], "messages", at)
    if [turn.get("role") for turn in turns] != ["user", "assistant"]:
        reject(at, "messages", [turn.get("role") for turn in turns], "one turn of the user and one of the assistant")
    question = text(turns[0], "content", f"{at}, messages[0]")
    if (image is None) == question.startswith(MARKER):
        reject(at, "images", record.get("images"), f"an image where the question begins with {MARKER}, and only there")
    answer = text(turns[1], "content", f"{at}, messages[1]")
    return Sample(id, "", _cleaned(question, protocol), answer, answer, image=image)


def _cleaned(question: str, protocol: Protocol) -> str:
    rest = question.removeprefix(MARKER).lstrip("\n")
    return rest if protocol == "official" else " ".join(rest.replace(MARKER, " ").split())


def _players(asked: Sequence[tuple[str, Sample]]) -> Mapping[str, str]:
    """Path of an image to the pseudonym of the player that one of its own answers names."""
    named = ((path, _NAMED.fullmatch(sample.answer)) for path, sample in asked if path)
    # "The player in the image is celebrating." names nobody.
    return {path: pseudonym("player", found[1]) for path, found in named if found and found[1][0].isupper()}


def _stem(path: str) -> str:
    return "/".join(path.replace("\\", "/").split("/")[-2:]).rpartition(".")[0]
