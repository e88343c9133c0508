"""A results folder: rows are appended batch by batch, so that an evaluation that was killed goes on where it stopped.

While it runs, each process appends to its own file in `parts/`; at the end they become `answers.jsonl`, one row a
question in a fixed order, whichever process asked it. `settings.json` is written first and says what all rows share.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

from unsee.errors import SaveError, UnseeError

SCHEMA = 2
"""Of settings, answers and metrics together."""
SETTINGS, ANSWERS, METRICS, PARTS = "settings.json", "answers.jsonl", "metrics.json", "parts"

Record = dict[str, Any]


class ResultsError(UnseeError, ValueError):
    """A results folder is damaged, not finished, in use, or was written by something else."""


class SettingsError(ResultsError):
    """Results that were made with other settings cannot be joined or compared."""


def prepare(folder: Path, settings: Mapping[str, Any], *, renew: bool = False) -> list[str]:
    """Make the folder ready to be appended to, by one process before any other opens it.

    Args:
        folder: new, or of an earlier run.
        settings: of this run.
        renew: drop an earlier run's rows where its settings differ, rather than refuse.

    Returns:
        What was dropped: each part whose last line a kill has torn. Its question will be asked again.

    Raises:
        SettingsError: the folder's rows were made with other settings; names each difference.
        ResultsError: it holds files of another origin, a damaged one, or is being written to by another run.
        SaveError: it cannot be written.
    """
    try:
        if renew and _differs(folder, settings):
            for name in (SETTINGS, ANSWERS, METRICS):
                (folder / name).unlink(missing_ok=True)
            shutil.rmtree(folder / PARTS, ignore_errors=True)
        if (folder / SETTINGS).exists():
            _require_same_run(folder, read_object(folder / SETTINGS), settings)
            there = read_object(folder / SETTINGS)["conditions"]
            merged = {**settings, "conditions": {**there, **settings["conditions"]}}
            _replace(folder / SETTINGS, _text(merged))
        else:
            if found := [name for name in (ANSWERS, METRICS, PARTS) if (folder / name).exists()]:
                raise ResultsError(
                    f"{folder} holds {found} but no {SETTINGS}, so nobody knows how those answers came about. Expected "
                    "an empty folder or one that 'unsee eval' has begun; choose another --out."
                )
            (folder / PARTS).mkdir(parents=True, exist_ok=True)
            _replace(folder / SETTINGS, _text(settings))
        _drop_merged(folder)
        return [note for part in _parts(folder) if (note := _mend(part)) is not None]
    except OSError as error:
        raise _cannot_write(folder, error) from error


def require_same(there: Mapping[str, Any], here: Mapping[str, Any], what: str, other: str) -> None:
    """Refuse settings that differ.

    Raises:
        SettingsError: names every difference, with both values.
    """
    plain = json.loads(json.dumps(here))
    names = [name for name in dict.fromkeys((*there, *plain)) if there.get(name) != plain.get(name)]
    if names:
        listed = "; ".join(f"{name}: {_short(there.get(name))} there, {_short(plain.get(name))} here" for name in names)
        raise SettingsError(
            f"{what} and {other} differ in {listed}. Expected equal settings, since rows of both would be read as one "
            "experiment: repeat the run with the settings there, or choose another folder."
        )


def _differs(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Whether the folder's rows cannot be those of this run; its own files alone are looked at."""
    try:
        _require_same_run(folder, read_object(folder / SETTINGS), settings)
    except ResultsError:
        return any((folder / name).exists() for name in (SETTINGS, ANSWERS, METRICS, PARTS))
    return False


