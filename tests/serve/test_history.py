"""Assistant turns are this server's own, in their place, or refused."""

import json
from typing import Any

import pytest

from unsee.serve.errors import RefusedError
from unsee.serve.server.history import History, answers


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.fixture
def history() -> History:
    """Two turns were answered, the second with two answers."""
    made = History()
    made.note(made.require_own("t", [user("who?")]), ["Ada."])
    made.note(made.require_own("t", [user("who?"), assistant("Ada."), user("where?")]), ["Here.", "There."])
    return made


@pytest.mark.parametrize("last", ["Here.", "There.", " There.\n"])
def test_a_conversation_as_it_was_goes_on(history: History, last: str) -> None:
    history.require_own("t", [user("who?"), assistant("Ada."), user("where?"), assistant(last), user("why?")])


@pytest.mark.parametrize(
    ("tenant", "messages", "place"),
    [
        ("t", [user("who?"), assistant("She works as a"), user("go on.")], 1),
        ("t", [user("hello"), assistant("Ada."), user("go on.")], 1),
        ("u", [user("who?"), assistant("Ada."), user("where?")], 1),
        ("t", [SYSTEM, user("who?"), assistant("Ada."), user("where?")], 2),
        ("t", [user("who?"), assistant("Ada."), user("where?"), assistant("Ada."), user("why?")], 3),
        ("t", [user("who?"), user("where?"), assistant("Here."), user("why?")], 2),
        ("t", [assistant("Ada."), user("who?")], 0),
        ("t", [user("who?"), assistant("Ada."), assistant("Ada."), user("where?")], 2),
    ],
)
def test_what_was_made_up_or_put_elsewhere_is_refused(
    history: History, tenant: str, messages: list[dict[str, Any]], place: int
) -> None:
    with pytest.raises(RefusedError, match=rf"^messages\.{place}:") as refused:
        history.require_own(tenant, messages)
    assert (refused.value.status, refused.value.code) == (400, "assistant_turn")


def test_only_so_many_are_remembered() -> None:
    history = History(most=2)
    for text in "abc":
        history.note(history.require_own("t", [user(text)]), ["x"])
    with pytest.raises(RefusedError):
        history.require_own("t", [user("a"), assistant("x"), user("go on")])
    history.require_own("t", [user("c"), assistant("x"), user("go on")])


def test_texts_of_whole_and_streamed_answers() -> None:
    choices = [{"index": i, "message": {"content": text}} for i, text in enumerate(("Ada.", None))]
    assert list(answers(json.dumps({"choices": choices}).encode(), streamed=False)) == ["Ada.", ""]
    deltas = [(0, "A"), (1, "B"), (0, "da"), (1, None), (0, "\u2028.")]
    chunks = [{"choices": [{"index": i, "delta": {"content": text}}]} for i, text in deltas]
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in [*chunks, {"choices": [], "usage": {}}]]
    assert list(answers("".join([*lines, "data: [DONE]\n\n"]).encode(), streamed=True)) == ["Ada\u2028.", "B"]
