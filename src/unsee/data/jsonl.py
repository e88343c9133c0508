"""Your own questions as plain text: `data.jsonl`, one JSON object a line, with images beside it in `images/`.

Only `subject`, `question` and `answer` are needed. Also here: the checks that every reader makes on a record.
"""

import json
import os
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from string import ascii_uppercase
from typing import Any, NoReturn, cast

from unsee.data.images import header
from unsee.data.sample import Form, ImageFile, Sample, require_some
from unsee.errors import DataError, SaveError

FILE_NAME = "data.jsonl"
_FIELDS = ("id", "subject", "question", "answer", "gold", "form", "image", "options", "video")
Record = Mapping[str, Any]


def read_jsonl(path: Path | str) -> list[Sample]:
    """Read `data.jsonl`, or the folder that holds it.

    `gold` is by default the text of the right option, or else the answer; `form` is "generation"; `id` is
    `line-<number>`. `image` is a path relative to the file's folder; `video`, in its place, a list of such paths: the
    frames in the order of time. Images are decoded only when they are used.

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
    shown = [image for s in samples for image in (s.image, *s.video) if image is not None]
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
                stream.write(json.dumps(_fields(sample, still, video), ensure_ascii=False) + "\n")
        os.replace(part, file)
    except OSError as error:
        raise SaveError(f"cannot write {file}: {error}. Check the folder's rights and the free space.") from error
    return file


def reject(at: str, field: str, got: object, expected: str) -> NoReturn:
    """Refuse one field of one record.

    Raises:
        DataError: always; says where, which field, what was got and what was expected.
    """
    shown = repr(got) if len(repr(got)) <= 120 else f"{repr(got)[:117]}..."
    raise DataError(f"{at}: {field} is {shown}, expected {expected}. Mend or remove that entry.")


def text(record: Record, field: str, at: str) -> str:
    """A field that must hold some text; an empty answer would count as leaked by every reply.

    Raises:
        DataError: the field is missing, empty, blank or not text.
    """
    value = record.get(field)
    # JSON may spell half a surrogate pair, which no tokenizer and no file takes.
    if not isinstance(value, str) or not value.strip() or any("\ud800" <= letter <= "\udfff" for letter in value):
        reject(at, field, value, "some text")
    return value


def lettered(options: object, at: str) -> dict[str, str]:
    """The options of a classification, letter to text, without letters that have none (null).

    Raises:
        DataError: they are not an object, one is not text, or a name is not one capital letter.
    """
    given = {k: v for k, v in options.items() if v is not None} if isinstance(options, Mapping) else {}
    if not given:
        reject(at, "options", options, 'an object such as {"A": "Lisbon", "B": "Porto"}')
    for letter in given:
        # An answer is scored by its first letter, so a longer name could never be right.
        if not isinstance(letter, str) or len(letter) != 1 or letter not in ascii_uppercase:
            reject(at, "the name of an option", letter, "one capital letter")
    return {letter: text(given, letter, at) for letter in given}


def parsed(line: str) -> object:
    """What the JSON says, or the text itself where it is no JSON, for the check that follows to show."""
    try:
        return json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        return line


def _record(line: str, at: str) -> Record:
    record = parsed(line)
    if not isinstance(record, dict):
        reject(at, "the line", record, "one JSON object with subject, question and answer")
    if unknown := sorted(set(record) - set(_FIELDS)):
        reject(at, "the name of a field", unknown[0], f"one of {list(_FIELDS)}")
    return record


def _sample(record: Record, default_id: str, folder: Path, at: str) -> Sample:
    # A question that is to be refused has no answer; one that is there must say something.
    answer = text(record, "answer", at) if record.get("answer") is not None else ""
    options = {} if record.get("options") is None else lettered(record["options"], at)
    default = {"id": default_id, "gold": options.get(answer, answer), "form": "generation"}
    given = {**default, **{field: value for field, value in record.items() if value is not None}}
    key, subject, question = (text(given, field, at) for field in ("id", "subject", "question"))
    gold = text(given, "gold", at) if answer or record.get("gold") is not None else ""
    # Sample itself refuses any other form.
    form = cast(Form, text(given, "form", at))
    image = _image(text(given, "image", at), folder, at, "image") if "image" in given else None
    video = _video(given["video"], folder, at) if "video" in given else ()
    try:
        return Sample(key, subject, question, answer, gold, form, image, options or None, video=video)
    except DataError as error:
        raise DataError(f"{at}: {error}") from error


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
        "gold": sample.gold,
        "form": sample.form,
        "image": image,
        "options": sample.options,
        "video": video,
    }
    return {field: value for field, value in every.items() if value not in (None, "")}
