"""The dossier as a page, a PDF and JSON, and letters to requesters: private files that overwrite nothing."""

import logging
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined

from unsee.errors import OptionError, SaveError, UnseeError
from unsee.ledger.documents import as_file, save_private
from unsee.ledger.dossier import dossier, template
from unsee.ledger.examination import examine
from unsee.ledger.log import Decision
from unsee.ledger.request import Request
from unsee.ledger.store import Ledger

FORMATS = ("html", "pdf", "json")


class MissingWeasyPrintError(UnseeError, ImportError):
    """What makes PDFs is not installed: the library, its system libraries, or fonts of the scripts that occur."""


def export(ledger: Ledger, out: Path, by: Decision, prefix: str = "", formats: tuple[str, ...] = FORMATS) -> list[Path]:
    """Write `ledger.html`, `.pdf` and `.json`, or those of one request; the log notes that it was done.

    Raises:
        SaveError: a file is there already.
        MissingWeasyPrintError: a PDF was asked for and cannot be made; nothing was written.
        OptionError: no such format.
    """
    if not formats or not set(formats) <= set(FORMATS):
        raise OptionError(f"the formats are {list(formats)}, expected some of {list(FORMATS)}.")
    chosen = [ledger.request(prefix)] if prefix else ledger.requests()
    record = chosen[0].id if prefix else None
    paths = [out / f"{record or 'ledger'}.{kind}" for kind in formats]
    there = [path.name for path in paths if path.exists()]
    if there:
        raise SaveError(f"{out} holds {there} already, and nothing is overwritten. Name another folder.")
    told = dossier(ledger, chosen, examine(ledger))
    page = template("dossier.html.j2", autoescape=True, undefined=StrictUndefined).render(told)
    views = {"html": page.encode, "json": lambda: as_file(told), "pdf": lambda: _pdf(page)}
    made = {path: views[kind]() for kind, path in zip(formats, paths, strict=True)}
    ledger.note("exported", by, record, head=told["log"]["head"])
    for path, data in made.items():
        save_private(path, data)
    return paths


def letter(ledger: Ledger, request: Request, out: Path) -> None:
    """Draft the answer to a requester, from a template and the vault; whoever sends it may change it first.

    Raises:
        SaveError: the file is there already.
        OptionError: nothing was decided that could be told.
    """
    if not (request.in_force or request.denied or request.state in ("resolved", "waiting") or request.extended):
        raise OptionError(f"{request.id} is {request.state}: nothing was decided yet that a letter could tell.")
    policy, person = ledger.policy, ledger.person(request.id)
    said = {"r": request, "name": person.names[0] if person else "", "answer": policy.answer, "today": ledger.today}
    save_private(out, template("letter.txt.j2", undefined=StrictUndefined).render(said).encode())


def _pdf(page: str) -> bytes:
    try:
        from weasyprint import HTML
    except (ImportError, OSError) as error:  # OSError: its system libraries are missing
        raise MissingWeasyPrintError(
            f"PDFs are made by WeasyPrint, which cannot be loaded: {error}. Install the extra: pip install "
            "'unsee[ledger]', and Pango (Debian: libpango-1.0-0 libpangoft2-1.0-0; for Chinese, Japanese and Korean "
            "fonts-noto-cjk); or export without it: --format html --format json."
        ) from error

    def nothing_else(url: str) -> dict[str, Any]:
        raise ValueError(f"the page is to hold all it shows, and asks for {url:.80}")

    told, lacking, logger = logging.Handler(logging.WARNING), list[str](), logging.getLogger("weasyprint")
    told.emit = lambda record: lacking.append(record.getMessage()) if ".notdef" in record.msg else None
    before = logger.disabled, logger.level
    logger.addHandler(told)
    logger.disabled = False  # configuring logging again turns off the loggers that it does not name
    logger.setLevel(logging.WARNING)
    try:
        made = HTML(string=page, url_fetcher=nothing_else).write_pdf() or b""
    finally:
        logger.removeHandler(told)
        logger.disabled = before[0]
        logger.setLevel(before[1])
    if lacking:
        raise MissingWeasyPrintError(
            f"letters of {len(lacking)} word(s) are in no font of this machine and would be boxes in the PDF: "
            f"{lacking[0]:.200}. Install fonts of the script (Debian: fonts-noto-core; for Chinese, Japanese and "
            "Korean fonts-noto-cjk), or export without the PDF: --format html --format json."
        )
    return made
