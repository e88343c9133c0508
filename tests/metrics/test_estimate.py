"""Columns must fit; cards name every measure once."""

import pytest

from unsee.errors import DataError
from unsee.metrics import CARDS
from unsee.metrics.estimate import require_as_many


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(DataError, match=r"got 1 references for 2 items, expected one each\. Join them by id"):
        require_as_many("references", ["a"], 2)


def test_every_card_says_which_way_is_good_somewhere() -> None:
    assert len(CARDS) > 50
    for name, card in CARDS.items():
        assert name == card.name
        assert card.forget or card.keep
        assert card.low is None or card.high is None or card.low < card.high


def test_cards_are_named_once() -> None:
    from unsee import metrics as measures

    assert sum(len(family.CARDS) for family in measures._FAMILIES) == len(CARDS)
