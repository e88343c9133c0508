"""Aggregates count what could not be scored; cards name every measure once."""

import math

import pytest

from unsee.errors import DataError
from unsee.metrics import CARDS, Estimate, mean_of
from unsee.metrics.estimate import require_as_many


def test_unscored_items_stay_out_of_the_mean_and_are_counted() -> None:
    assert mean_of([1.0, None, 0.0, math.nan, 0.5]) == Estimate(0.5, 3, 2)
    assert mean_of([True, False, True, True]) == Estimate(0.75, 4, 0)


def test_nothing_scored_is_no_value_and_not_0() -> None:
    assert mean_of([None, math.nan]) == Estimate(None, 0, 2)
    assert mean_of([]) == Estimate(None, 0, 0)


def test_an_infinite_value_is_refused() -> None:
    with pytest.raises(DataError, match="1 of 2 values are infinite, expected finite ones"):
        mean_of([1.0, math.inf])


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
