"""Your own questions as plain text: `data.jsonl`, one JSON object a line, with images beside it in `images/`.

Only `subject`, `question` and `answer` are needed.
"""

import json
import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from unsee.data.images import header
from unsee.data.messages import llava_turns, openai_turns, to_openai
from unsee.data.records import Record, lettered, reject, stored_image, strict_json, text, unique
from unsee.data.sample import ImageFile, Sample, Turn, require_some
from unsee.data.video import SUFFIXES, frames_of
from unsee.errors import DataError, SaveError

FILE_NAME = "data.jsonl"
_CHATS = ("messages", "conversations")
FIELDS = (
    *("id", "subject", "question", "answer", "gold", "form", "image", "images", "options", "video", "role"),
    *_CHATS,
)


def read_jsonl(path: Path | str) -> list[Sample]:
    """Read `data.jsonl`, or the folder that holds it.

    `gold` is the accepted wording or a list of them, by default the text of the right option, or else the answer;
    `form` is "generation"; `id` is `line-<number>`. Ids and subjects are taken in Unicode's NFC, without blanks around
    them; case tells them apart. `image` is a path relative to the file's folder, `images` a list of them; `video`, in
    their place, a video file or a list of frames in the order of time. Images are decoded only when they are used.

    Raises:
        DataError: names line, field, got and expected.
        OptionError: a video file, without the library that reads it.
    """
    file = Path(path) / FILE_NAME if Path(path).is_dir() else Path(path)
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {file}: {error}. Expected UTF-8 text, one JSON object a line.") from error
    samples = samples_of(_records(lines, file), file.parent)
    require_some(samples, str(file))
    return samples


def samples_of(records: Iterable[tuple[str, str, Record]], folder: Path | None) -> list[Sample]:
    """Samples of records in our own fields, each given with where it is and the id that it has by default.

    Paths start from the folder; without one, images have to be inside the records.

    Raises:
        DataError: names the record, field, got and expected.
    """
    samples: list[Sample] = []
    places: dict[str, str] = {}
    for at, default_id, record in records:
        if unknown := sorted(set(record) - {*FIELDS}):
            reject(at, "the name of a field", unknown[0], f"one of {[*FIELDS]}")
        if len(shapes := [name for name in ("question", *_CHATS) if record.get(name) is not None]) > 1:
            reject(at, "the question", shapes, "one of these fields and no more")
        sample = _sample(record, default_id, folder, at)
        unique(places, sample.id, at, "id")
        samples.append(sample)
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
    images = {image: _encoded(image) for sample in samples for image in sample.shown}
    file = Path(directory) / FILE_NAME
    part = file.with_suffix(".part")
    try:
        (file.parent / "images").mkdir(parents=True, exist_ok=True)
        for name, data in images.values():
            (file.parent / name).write_bytes(data)
        lines = (json.dumps(_fields(sample, images), ensure_ascii=False) + "\n" for sample in samples)
        part.write_text("".join(lines), encoding="utf-8", newline="\n")
        os.replace(part, file)
    except OSError as error:
        raise SaveError(f"cannot write {file}: {error}. Check the folder's rights and the free space.") from error
    return file


