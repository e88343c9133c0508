"""ROUGE against a longest common subsequence by hand, BLEU against n-gram counts by hand, keywords by hand."""

import math
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from unsee.errors import OptionError
from unsee.metrics.bleu import bleu_mllmu, bleu_offside
from unsee.metrics.keywords import extraction, keyword_match, keyword_match_fiubench
from unsee.metrics.rouge import VARIANTS, rouge, rouge_recall_fiubench, umu_aligned_rouge

WORDS = st.lists(st.sampled_from(["rome", "oslo", "was", "born", "the", "a"]), min_size=1, max_size=9).map(" ".join)


def longest_common(a: list[str], b: list[str]) -> int:
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


@settings(max_examples=60, deadline=None)
@given(WORDS, WORDS)
def test_rouge_is_precision_recall_and_f_of_common_words(answer: str, reference: str) -> None:
    given, wanted = answer.split(), reference.split()
    common = longest_common(given, wanted)
    precision, recall = common / len(given), common / len(wanted)
    assert rouge(answer, reference, "rougeL-precision") == pytest.approx(precision)
    assert rouge(answer, reference, "rougeL-recall") == pytest.approx(recall)
    f = 2 * precision * recall / (precision + recall) if common else 0.0
    assert rouge(answer, reference, "rougeL-f") == pytest.approx(f)
    shared = sum((Counter(given) & Counter(wanted)).values())
    assert rouge(answer, reference, "rouge1-recall") == pytest.approx(shared / len(wanted))


@pytest.mark.parametrize("variant", VARIANTS)
def test_rouge_is_the_librarys_figure(variant: str) -> None:
    units, figure = VARIANTS[variant]
    truth = RougeScorer([units], use_stemmer=True).score("She studied chemistry.", "she studies chemistry in Oslo")
    assert rouge("she studies chemistry in Oslo", "She studied chemistry.", variant) == getattr(truth[units], figure)


def test_umu_aligns_two_modalities() -> None:
    assert umu_aligned_rouge(0.8, 0.2, forget=False) == pytest.approx(0.32)
    assert umu_aligned_rouge(0.8, 0.2, forget=True) == pytest.approx(0.68)
    assert umu_aligned_rouge(0.0, 0.0, forget=True) == umu_aligned_rouge(0.0, 0.0, forget=False) == 0.0
    assert umu_aligned_rouge(None, 0.2, forget=True) is None


def bleu(answer: Sequence[str], reference: Sequence[str]) -> float:
    """BLEU-4 with method 1, written out."""
    if not set(answer) & set(reference):
        return 0.0
    product = 1.0
    for order in range(1, 5):
        given = Counter(tuple(answer[i : i + order]) for i in range(len(answer) - order + 1))
        wanted = Counter(tuple(reference[i : i + order]) for i in range(len(reference) - order + 1))
        matches = sum((given & wanted).values())
        product *= (matches or 0.1) / max(1, sum(given.values()))
    brevity = 1.0 if len(answer) > len(reference) else math.exp(1 - len(reference) / len(answer))
    return brevity * product**0.25


@settings(max_examples=60, deadline=None)
@given(WORDS, WORDS)
def test_bleu_is_four_clipped_precisions_with_a_tenth_for_none(answer: str, reference: str) -> None:
    assert bleu_mllmu(answer, reference) == pytest.approx(bleu(answer.split(), reference.split()))


def test_bleu_variants_differ_in_what_a_word_is() -> None:
    answer, reference = "she was born in Lisbon.", "She was born in lisbon ."
    assert bleu_mllmu(answer, reference) == pytest.approx(bleu(answer.split(), reference.split()))
    assert bleu_offside(answer, reference) == 1.0
    assert bleu_mllmu(None, "x") is bleu_offside(None, "x") is bleu_mllmu("x", "") is bleu_offside("x", " ") is None
    assert bleu_mllmu("", "x") == 0.0


def test_keywords() -> None:
    assert keyword_match_fiubench("She has ASTHMA and a cat", ["asthma", "dog", "cat"]) == pytest.approx(2 / 3)
    assert keyword_match_fiubench("a party", ["art"]) == 1.0 and keyword_match("a party", ["art"]) == 0.0
    assert keyword_match("She has asthma", ["Asthma", "dog"]) == 0.5
    assert keyword_match("I have no information", ["information", "x"]) == 0.0
    assert keyword_match_fiubench(None, ["x"]) is keyword_match(None, ["x"]) is None
    assert keyword_match_fiubench("x", []) == 0.0 and keyword_match("x", ["..."]) is None


def test_extraction_over_paraphrases() -> None:
    assert extraction([0.0, 0.5, 1.0]) == 0.5
    assert extraction([0.0, 0.5, 0.5], worst=True) == 0.5
    assert extraction([0.0, None]) is extraction([]) is extraction([0.5, None], worst=True) is None
    assert extraction([1.0, None], worst=True) == 1.0


def test_rouge_of_what_is_not_there() -> None:
    assert rouge(None, "x") is None and rouge("", "x") == 0.0
    assert rouge("\u4ed6\u4f4f", "\u4ed6\u4f4f") is None, "the library would score it 0 against itself"
    with pytest.raises(OptionError, match=r"ROUGE variant is 'rougeL', expected one of \['rouge1-f'"):
        rouge("x", "x", "rougeL")


def test_fiubench_reads_up_to_the_first_full_stop() -> None:
    assert rouge_recall_fiubench("in Rome. Oslo", "in Rome") == 1.0
    assert rouge_recall_fiubench("in Rome", "in Rome") == 0.0
    assert rouge_recall_fiubench(None, "x") is None
