"""The operator's order of replies is checked before anything is loaded."""

import pytest

from unsee.erase.request.reply_order import ORDER, require_replies
from unsee.errors import OptionError


@pytest.mark.parametrize("order", [["steer"], ["canned:I cannot say.", "prefix"], ["canned: a: b"]])
def test_an_order_is_taken_as_it_is(order: list[str]) -> None:
    assert require_replies(order) == tuple(order)


def test_no_order_is_the_default() -> None:
    assert require_replies([]) == ORDER


@pytest.mark.parametrize("wrong", ["", "silence", "canned:", "canned:  ", "steer:2", "Steer"])
def test_anything_else_is_refused(wrong: str) -> None:
    with pytest.raises(OptionError, match="canned"):
        require_replies(["steer", wrong])
