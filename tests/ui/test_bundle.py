"""Results as one page: everything is there, nothing of it runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from unsee.errors import SaveError
from unsee.evals.results import Result
from unsee.evals.tables import Sheet
from unsee.ui import bundle
from unsee.ui.items import items_of

HOSTILE = "<script>alert(1)</script>"


def row(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "split": "forget", "role": "forget", "in_sample": False, "person": "p-1", "id": "q-1", "question": "where?",
        "gold": "sorrin", "image": None, "answer": "sorrin.", "leaked": True, "refused": False, "correct": True,
        "fluent": True,
    }  # fmt: skip
    return plain | changes


def test_an_item_holds_what_every_condition_answered() -> None:
    base, erased = (
        Result(name, {}, [row(answer=text, leaked=name == "base"), row(id="q-2", question="who?")])
        for name, text in (("base", "sorrin."), ("erased", "i do not know."))
    )
    first, second = items_of([base, erased])
    assert [reply.text for reply in first.replies.values()] == ["sorrin.", "i do not know."]
    assert [reply.verdicts["leaked"] for reply in first.replies.values()] == [True, False]
    assert "i do not know" in first.searched and second.question == "who?"


def test_a_page_shows_hostile_text_as_text_and_is_never_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = [Result("base", {}, [row(answer=HOSTILE, question=HOSTILE)])]
    monkeypatch.setattr(bundle, "read_results", lambda given: results)
    table = Sheet("compare", ["set", HOSTILE], [["forget", HOSTILE]], HOSTILE)
    monkeypatch.setattr(bundle, "compare", lambda given: None)
    monkeypatch.setattr(bundle, "sheet", lambda given: table)
    monkeypatch.setattr(bundle, "frontier", lambda given: None)
    page = bundle.write_bundle(["anything"], tmp_path / "b")
    text = page.read_text(encoding="utf-8")
    assert HOSTILE not in text and json.dumps(HOSTILE)[1:-1].replace("<", "&lt;").replace(">", "&gt;") in text
    with pytest.raises(SaveError):
        bundle.write_bundle(["anything"], tmp_path / "b")
