"""The order of a run, against small cases worked out by hand."""

from collections import Counter

import pytest

from unsee.errors import OptionError
from unsee.methods.plan import Item, plan


def kinds(items: list[Item]) -> str:
    return "".join(
        "b" if i.forget is not None and i.retain is not None else "f" if i.retain is None else "r" for i in items
    )


def test_joint_shows_every_forget_question_beside_retain_questions_that_go_round() -> None:
    items = plan(4, 3, "joint", 2, 3, seed=0)
    assert kinds(items) == "b" * 12
    assert Counter(item.forget for item in items) == {0: 3, 1: 3, 2: 3, 3: 3}
    assert Counter(item.retain for item in items) == {0: 4, 1: 4, 2: 4}


def test_phases_follow_one_another_in_each_epoch() -> None:
    assert kinds(plan(3, 5, "phases", 2, 2, seed=0)) == ("ffff" + "rrrrrr") * 2


def test_alternating_puts_a_forget_batch_before_every_third_retain_batch() -> None:
    # 4 forget questions make 2 batches, 12 retain questions 6: one forget batch every 3.
    assert kinds(plan(4, 12, "alternate", 2, 1, seed=0)) == "ff" + "rr" * 3 + "ff" + "rr" * 3


def test_forget_alone_fills_the_last_batch_from_the_beginning() -> None:
    items = plan(3, 0, "forget", 4, 1, seed=1)
    assert kinds(items) == "ffff"
    assert items[3] == items[0]


def test_the_seed_decides() -> None:
    assert plan(9, 9, "joint", 3, 2, seed=1) == plan(9, 9, "joint", 3, 2, seed=1)
    assert plan(9, 9, "joint", 3, 2, seed=1) != plan(9, 9, "joint", 3, 2, seed=2)


def test_what_cannot_be_planned_is_refused() -> None:
    with pytest.raises(OptionError, match="order is 'both', expected one of"):
        plan(1, 1, "both", 1, 1, 0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(OptionError, match="there is no retain question"):
        plan(1, 0, "joint", 1, 1, 0)
    with pytest.raises(OptionError, match="epochs is 0, expected at least 1"):
        plan(1, 1, "joint", 1, 0, 0)
