"""Your own questions as plain text: `data.jsonl`, one JSON object a line, with images beside it in `images/`.

Only `subject`, `question` and `answer` are needed.
"""

import json
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import cast

from unsee.data.images import header
from unsee.data.messages import llava_turns, openai_turns, to_openai
from unsee.data.records import Record, lettered, reject, strict_json, text
from unsee.data.sample import Form, ImageFile, Sample, Turn, require_some
from unsee.errors import DataError, SaveError

FILE_NAME = "data.jsonl"
_FIELDS = ("id", "subject", "question", "answer", "gold", "form", "image", "options", "video", "role")
_CHATS = ("messages", "conversations")


def read_jsonl(path: Path | str) -> list[Sample]:
    """Read `data.jsonl`, or the folder that holds it.

    `gold` is the accepted wording or a list of them, by default the text of the right option, or else the answer;
    `form` is "generation"; `id` is `line-<number>`. Ids and subjects are taken in Unicode's NFC, without blanks around
    them; case tells them apart. `image` is a path relative to the file's folder; `video`, in its place, a list of such
    paths: the frames in the order of time. Images are decoded only when they are used.

    Args:
        path: a `.jsonl` file or a folder with a `data.jsonl`.

    Raises:
        DataError: names line, field, got and expected.
    """
    file = Path(path) / FILE_NAME if Path(path).is_dir() else Path(path)
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {file}: {error}. Expected UTF-8 text, one JSON object a line.") from error
    samples: list[Sample] = []
    lines_of: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        at = f"{file}, line {number}"
        sample = _sample(_record(line, at), f"line-{number}", file.parent, at)
        if (first := lines_of.setdefault(sample.id, at)) != at:
            reject(at, "id", sample.id, f"an id of its own ({first} has the same)")
        samples.append(sample)
    require_some(samples, str(file))
    return samples


def write_jsonl(samples: Sequence[Sample], directory: Path | str) -> Path:
    """Write samples to `<directory>/data.jsonl` and their images, named by content, to `<directory>/images`.

    Reading them back gives the same samples, but for where their images lie. An older `data.jsonl` is replaced.

    Raises:
        DataError: there is no sample, or two have the same id.
        ImageError: an image cannot be read; nothing has been written.
        SaveError: the files could not be written.
    """
    require_some(samples, "samples to write")
    if len({sample.id for sample in samples}) < len(samples):
        raise DataError(f"{len(samples)} samples share {len({s.id for s in samples})} ids. Give each an id of its own.")
    shown = [image for s in samples for image in s.shown]
    images = {image: _encoded(image) for image in shown}
    file = Path(directory) / FILE_NAME
    part = file.with_suffix(".part")
    try:
        (file.parent / "images").mkdir(parents=True, exist_ok=True)
        for name, data in images.values():
            (file.parent / name).write_bytes(data)
        with part.open("w", encoding="utf-8", newline="\n") as stream:
            for sample in samples:
                still = None if sample.image is None else images[sample.image][0]
                video = [images[frame][0] for frame in sample.video] or None
                fields = _fields(sample, still, video)
                if sample.turns:
                    del fields["question"]
                    fields.pop("image", None)
                    fields["messages"] = to_openai(sample.turns, lambda image: images[image][0])
                stream.write(json.dumps(fields, ensure_ascii=False) + "\n")
        os.replace(part, file)
    except OSError as error:
        raise SaveError(f"cannot write {file}: {error}. Check the folder's rights and the free space.") from error
    return file


def _record(line: str, at: str) -> Record:
    try:
        record = strict_json(line)
    except ValueError as error:
        reject(at, "the line", line, f"one JSON object with subject, question and answer ({error})")
    if not isinstance(record, dict):
        reject(at, "the line", record, "one JSON object with subject, question and answer")
    if unknown := sorted(set(record) - {*_FIELDS, *_CHATS}):
        reject(at, "the name of a field", unknown[0], f"one of {[*_FIELDS, *_CHATS]}")
    if len(shapes := [name for name in ("question", *_CHATS) if record.get(name) is not None]) > 1:
        reject(at, "the question", shapes, "one of these fields and no more")
    return record


