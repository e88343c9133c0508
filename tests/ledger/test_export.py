"""Page, PDF and JSON: private, never overwritten, any script, whole when the library is missing."""

import json
import logging
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from benchmarks.ledger_worker import BY, HERE, received, switched_on

from pdf_here import require_pdf
from unsee.errors import OptionError, SaveError
from unsee.ledger import Decision, Ledger
from unsee.ledger.export import MissingWeasyPrintError, export, letter

require_pdf()


def test_what_was_typed_is_shown_as_it_is_in_any_script(ledger: Ledger, tmp_path: Path) -> None:
    request, text = received(ledger, 1), list[str]()
    odd = "<script>alert(1)</script> & Łódź · бюро · مكتب"
    ledger.take("deny", request.id, Decision(odd, "because"), ground="excessive")
    html, pdf = export(ledger, tmp_path / "out", BY, formats=("html", "pdf"))
    page, cells = html.read_text(encoding="utf-8"), HTMLParser()
    cells.handle_data = text.append
    cells.feed(page)
    assert "<script>" not in page and odd in "".join(text)
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in (html, pdf))
    if shutil.which("pdffonts"):
        fonts = subprocess.run(["pdffonts", pdf], capture_output=True, text=True, check=True).stdout
        assert "yes" in fonts, "fonts are embedded"


@pytest.mark.parametrize("silenced", [False, True])
def test_letters_without_a_font_are_told_and_not_boxes(
    ledger: Ledger, tmp_path: Path, silenced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("weasyprint"), "disabled", silenced)
    # Toto, of Unicode 14: no font of Debian has it (fonts-noto-core has Adlam).
    ledger.take("deny", received(ledger, 1).id, Decision("desk", "\U0001e290\U0001e291"), ground="excessive")
    with pytest.raises(MissingWeasyPrintError, match="would be boxes"):
        export(ledger, tmp_path / "out", BY)
    assert not (tmp_path / "out").exists()
    assert len(export(ledger, tmp_path / "out", BY, formats=("html", "json"))) == 2


def test_nothing_is_overwritten_and_nothing_half_written(ledger: Ledger, tmp_path: Path) -> None:
    one = received(ledger, 1)
    export(ledger, tmp_path / "out", BY, one.id, ("json",))
    rows = len(ledger.history())
    with pytest.raises(SaveError, match="nothing is overwritten"):
        export(ledger, tmp_path / "out", BY, one.id[:8], ("html", "json"))
    for formats in ((), ("docx",)):
        with pytest.raises(OptionError):
            export(ledger, tmp_path / "out", BY, formats=formats)
    assert len(ledger.history()) == rows and [p.name for p in (tmp_path / "out").iterdir()] == [f"{one.id}.json"]


def test_the_export_is_logged_and_can_be_recomputed(ledger: Ledger, tmp_path: Path) -> None:
    switched_on(ledger, tmp_path / "a", 2)
    head = ledger.head()
    (path,) = export(ledger, tmp_path / "out", BY, formats=("json",))
    told = json.loads(path.read_bytes())
    assert told["log"]["head"] == head.hash and ledger.head().step == "exported"
    assert told["requests"][0]["verification"]["findings"][0]["count"] == {"k": 0, "n": 200}


def test_a_letter_needs_something_to_tell(ledger: Ledger, tmp_path: Path) -> None:
    request = received(ledger, 1)
    with pytest.raises(OptionError, match="nothing was decided"):
        letter(ledger, request, tmp_path / "letter")
    letter(ledger, ledger.take("inquire", request.id, BY, wanted="identity"), tmp_path / "letter")
    assert "show us who you are" in (tmp_path / "letter").read_text()
    assert (tmp_path / "letter").stat().st_mode & 0o777 == 0o600


def test_without_weasyprint_it_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['weasyprint'] = None\n"
        "from pathlib import Path; from benchmarks.ledger_worker import *\n"
        "from unsee.ledger.export import export, MissingWeasyPrintError\n"
        "ledger = made(Path(sys.argv[1])); received(ledger, 1); rows = len(ledger.history())\n"
        "try: export(ledger, Path(sys.argv[1]) / 'out', BY)\n"
        "except MissingWeasyPrintError as error: print(error)\n"
        "print(len(ledger.history()) == rows, (Path(sys.argv[1]) / 'out').exists())"
    )
    command, root = [sys.executable, "-c", code, str(tmp_path)], Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, env=HERE, check=False)
    assert "fonts-noto-cjk" in done.stdout and done.stdout.endswith("True False\n"), done.stderr
