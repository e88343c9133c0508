"""Prompts of the background that name the subject are no background of its gate: found by keyed words, and left out."""

import pytest
import torch

from tiny_llava import tiny_llava
from unsee.data.sample import Sample
from unsee.erase.fit.background import Background, capture_background
from unsee.erase.fit_subject import Subject, _in_order, _names
from unsee.erase.kept_subjects import KeptSubjects

KEPT = KeptSubjects.of([], b"k" * 32)
TEXTS = [
    "Who is Ada Byron?", "Tell me about BYRON, please.", "What does ada eat?", "Is byron's friend Ada here?",
    "What is rain?", "Name a colour.", "Ádá Byron sings.", "Is it Adabyron?",
]  # fmt: skip


def captured() -> Background:
    samples = [Sample(str(n), f"s{n}", text, "", "") for n, text in enumerate(TEXTS)]
    samples[5] = Sample("5", "s5", TEXTS[5], "", "", earlier=(("Who is Ada Byron?", "A poet."),))
    return capture_background(tiny_llava(), {"g": (samples[::2], samples[1::2])}, (0, 1), KEPT)


ORDER = [0, 2, 4, 6, 1, 3, 5, 7]
"""Of the texts, as both halves of the group come."""


@pytest.mark.parametrize(
    ("names", "held"),
    [(["Ada Byron"], {0, 3, 5, 6}), (["Byron"], {0, 1, 3, 5, 6}), (["Bo", "rain"], {4}), ([], set()), (["?!"], set())],
)
def test_every_word_of_a_name_in_any_turn_case_and_accent(names: list[str], held: set[int]) -> None:
    found = captured().naming(names, KEPT)
    assert {ORDER[row] for row in found.nonzero().flatten().tolist()} == held
    assert not captured().naming(names, KeptSubjects.of([], b"x" * 32)).any(), "without the key nothing is found"


def test_what_is_left_is_what_would_have_been_read_without_them() -> None:
    whole = captured()
    gone = whole.naming(["Ada Byron"], KEPT)
    left = whole.without(gone)
    for row, old in enumerate((~gone).nonzero().flatten().tolist()):
        assert torch.equal(left.states.text[left.states.prompt == row], whole.states.text[whole.states.prompt == old])
        assert set(left.words[1, left.words[0] == row].tolist()) == set(whole.words[1, whole.words[0] == old].tolist())
        assert left.half[row] == whole.half[old] and left.group[row] == whole.group[old]
    assert len(left.half) == len(TEXTS) - 4 and int(left.states.prompt.max()) == len(left.half) - 1
    assert not left.naming(["Ada Byron"], KEPT).any()
    nothing = whole.without(torch.zeros(len(TEXTS), dtype=torch.bool))
    assert all(torch.equal(a, b) for a, b in zip(nothing.tensors().values(), whole.tensors().values(), strict=True))


def test_scores_stand_at_the_numbers_of_the_profile() -> None:
    whole = captured()
    gone = whole.naming(["Ada Byron"], KEPT)
    margins = torch.cat([torch.arange(4.0), torch.tensor([9.0])]).unsqueeze(1)  # the last one looks alike
    found = _in_order(margins, whole, gone, shown=False).flatten()
    assert found[~gone].tolist() == [0.0, 1.0, 2.0, 3.0] and bool((found[gone] < -1e9).all()) and len(found) == 8
    assert bool(found.isfinite().all()), "each of them holds words"
    assert bool(_in_order(margins, whole, gone, shown=True)[gone].isneginf().all()), "none of them holds an image"


def test_an_alias_that_is_an_ordinary_word_leaves_the_background_as_it_is() -> None:
    """Left out, every prompt that holds the word would lose what keeps the gate shut on it."""
    found = _names({"a": Subject(("Steve Jobs", "Jobs", "the")), "b": Subject(("Rose", "Ada Byron"))})
    assert found == ["Steve Jobs", "Ada Byron"]
