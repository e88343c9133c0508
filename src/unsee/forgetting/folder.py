"""The operator's folder of a request: plain words stay here; what leaves it, the eraser, holds keyed digests."""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from unsee.data.text import bare_words
from unsee.erase.artifact_files import replace_file
from unsee.errors import SaveError

if TYPE_CHECKING:  # a folder is checked before anything that needs torch is imported
    from unsee.erase.request.request import Request
    from unsee.forgetting.asking import Answer
    from unsee.forgetting.before import Before
    from unsee.forgetting.report import Report

_KEY = "request.key"


@final
@dataclass(frozen=True)
class Folder:
    """Where a request's evidence lies.

    Attributes:
        path: readable by its owner alone, where the system knows owners.
        key: of the pseudonyms; never in the eraser.
    """

    path: Path
    key: bytes = field(repr=False)

    @staticmethod
    def require_free(out: str | Path) -> Path:
        """The path, if a request can be written there.

        Raises:
            SaveError: it is a file, holds something, or cannot be written.
        """
        path = Path(out)
        above = next(p for p in (path, *path.absolute().parents) if p.exists())
        if not above.is_dir() or not os.access(above, os.W_OK):
            raise SaveError(f"cannot write to {path}: {above} is no folder that can be written. Choose another --out.")
        if path.exists() and any(path.iterdir()):
            raise SaveError(f"{path} is not empty: evidence of a request is never overwritten. Choose a new folder.")
        return path

    @staticmethod
    def make(out: str | Path) -> "Folder":
        """A new folder with a new key.

        Raises:
            SaveError: as `require_free`, or it cannot be written.
        """
        path, key = Folder.require_free(out), secrets.token_bytes(32)
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise SaveError(f"cannot make {path}: {error.strerror or error}. Choose another --out.") from error
        replace_file(path / _KEY, key.hex().encode() + b"\n")
        (path / _KEY).chmod(0o600)
        return Folder(path, key)

    def pseudonym(self, purpose: str, text: str) -> str:
        """Keyed digest of a name or a phrase, 16 hexadecimal digits; only the key's owner can test a guess."""
        words = f"{purpose}\0{bare_words(text) or text}".encode()
        return hmac.new(self.key, words, hashlib.sha256).hexdigest()[:16]

    def write_before(self, request: "Request", before: "Before") -> None:
        """`request.json` and `before.jsonl`: whom it is about, and what the model said.

        Raises:
            SaveError: a file cannot be written.
        """
        asked = {
            "name": request.name,
            "aliases": list(request.aliases),
            "kind": request.kind,
            "images": [one.id for one in request.images],
            "erase": list(request.erase),
            "spare": list(request.spare),
            "text": request.text,
            "known": before.known,
            "facts_by_name": {k: list(v) for k, v in before.by_name.facts.items() if v},
            "facts_by_image": {k: list(v) for k, v in before.by_image.facts.items() if v} if before.by_image else {},
            "recurring_facts_of_invented_names": list(before.by_name.invented),
            "depends_on_name": before.by_name.depends,
            "depends_on_invented_names": list(before.by_name.invented_depends),
        }
        self._write("request.json", _json(asked))
        self._lines("before.jsonl", (*before.answers, *before.unknown))

    def write_after(self, answers: "Iterable[Answer]", report: "Report") -> None:
        """`after.jsonl` and `report.json`.

        Raises:
            SaveError: a file cannot be written.
        """
        self._lines("after.jsonl", answers)
        self._write("report.json", _json(report.as_json()))

    def _lines(self, name: str, answers: "Iterable[Answer]") -> None:
        self._write(name, "".join(json.dumps(one.as_json(), ensure_ascii=False) + "\n" for one in answers))

    def _write(self, name: str, text: str) -> None:
        replace_file(self.path / name, text.encode())


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
