"""What is hashed: no two lists of parts give the same bytes, and the set in force has one name in any order."""

import hashlib
import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsee.errors import ArtifactError, OptionError
from unsee.ledger.framing import active_digest, canonical, code_version, framed, plain_text

texts = st.lists(st.text(max_size=5), max_size=4)


@given(texts, texts)
def test_two_lists_of_parts_never_meet(one: list[str], other: list[str]) -> None:
    first, second = (framed(*(text.encode("utf-8", "surrogatepass") for text in some)) for some in (one, other))
    assert (first == second) == (one == other)


def test_parts_carry_their_lengths() -> None:
    assert framed(b"ab", b"") == b"\x02" + bytes(7) + b"ab" + bytes(8)
    assert framed(b"ab", b"c") != framed(b"a", b"bc")


def by_hand(ids: list[str], settings: dict[str, object], code: str) -> str:
    """The digest written out once more, with struct and json in place of the package's own framing."""
    parts = [b"active set 1", str(len(ids)).encode(), *(one.encode() for one in sorted(ids))]
    parts += [json.dumps(settings, sort_keys=True, separators=(",", ":")).encode(), code.encode()]
    return "sha256:" + hashlib.sha256(b"".join(struct.pack("<Q", len(p)) + p for p in parts)).hexdigest()


@given(st.permutations(["sha256:a", "sha256:b", "sha256:c"]), st.dictionaries(st.text(), st.integers(), max_size=3))
def test_the_active_set_has_one_name_in_any_order(ids: list[str], settings: dict[str, object]) -> None:
    assert active_digest(ids, settings, "1") == by_hand(ids, settings, "1")
    assert active_digest(ids, settings, "1") == active_digest(sorted(ids), settings, "1")


def test_any_change_of_the_active_set_gives_another_name() -> None:
    names = {
        active_digest([], {}, "1"),
        active_digest(["ab", "c"], {}, "1"),
        active_digest(["a", "bc"], {}, "1"),
        active_digest(["ab", "c"], {"engine": "vllm"}, "1"),
        active_digest(["ab", "c"], {}, "2"),
        active_digest(["ab"], {}, "1"),
        active_digest(["ab", "ab"], {}, "1"),
    }
    assert len(names) == 7


def test_the_code_version_names_the_sources_that_steer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from unsee.ledger import framing

    for part in ("erase", "models"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "steer.py").write_text("x = 1\n")
    monkeypatch.setattr(framing, "files", lambda package: tmp_path)
    before = code_version.__wrapped__()
    (tmp_path / "erase" / "notes.txt").write_text("no code")
    assert code_version.__wrapped__() == before
    (tmp_path / "models" / "steer.py").write_text("x = 2\n")
    assert code_version.__wrapped__() != before


def test_canonical_json_has_one_form() -> None:
    assert canonical({"b": 0.1, "a": ["\u00e9", None]}) == '{"a":["\\u00e9",null],"b":0.1}'
    with pytest.raises(ArtifactError, match="finite numbers"):
        canonical(float("nan"))


def test_texts_are_trimmed_composed_and_bounded() -> None:
    assert plain_text("why", "  e\u0301t\u00e9 ") == "\u00e9t\u00e9"
    for text, words in (
        ("", "0 characters"),
        ("x" * 2001, "2001 characters"),
        ("a\x00b", "control"),
        ("\ud800", "half"),
    ):
        with pytest.raises(OptionError, match=words):
            plain_text("why", text)