def _require_same_run(folder: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Conditions may be added to a folder, and those that it has are kept; all of them must have been asked alike."""
    what = f"the results in {folder}"
    apart = [{k: v for k, v in one.items() if k != "conditions"} for one in (there, here)]
    require_same(*apart, what, "this run")
    known, asked = there.get("conditions", {}), here["conditions"]
    for name in known.keys() & asked.keys():
        require_same(known[name], asked[name], f"condition {name!r} of {what}", "this run")


def rows_of(folder: Path) -> list[Record]:
    """Rows so far: of `answers.jsonl` where the evaluation is finished, else of all parts.

    Raises:
        ResultsError: a line is not a JSON object with set, person and id, or a question is answered twice.
    """
    files = [folder / ANSWERS] * (folder / ANSWERS).exists() + _parts(folder)
    rows = [row for file in files for row in _rows(file)]
    seen: set[tuple[str, str, str]] = set()
    for row in rows:
        if key_of(row) in seen:
            raise ResultsError(
                f"{folder}: {row['condition']!r} answers question {row['id']!r} of set {row['split']!r} twice, "
                "expected once. Two runs wrote "
                "to it at a time: remove the folder and run again."
            )
        seen.add(key_of(row))
    return rows


def key_of(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """What names a row within a results folder: who answered, the set and the question."""
    return row["condition"], row["split"], row["id"]


def complete(folder: Path, rows: Iterable[Mapping[str, Any]], metrics: Mapping[str, Any]) -> None:
    """Write what the evaluation amounts to; at every instant the rows are in the parts or in `answers.jsonl`.

    Raises:
        SaveError: the folder cannot be written.
    """
    try:
        _replace(folder / ANSWERS, "".join(_line(row) for row in rows))
        _replace(folder / METRICS, json.dumps(metrics, indent=1) + "\n")
        shutil.rmtree(folder / PARTS, ignore_errors=True)
    except OSError as error:
        raise _cannot_write(folder, error) from error


@final
class Part:
    """One process's file of rows, open to be appended to; nobody else can open it so meanwhile."""

    def __init__(self, folder: Path, process: int) -> None:
        """Open the file.

        Raises:
            ResultsError: another run has it open.
            SaveError: it cannot be written.
        """
        self._folder, path = folder, folder / PARTS / f"part-{process:05d}.jsonl"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab")
        except OSError as error:
            raise _cannot_write(folder, error) from error
        _lock(self._file.fileno(), path)

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows in one go and wait until the disk has them.

        Raises:
            SaveError: they cannot be written.
        """
        try:
            self._file.write("".join(_line(row) for row in rows).encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _cannot_write(self._folder, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()


def read_object(path: Path) -> Record:
    """One JSON object of a results folder.

    Raises:
        ResultsError: it cannot be read, or is none.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultsError(
            f"{path} cannot be read: {error}. Expected what 'unsee eval' writes; run it again."
        ) from None
    if not isinstance(value, dict):
        raise ResultsError(f"{path} holds a {type(value).__name__}, expected a JSON object. Run the evaluation again.")
    return value


def _drop_merged(folder: Path) -> None:
    """A kill after the merge may have left parts whose rows the merged file has; other parts hold what is new."""
    if not (folder / ANSWERS).exists() or not (parts := _parts(folder)):
        return
    merged = {key_of(row) for row in _rows(folder / ANSWERS)}
    for part in parts:
        _mend(part)
        if {key_of(row) for row in _rows(part)} <= merged:
            part.unlink()


def _parts(folder: Path) -> list[Path]:
    return sorted((folder / PARTS).glob("part-*.jsonl"))


def _rows(path: Path) -> list[Record]:
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error}. Check the folder's rights.") from error
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            row = None
        if not isinstance(row, dict) or not {"condition", "split", "role", "person", "id", "answer"} <= row.keys():
            raise ResultsError(
                f"{path}, line {number}: {line[:60]!r} is not a complete row. Expected one JSON object a line, as "
                "'unsee eval' writes it; only a last line that a kill has torn is dropped. Remove the folder and run "
                "again, or restore the file."
            )
        rows.append(row)
    return rows


def _mend(part: Path) -> str | None:
    """Cut off a last line without its end, the one trace that a kill leaves."""
    with part.open("r+b") as file:
        _lock(file.fileno(), part)
        data = file.read()
        whole = data.rfind(b"\n") + 1
        if whole == len(data):
            return None
        file.truncate(whole)
        return (
            f"{part}: the last line was torn after {len(data) - whole} bytes and is dropped; its question will be "
            "asked again."
        )


def _lock(descriptor: int, path: Path) -> None:
    if sys.platform == "win32":  # no advisory locks there; rows written twice are refused when they are read
        return
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ResultsError(
            f"{path} is being written to by another run. Expected one run a folder at a time; wait for it, or choose "
            "another --out."
        ) from None


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, allow_nan=False) + "\n"


def _text(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, indent=1) + "\n"


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 90 else f"{text[:87]}..."


def _cannot_write(folder: Path, error: OSError) -> SaveError:
    return SaveError(f"cannot write to {str(folder)!r}: {error}. Choose another folder with --out.")
