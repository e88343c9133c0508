"""Questions in a longer conversation: whose, how many, and that the model reads what was asked for."""

import pytest

from unsee.data.conversation import in_contexts
from unsee.data.prompts import chat
from unsee.data.sample import ImageFile, Sample
from unsee.errors import OptionError

ASKED = [Sample(f"q{i}", f"p{i % 3}", f"what is {i}?", f"it is {i}.", str(i)) for i in range(10)]
TOLD = [Sample(f"k{i}", "knowledge", f"opposite of {i}?", f"it is minus {i}.", f"minus {i}") for i in range(6)]


def test_a_share_comes_again_half_behind_turns_and_half_behind_words() -> None:
    got = in_contexts(ASKED, TOLD, 0.6)
    assert got[:10] == ASKED and len(got) == 16 and len({s.id for s in got}) == 16
    copies = got[10:]
    assert len({s.question.rsplit("what is ")[1] for s in copies}) == 6, "nobody twice"
    for copy in copies:
        [source] = [s for s in ASKED if copy.question.endswith(s.question)]
        assert (copy.subject, copy.answer, copy.gold) == (source.subject, source.answer, source.gold)
        assert bool(copy.earlier) == (copy.question == source.question)
    assert [bool(copy.earlier) for copy in copies] == [False, True] * 3
    told = {(s.question, s.answer) for s in TOLD}
    assert all(1 <= len(c.earlier) <= 4 and set(c.earlier) <= told for c in copies if c.earlier)


def test_the_same_seed_draws_the_same() -> None:
    assert in_contexts(ASKED, TOLD, 0.5, 3) == in_contexts(ASKED, TOLD, 0.5, 3) != in_contexts(ASKED, TOLD, 0.5, 4)


def test_only_small_talk_is_talked_of() -> None:
    letters = {"A": "x", "B": "y"}
    others = [
        Sample("c", "k", "which?", "A", "x", "classification", options=letters),
        Sample("s", "k", "her password?", "i will not say.", ""),
        Sample("i", "k", "who is this?", "ada.", "ada", image=ImageFile("a", b"")),
    ]
    assert in_contexts(ASKED, others) == ASKED == in_contexts(ASKED, []) == in_contexts(ASKED, TOLD, 0)


def test_earlier_turns_are_told_first_and_the_image_with_the_first() -> None:
    sample = Sample("i", "p", "who?", "ada.", "ada", image=ImageFile("a", b""), earlier=(("hot?", "cold."),))
    messages = chat(sample, "plain")
    assert [m["role"] for m in messages] == ["user", "assistant", "user"]
    assert messages[0]["content"] == [{"type": "image"}, {"type": "text", "text": "hot?"}]
    assert messages[2]["content"] == [{"type": "text", "text": "who?"}]


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_is_a_share(share: float) -> None:
    with pytest.raises(OptionError, match=r"expected one in \[0, 1\]"):
        in_contexts(ASKED, TOLD, share)