def _records(lines: Sequence[str], file: Path) -> Iterator[tuple[str, str, Record]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        at, expected = f"{file}, line {number}", "one JSON object with subject, question and answer"
        try:
            record = strict_json(line)
        except ValueError as error:
            reject(at, "the line", line, f"{expected} ({error})")
        if not isinstance(record, dict):
            reject(at, "the line", record, expected)
        yield at, f"line-{number}", record


def _sample(record: Record, default_id: str, folder: Path | None, at: str) -> Sample:
    turns, record = _turns(record, folder, at)
    # A question that is to be refused has no answer; one that is there must say something.
    answer = text(record, "answer", at) if record.get("answer") is not None else ""
    options = {} if record.get("options") is None else lettered(record["options"], at)
    default = {"id": default_id, "gold": options.get(answer, answer), "form": "generation"}
    given = {**default, **{field: value for field, value in record.items() if value is not None}}
    # Two spellings of one letter would otherwise be two people.
    key, subject = (unicodedata.normalize("NFC", text(given, field, at).strip()) for field in ("id", "subject"))
    gold, *aliases = _golds(given, at) if answer or record.get("gold") is not None else [""]
    seen = [part for turn in turns for part in turn.parts if isinstance(part, ImageFile)]
    try:
        return Sample(
            id=key,
            subject=subject,
            question=text(given, "question", at),
            answer=answer,
            gold=gold,
            form=text(given, "form", at),  # pyright: ignore[reportArgumentType]  Sample refuses any other
            image=_image(given["image"], folder, at, "image") if "image" in given else next(iter(seen), None),
            options=options or None,
            video=_video(given["video"], folder, at) if "video" in given else (),
            aliases=tuple(aliases),
            role=text(given, "role", at) if "role" in given else None,
            turns=turns,
        )
    except DataError as error:
        raise error if str(error).startswith(at) else DataError(f"{at}: {error}") from error


def _turns(record: Record, folder: Path | None, at: str) -> tuple[tuple[Turn, ...], Record]:
    """The turns of a chat up to the question, and the record as a flat one would have it."""
    named = record.get("images")
    shown = (
        [] if named is None else named if isinstance(named, list) else reject(at, "images", named, "a list of images")
    )
    if not shown and not any(record.get(name) is not None for name in _CHATS):
        return (), record
    if record.get("video") is not None or (shown and record.get("image") is not None):
        reject(at, "image or video", "beside others", "images in one field or inside the messages, and no video there")
    if record.get("image") is not None:
        shown = record["image"] if isinstance(record["image"], list) else [record["image"]]
    images = [_image(one, folder, at, f"images[{n}]" if named else "image") for n, one in enumerate(shown)]
    if record.get("messages") is not None:
        turns = openai_turns(record["messages"], images, lambda url, field: _image(url, folder, at, field), at)
    elif record.get("conversations") is not None:
        turns = llava_turns(record["conversations"], images, at)
    else:
        turns = [Turn("user", (*images, text(record, "question", at)))]
    # Shapes of training data end in the answer, those of requests in the question.
    last = turns.pop() if turns[-1].role == "assistant" else None
    if not turns or turns[-1].role != "user" or not turns[-1].text:
        reject(at, "the last question", turns[-1].role if turns else None, "a turn of the user with some text")
    kept = {name: value for name, value in record.items() if name not in (*_CHATS, "image", "images")}
    taught = {"answer": last.text} if last is not None and record.get("answer") is None else {}
    return tuple(turns), {**kept, "question": turns[-1].text, **taught}


def _golds(given: Record, at: str) -> list[str]:
    gold = given["gold"]
    if not isinstance(gold, list):
        return [text(given, "gold", at)]
    if not gold:
        reject(at, "gold", gold, "some text, or a list of at least one accepted wording")
    return [text({f"gold[{n}]": words}, f"gold[{n}]", at) for n, words in enumerate(gold)]


def _video(given: object, folder: Path | None, at: str) -> tuple[ImageFile, ...]:
    if isinstance(given, str) and given.lower().endswith(SUFFIXES):
        return frames_of(_inside(given, folder, at, "video"), given)
    if isinstance(given, Mapping) and isinstance(given.get("bytes"), bytes):  # the `Video` feature of `datasets`
        return frames_of(given["bytes"], str(given.get("path") or "video"))
    if not isinstance(given, list) or not given:
        reject(at, "video", given, f"a video file ({', '.join(SUFFIXES)}), or a list of frames in the order of time")
    return tuple(_image(one, folder, at, f"frame {n} of the video") for n, one in enumerate(given, start=1))


def _image(given: object, folder: Path | None, at: str, field: str) -> ImageFile:
    if isinstance(given, Mapping | bytes):  # the `Image` feature of `datasets`
        named = given.get("path") if isinstance(given, Mapping) else None
        return stored_image(given, str(named or f"{field} of {at.rpartition(', ')[2]}"), at, field)
    name = text({field: given}, field, at)
    return ImageFile(name, _inside(name, folder, at, field))


def _inside(name: str, folder: Path | None, at: str, field: str) -> Path:
    if folder is None:
        reject(at, field, name, "the bytes of the file, as the Image and Video features of datasets keep them")
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
    return place


def _encoded(image: ImageFile) -> tuple[str, bytes]:
    image.load()
    form = header(image.encoded, image.id).format
    suffix = "jpeg" if form == "MPO" else form.lower()
    return f"images/{sha256(image.encoded).hexdigest()[:16]}.{suffix}", image.encoded


def _fields(sample: Sample, images: Mapping[ImageFile, tuple[str, bytes]]) -> dict[str, object]:
    asked: dict[str, object] = {
        "question": sample.question,
        "image": images[sample.image][0] if sample.image else None,
        "video": [images[frame][0] for frame in sample.video] or None,
    }
    if sample.turns:
        asked = {"messages": to_openai(sample.turns, lambda image: images[image][0])}
    every = {
        "id": sample.id,
        "subject": sample.subject,
        **asked,
        "answer": sample.answer,
        "gold": [sample.gold, *sample.aliases] if sample.aliases else sample.gold,
        "form": sample.form,
        "options": sample.options,
        "role": sample.role,
    }
    return {field: value for field, value in every.items() if value not in (None, "")}
