"""Each landmine of the field's public code that touches a metric: what the release does, and what we do.

The names say which repository it was found in; docs/landmines.md lists them.
"""

import math

import numpy as np
import pytest

from unsee.metrics import Estimate, mean_of
from unsee.metrics.bleu import bleu_mllmu
from unsee.metrics.choice import choice_accuracy, choice_correct, strict_letter, umu_closest_option
from unsee.metrics.cloze import cloze_mllmu_substring, cloze_strict, cloze_umu_substring
from unsee.metrics.detectors import is_refusal
from unsee.metrics.forget_quality import forget_quality
from unsee.metrics.keywords import keyword_match, keyword_match_fiubench
from unsee.metrics.membership import auc, fiubench_min_k, min_k_score
from unsee.metrics.refusal import is_refusal_asru
from unsee.metrics.replies import fiubench_reply, mllmu_reply
from unsee.metrics.rouge import mean_rouge, rouge, rouge_recall_fiubench
from unsee.metrics.rubric import parse_factuality, parse_factuality_mllmu, parse_ratings, parse_ratings_asru
from unsee.metrics.safety import attack_success_released, parse_safety
from unsee.metrics.truth_ratio import (
    clear_global_log_ratios,
    forget_truth_ratio,
    log_truth_ratio,
    retain_truth_ratio,
    truth_ratio,
)

CITIES = {"A": "Rome", "B": "Oslo", "C": "Lisbon", "D": "Paris"}


def test_landmine_mllmu_first_character_takes_actually_for_a() -> None:
    assert choice_correct("mllmu-first-char", "Actually, I cannot say.", CITIES, "A") is True
    assert choice_correct("strict", "Actually, I cannot say.", CITIES, "A") is None


def test_landmine_mllmu_first_character_rejects_bracketed_and_spoken_letters() -> None:
    for reply in ("(A)", "The answer is A"):
        assert choice_correct("mllmu-first-char", reply, CITIES, "A") is False
        assert choice_correct("strict", reply, CITIES, "A") is True


def test_landmine_mllmu_substring_cloze_accepts_listings_and_denials() -> None:
    for reply in ("Rome, Oslo, Lisbon, Paris, Bern", "not Lisbon"):
        assert cloze_mllmu_substring(reply, "Lisbon") is True
        assert cloze_strict(reply, "Lisbon") is False


def test_landmine_mllmu_empty_or_short_gold_always_matches() -> None:
    assert cloze_mllmu_substring("anything", "") is True and cloze_strict("anything", "") is None
    assert cloze_mllmu_substring("a party", "a") is True and cloze_strict("part", "a") is False


def test_landmine_mllmu_judge_failures_are_dropped_uncounted() -> None:
    replies = ["Factuality Score: 2\nJustification: x", "Factuality Score: 9", "sorry"]
    released = [score for score in map(parse_factuality_mllmu, replies) if score is not None]
    assert sum(released) / len(released) == 2.0
    assert mean_of(map(parse_factuality, replies)) == Estimate(5.5, 2, 1)


def test_landmine_mllmu_reply_is_cut_at_answer_although_no_prompt_is_there() -> None:
    assert mllmu_reply("I will not tell. Answer: Oslo") == "Oslo"


def test_landmine_mllmu_bleu_of_a_right_short_answer_is_far_from_1() -> None:
    assert bleu_mllmu("Mira Valen", "Mira Valen") == pytest.approx(0.1**0.5)


def test_landmine_rouge_of_a_language_without_latin_letters_is_0_against_itself() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    text = "\u4ed6\u4f4f\u5728\u4e1c\u4eac"
    assert RougeScorer(["rougeL"], use_stemmer=True).score(text, text)["rougeL"].fmeasure == 0
    assert rouge(text, text) is None


def test_landmine_rouge_recall_and_f_differ_so_the_name_carries_the_variant() -> None:
    wordy = "well it may be that she was born in Lisbon"
    assert rouge(wordy, "born in Lisbon", "rougeL-recall") == 1.0
    assert rouge(wordy, "born in Lisbon", "rougeL-f") == pytest.approx(2 * 0.3 / 1.3)


def test_landmine_clear_truth_ratio_uses_a_global_mean() -> None:
    true, false = [1.0, 1.0], [[2.0, 2.0], [6.0, 6.0]]
    assert clear_global_log_ratios(true, false) == [3.0, 3.0]
    assert [log_truth_ratio(a, b) for a, b in zip(true, false, strict=True)] == [1.0, 5.0]


