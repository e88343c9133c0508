"""MLLMU-Bench: `MLLMMU/MLLMU-Bench` on the hub (arXiv 2410.22108), and every data set kept in its schema.

Revision: not pinned, the newest is fetched. Licence: not stated here; read the data set's card before passing it on.
A config is a folder of parquet files with one split, `train`; a row is a person; `CONFIGS` counts them.
`Retain_Set` holds the real celebrities; the people to keep beside `forget_5` are in `retain_95`.

Columns, by kind of config:

- evaluation: image {bytes, path}, ID, Directory, biography, question, answer,
  Classification_Task {Image_Textual_Questions and Pure_Text_Questions: [{Correct_Answer, Options {A..D}, Question}]},
  Generation_Task and Mask_Task [{Ground_Truth, Question, Type}], where Type is Image_Textual or Pure_Text;
- Test_Set: the same with `images`, a list of other views, in place of `image`;
- training (ft_Data and the splits of `MLLMMU/baseline_train_split`): image, ID, metadata = JSON [{Question, Answer}].
"""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, get_args

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, HTTPError  # pyright: ignore[reportPrivateImportUsage]

from unsee.data.jsonl import Record, lettered, parsed, reject, text
from unsee.data.samples import Form, Picture, Sample, require_some
from unsee.errors import DataError, OptionError, SaveError

Modality = Literal["image", "text"]
Views = Literal["first", "all"]

# Published row counts; a folder of another name is read just as well.
CONFIGS: Final[Mapping[str, int]] = {
    **{"Full_Set": 500, "Retain_Set": 153, "Test_Set": 500, "ft_Data": 500},
    **{"forget_5": 25, "forget_10": 50, "forget_15": 75, "retain_95": 475, "retain_90": 450, "retain_85": 425},
}
_MODALITIES: Final[Mapping[str, Modality]] = {"Image_Textual": "image", "Pure_Text": "text", "metadata": "image"}
_TEXT = pa.string()
_IMAGE = pa.struct({"bytes": pa.binary(), "path": _TEXT})
_CHOICE = pa.struct({"Correct_Answer": _TEXT, "Options": pa.struct(dict.fromkeys("ABCD", _TEXT)), "Question": _TEXT})
_CHOICES = pa.list_(_CHOICE)
_OPEN = pa.list_(pa.struct({"Ground_Truth": _TEXT, "Question": _TEXT, "Type": _TEXT}))
_TASKS: Final = {
    **dict.fromkeys(("ID", "Directory", "biography", "question", "answer"), _TEXT),
    "Classification_Task": pa.struct({"Image_Textual_Questions": _CHOICES, "Pure_Text_Questions": _CHOICES}),
    **dict.fromkeys(("Generation_Task", "Mask_Task"), _OPEN),
}
_SCHEMAS: Final = (
    pa.schema({"image": _IMAGE, **_TASKS}),
    pa.schema({"images": pa.list_(_IMAGE), **_TASKS}),
    pa.schema({"image": _IMAGE, "ID": _TEXT, "metadata": _TEXT}),
)