def _sample(record: Record, default_id: str, folder: Path, at: str) -> Sample:
    turns, record = _turns(record, folder, at)
    # A question that is to be refused has no answer; one that is there must say something.
    answer = text(record, "answer", at) if record.get("answer") is not None else ""
    options = {} if record.get("options") is None else lettered(record["options"], at)
    default = {"id": default_id, "gold": options.get(answer, answer), "form": "generation"}
    given = {**default, **{field: value for field, value in record.items() if value is not None}}
    # Two spellings of one letter would otherwise be two people.
    key, subject = (unicodedata.normalize("NFC", text(given, field, at).strip()) for field in ("id", "subject"))
    question = text(given, "question", at)
    gold, *aliases = _golds(given, at) if answer or record.get("gold") is not None else [""]
    # Sample itself refuses any other form.
    form = cast(Form, text(given, "form", at))
    seen = [part for turn in turns for part in turn.parts if isinstance(part, ImageFile)]
    image = _image(text(given, "image", at), folder, at, "image") if "image" in given else next(iter(seen), None)
    video = _video(given["video"], folder, at) if "video" in given else ()
    try:
        made = Sample(key, subject, question, answer, gold, form, image, options or None, video=video)
        role = text(given, "role", at) if "role" in given else None
        return replace(made, aliases=tuple(aliases), role=role, turns=turns)
    except DataError as error:
        raise DataError(f"{at}: {error}") from error


def _turns(record: Record, folder: Path, at: str) -> tuple[tuple[Turn, ...], Record]:
    """The turns of a chat up to the question, and the record as a flat one would have it."""

    def opened(name: str, field: str) -> ImageFile:
        return _image(name, folder, at, field)

    if record.get("messages") is not None:
        if record.get("image") is not None or record.get("video") is not None:
            reject(at, "image or video", "beside messages", "images inside the messages, as image_url parts")
        turns = openai_turns(record["messages"], opened, at)
    elif record.get("conversations") is not None:
        turns = llava_turns(record["conversations"], record.get("image"), opened, at)
    else:
        return (), record
    # Shapes of training data end in the answer, those of requests in the question.
    last = turns.pop() if turns[-1].role == "assistant" else None
    if not turns or turns[-1].role != "user" or not turns[-1].text:
        reject(at, "the last question", turns[-1].role if turns else None, "a turn of the user with some text")
    kept = {name: value for name, value in record.items() if name not in (*_CHATS, "image")}
    taught = {"answer": last.text} if last is not None and record.get("answer") is None else {}
    return tuple(turns), {**kept, "question": turns[-1].text, **taught}


def _golds(given: Record, at: str) -> list[str]:
    gold = given["gold"]
    if not isinstance(gold, list):
        return [text(given, "gold", at)]
    if not gold:
        reject(at, "gold", gold, "some text, or a list of at least one accepted wording")
    return [text({f"gold[{n}]": words}, f"gold[{n}]", at) for n, words in enumerate(gold)]


def _video(names: object, folder: Path, at: str) -> tuple[ImageFile, ...]:
    if not isinstance(names, list) or not names:
        reject(at, "video", names, "a list of the frames' files, in the order of time")
    frames = ((f"frame {number} of the video", name) for number, name in enumerate(names, start=1))
    return tuple(_image(text({field: name}, field, at), folder, at, field) for field, name in frames)


def _image(name: str, folder: Path, at: str, field: str) -> ImageFile:
    place = folder / name
    try:
        inside = place.resolve().is_relative_to(folder.resolve()) and not Path(name).is_absolute()
        found = place.is_file()
    except (OSError, ValueError):
        # A name that no file system takes: too long, or with a zero byte.
        inside, found = True, False
    if not inside:
        reject(at, field, name, f"a relative path inside {folder}, links followed")
    if not found:
        reject(at, field, name, f"a file that exists in {folder}")
    return ImageFile(name, place)


def _encoded(image: ImageFile) -> tuple[str, bytes]:
    image.load()
    data = image.source if isinstance(image.source, bytes) else image.source.read_bytes()
    form = header(data, image.id).format
    suffix = "jpeg" if form == "MPO" else form.lower()
    return f"images/{sha256(data).hexdigest()[:16]}.{suffix}", data


def _fields(sample: Sample, image: str | None, video: list[str] | None) -> dict[str, object]:
    every = {
        "id": sample.id,
        "subject": sample.subject,
        "question": sample.question,
        "answer": sample.answer,
        "gold": [sample.gold, *sample.aliases] if sample.aliases else sample.gold,
        "form": sample.form,
        "image": image,
        "options": sample.options,
        "video": video,
        "role": sample.role,
    }
    return {field: value for field, value in every.items() if value not in (None, "")}