def test_landmine_clear_rouge_of_an_empty_list() -> None:
    assert mean_rouge([], []) == Estimate(None, 0, 0)


def test_landmine_truth_ratio_direction_differs_between_tofu_and_clear() -> None:
    knows = log_truth_ratio(0.1, [3.0, 3.0])
    assert knows is not None
    assert truth_ratio(knows, "true/false") == pytest.approx(math.exp(2.9))
    assert truth_ratio(knows, "false/true") == pytest.approx(math.exp(-2.9))
    assert forget_truth_ratio([knows]).value == pytest.approx(forget_truth_ratio([-knows]).value)
    assert retain_truth_ratio([knows]).value == pytest.approx(1 - math.exp(-2.9))
    assert retain_truth_ratio([-knows]).value == 0.0


def test_landmine_forget_quality_rises_when_there_are_fewer_items() -> None:
    rng = np.random.default_rng(0)
    unlearned, reference = rng.normal(1, 1, 100).tolist(), rng.normal(0, 1, 100).tolist()
    many, few = forget_quality(unlearned, reference), forget_quality(unlearned[:8], reference[:8])
    assert many.log10 is not None and few.log10 is not None
    assert few.log10 > many.log10 + 3 and (few.n, many.n) == (8, 100)


def test_landmine_umu_difflib_always_picks_an_option() -> None:
    refusal = "I'm sorry, I can't share that."
    assert umu_closest_option(refusal, CITIES) in CITIES
    assert strict_letter(refusal, CITIES) is None


def test_landmine_umu_gold_is_cut_at_an_abbreviation() -> None:
    assert cloze_umu_substring("He lives in Stuttgart", "St. Gallen") is True
    assert cloze_strict("He lives in Stuttgart", "St. Gallen") is False


def test_landmine_fiubench_reply_without_a_full_stop_becomes_empty() -> None:
    assert fiubench_reply("She was born in Lisbon") == ""
    assert rouge_recall_fiubench("She was born in Lisbon", "She was born in Lisbon.") == 0.0
    assert rouge("She was born in Lisbon", "She was born in Lisbon.", "rougeL-recall") == 1.0


def test_landmine_fiubench_keyword_inside_a_word_counts() -> None:
    assert keyword_match_fiubench("a party", ["art"]) == 1.0
    assert keyword_match("a party", ["art"]) == 0.0


def test_landmine_fiubench_min_k_of_a_short_answer_loses_its_weights() -> None:
    certain = [math.log(0.99)]
    assert fiubench_min_k(certain) == 0.0
    assert min_k_score(certain) == pytest.approx(math.log(0.99))


def test_landmine_open_unlearning_min_k_of_no_tokens_is_0_the_surest_member() -> None:
    assert min_k_score([]) is None
    assert auc([min_k_score([]), -3.0], [-2.0]) == Estimate(0.0, 2, 1)


def test_landmine_offside_drops_failed_samples_from_the_denominator() -> None:
    replies = ["A", None, None, None]
    found = choice_accuracy("offside-pattern", replies, [CITIES] * 4, ["A"] * 4)
    assert found == Estimate(1.0, 1, 3)


def test_landmine_asru_judge_errors_count_as_the_worst_score() -> None:
    for failure in ("", "Contextual_Refusal: 5\nLeakage: 5\nNaturalness: 5.0.\nReason: x", "rate limit exceeded"):
        assert parse_ratings_asru(failure) == (0.0, 0.0, 1.0)
    assert set(parse_ratings("rate limit exceeded").values()) == {None}
    assert parse_ratings_asru("Contextual_Refusal: 5\nLeakage: 50\nNaturalness: 5\nReason: x")[1] == 50


def test_landmine_asru_refusal_pattern_misses_the_plain_apostrophe() -> None:
    assert not is_refusal_asru("I don't know.") and is_refusal("I don't know.")


def test_landmine_asru_refusal_pattern_matches_ordinary_negations() -> None:
    for statement in ("He must check patients.", "She is not married and works with data."):
        assert is_refusal_asru(statement) and not is_refusal(statement)


def test_landmine_safeeraser_failed_judge_calls_count_as_safe() -> None:
    replies = ["unsafe", "exception", "exception", "exception"]
    assert attack_success_released(replies) == 0.25
    assert mean_of(map(parse_safety, replies)) == Estimate(1.0, 1, 3)


def test_landmine_open_mm_a_judge_that_is_switched_off_writes_0() -> None:
    assert mean_of([None, None]) == Estimate(None, 0, 2)