def read_mllmu(
    directory: Path | str,
    config: str,
    forms: Collection[Form] = get_args(Form),
    modalities: Collection[Modality] = get_args(Modality),
    images: Views = "first",
) -> list[Sample]:
    """Every question of one config: people in file order, each person's questions by form.

    A sample's id is `<config>/<ID>/<form>/<modality>/<place in its list>`, with `/<view>` behind it where views differ.

    Args:
        directory: the folder that holds the configs, or a data set's id on the hub, of which only `config` is fetched.
        config: name of the folder to read, such as `forget_5`.
        forms: the forms to read; the training schema has only "generation".
        modalities: "image" for questions asked over the picture, "text" for those asked without one.
        images: which views of `Test_Set` to ask over: the first, or each (one sample per question and view).

    Raises:
        DataError: the data cannot be had, or a row departs from the schema; names file, row, field, got and expected.
        OptionError: there is no such config, or an option is not one of the legal values.
    """
    for name, got, legal in (("forms", forms, Form), ("modalities", modalities, Modality), ("images", [images], Views)):
        if not got or not set(got) <= set(get_args(legal)):
            raise OptionError(f"{name}: got {list(got)}, expected some of {list(get_args(legal))}. Mend the option.")
    root = _locate(directory, config)
    if config not in configs_of(root):
        raise OptionError(
            f"no config {config!r} in {str(directory)!r}: the folders with parquet files there are {configs_of(root)}. "
            f"Pass one of them; MLLMU-Bench itself has {list(CONFIGS)}."
        )
    rows = _rows(sorted((root / config).glob("*.parquet")))
    samples = [sample for at, row in rows for sample in _samples(row, config, forms, modalities, images, at)]
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
    if not re.fullmatch(r"\w[\w.-]*", config):
        raise OptionError(f"config is {config!r}, expected a plain folder name such as 'forget_5'.")
    if not rows:
        raise DataError(f"{config}: there is no row to write, expected at least one person.")
    schemas = _SCHEMAS
    for number, row in enumerate(rows):
        schemas = (_schema_of(row, f"{config}, row {number}", schemas),)
    file = Path(directory) / config / "train-00000-of-00001.parquet"
    part = file.with_suffix(".part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schemas[0]), part, row_group_size=100)
        for at, row in _rows([part]):
            list(_samples(row, config, get_args(Form), get_args(Modality), "all", at))
        os.replace(part, file)
    except (pa.ArrowException, TypeError) as error:
        raise DataError(f"{config}: a value does not fit the schema: {error}. Expected:\n{schemas[0]}") from error
    except OSError as error:
        raise SaveError(f"cannot write {file}: {error}. Check the folder's rights and the free space.") from error
    finally:
        if part.is_file():
            part.unlink()
    return file


def configs_of(directory: Path | str) -> list[str]:
    """Names of the folders directly below `directory` that hold parquet files."""
    return sorted({file.parent.name for file in Path(directory).glob("*/*.parquet")})


def _locate(directory: Path | str, config: str) -> Path:
    if Path(directory).is_dir():
        return Path(directory)
    if isinstance(directory, Path) or not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", directory):
        raise DataError(f"there is no folder {str(directory)!r}, and that is no hub id (owner/name). Check the path.")
    try:
        return Path(snapshot_download(directory, repo_type="dataset", allow_patterns=f"{config}/*.parquet"))
    except (OSError, HTTPError, HFValidationError) as error:
        raise DataError(
            f"{directory!r} is no folder here and cannot be had from the hub: {type(error).__name__}: {error}. "
            "Check name and connection, or fetch the data set elsewhere and pass its folder."
        ) from error


def _rows(files: Iterable[Path]) -> Iterator[tuple[str, Record]]:
    places: dict[str, str] = {}
    for file in files:
        try:
            with pq.ParquetFile(file) as parquet:
                _schema_of(parquet.schema_arrow.names, str(file), _SCHEMAS)
                rows = (row for batch in parquet.iter_batches(batch_size=64) for row in batch.to_pylist())
                for number, row in enumerate(rows):
                    at = f"{file}, row {number}"
                    if (first := places.setdefault(text(row, "ID", at), at)) != at:
                        reject(at, "ID", row["ID"], f"an ID of its own ({first} has the same)")
                    yield at, row
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DataError(f"{file} is not a sound parquet file: {error}. Fetch it again.") from error


def _schema_of(columns: Collection[str], at: str, schemas: Sequence[pa.Schema]) -> pa.Schema:
    nearest = min(schemas, key=lambda schema: len(set(columns) ^ set(schema.names)))
    if differing := sorted(set(columns) ^ set(nearest.names)):
        reject(at, "the set of columns", list(columns), f"{nearest.names}; missing or unknown: {differing}")
    return nearest


def _samples(
    row: Record, config: str, forms: Collection[Form], modalities: Collection[Modality], images: Views, at: str
) -> Iterator[Sample]:
    name = f"{config}/{row['ID']}"
    pictures = _pictures(row, name, at) if "image" in modalities else []
    views = {"image": pictures[:1] if images == "first" else pictures, "text": [None] if "text" in modalities else []}
    for form in (form for form in get_args(Form) if form in forms):
        for here, place, modality, record, field in _questions(row, form, at):
            question, answer = text(record, "Question", here), text(record, field, here)
            options = lettered(record.get("Options"), here) if form == "classification" else None
            if options is not None and answer not in options:
                reject(here, field, answer, f"one letter out of {list(options)}")
            gold = answer if options is None else options[answer]
            for view, picture in enumerate(views[modality]):
                id = f"{name}/{form}/{modality}/{place}" + (f"/{view}" if picture and "images" in row else "")
                yield Sample(id, row["ID"], question, answer, gold, form, picture, options)


def _questions(row: Record, form: Form, at: str) -> Iterator[tuple[str, int, Modality, Record, str]]:
    """Each record that asks in this form: where it is, its place there, its modality, and the field of its answer."""
    if "metadata" in row:
        lists, field = {"metadata": parsed(text(row, "metadata", at)) or []} if form == "generation" else {}, "Answer"
    elif form == "classification":
        lists, field = _records([row["Classification_Task"] or {}], "Classification_Task", at)[0], "Correct_Answer"
    else:
        column = "Generation_Task" if form == "generation" else "Mask_Task"
        lists, field = {column: row[column]}, "Ground_Truth"
    # None is a list that this person lacks; an empty list is a mistake.
    for column, records in ((column, records) for column, records in lists.items() if records is not None):
        for place, record in enumerate(_records(records, column, at)):
            here = f"{at}, {column}[{place}]"
            kind = text(record, "Type", here) if field == "Ground_Truth" else column.removesuffix("_Questions")
            if kind not in _MODALITIES:
                reject(here, "Type", kind, "'Image_Textual' or 'Pure_Text'")
            yield here, place, _MODALITIES[kind], record, field


def _records(value: object, column: str, at: str) -> list[Record]:
    if not isinstance(value, list) or not value or not all(isinstance(record, Mapping) for record in value):
        reject(at, column, value, "a list of at least one record")
    return value


def _pictures(row: Record, name: str, at: str) -> list[Picture]:
    images = _records(row.get("images", [row.get("image")]), "image", at)
    for view, image in enumerate(images):
        if not isinstance(image.get("bytes"), bytes) or not image["bytes"]:
            reject(f"{at}, image[{view}]", "bytes", image.get("bytes"), "the bytes of a picture file")
    return [Picture(f"{name}/{view}", image["bytes"]) for view, image in enumerate(images)]
