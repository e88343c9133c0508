"""Write the dossier of a ledger as JSON, as a page and as a PDF."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from unsee.errors import OptionError, SaveError
from unsee.ledger.decision import Decision
from unsee.ledger.dossier import dossier, share
from unsee.ledger.lifecycle import stamp
from unsee.ledger.signing import Signer
from unsee.ledger.store import Ledger

FORMATS = ("html", "json", "pdf")


def export(
    ledger: Ledger,
    out: Path,
    by: Decision,
    *,
    request_id: str | None = None,
    formats: Sequence[str] = FORMATS,
    signer: Signer | None = None,
) -> list[Path]:
    """Write `ledger.json`, `ledger.html` and `ledger.pdf`, and note in the log that it was done.

    Args:
        ledger: open; may be one with files missing, which the export then says.
        out: made if missing.
        by: who asked for it.
        request_id: one request, all by default.
        formats: some of `FORMATS`.
        signer: checks the signatures of heads.

    Returns:
        The files written.

    Raises:
        OptionError: an unknown format.
        UnknownRequestError: there is no such request.
        SaveError: a file cannot be written.
    """
    for name in formats:
        if name not in FORMATS:
            raise OptionError(f"format is {name!r}, expected one of {list(FORMATS)}")
    requests = [ledger.request(request_id)] if request_id else ledger.requests()
    told = dossier(ledger, requests, ledger.examine(signer), stamp(ledger.now()))
    stem = request_id or "ledger"
    text = json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    writers: dict[str, Callable[[Path], object]] = {
        "json": lambda path: path.write_text(text, encoding="utf-8"),
        "html": lambda path: path.write_text(page(told), encoding="utf-8"),
        "pdf": lambda path: _pdf(told, path),
    }
    written, digests = list[Path](), dict[str, object]()
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in formats:
            path, draft = out / f"{stem}.{name}", out / f".{stem}.{name}.saving"
            writers[name](draft)
            digests[name] = hashlib.sha256(draft.read_bytes()).hexdigest()
            os.replace(draft, path)
            written.append(path)
    except OSError as error:
        raise SaveError(f"cannot export to {out}: {error.strerror or error}. Choose another folder.") from error
    ledger.note("exported", by, {"requests": request_id or len(requests), "files": digests})
    return written


def page(told: dict[str, Any]) -> str:
    """The dossier as one self-contained page: no script, nothing loaded, every text escaped."""
    from jinja2 import Environment, StrictUndefined

    source = files("unsee.ledger").joinpath("export.html.j2").read_text(encoding="utf-8")
    made = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {"share": share, "day": lambda text: str(text)[:10], "minute": minute}
    return made.from_string(source).render(**told)


def minute(text: str) -> str:
    """A moment for people: `2026-01-31 12:00 UTC`."""
    return f"{text[:10]} {text[11:16]} UTC"


def _pdf(told: dict[str, Any], path: Path) -> None:
    from unsee.ledger.pdf import write_pdf

    write_pdf(told, path)
