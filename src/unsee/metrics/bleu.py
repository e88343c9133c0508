"""Sentence BLEU as the benchmarks compute it: nltk, four n-gram orders, Chen and Cherry's smoothing method 1.

`BLEU = min(1, e^(1 - r/c)) (p_1 p_2 p_3 p_4)^(1/4)` with c words in the answer, r in the reference, and p_n the clipped
share of the answer's n-grams that the reference has. Method 1 puts 0.1 for a count of 0 (Chen and Cherry 2014), and an
answer shorter than n words counts as one missed n-gram: two words that are exactly right get 0.32.
In [0, 1]; lower is better on what must be forgotten. Source: Papineni et al. 2002; `nltk.translate.bleu_score`.
"""

from collections.abc import Sequence

from unsee.metrics.estimate import Card

CARDS = (
    Card("bleu-mllmu", forget="lower", keep="higher"),
    Card("bleu-offside", forget="lower", keep="higher"),
)


def bleu_mllmu(answer: str | None, reference: str) -> float | None:
    """MLLMU-Bench and UMU-Bench: words are what stands between white space, so "Lisbon." is not "Lisbon".

    None without an answer, or where the reference is empty.
    Source: `compute_bleu` in eval.py of github.com/franciscoliu/MLLMU-Bench and of github.com/QDRhhhh/UMU-bench.
    """
    return None if answer is None else _method1(answer.split(), reference.split())


def bleu_offside(answer: str | None, reference: str) -> float | None:
    """OFFSIDE: lower case, words as nltk's tokenizer separates them from punctuation.

    The release first splits sentences by a model that nltk downloads. Here a text is one sentence, which differs where
    a full stop stands inside it. None without an answer, or where the reference is empty.
    Source: `compute_bleu` in eval/eval_generation.py of github.com/zh121800/OFFSIDE.
    """
    from nltk.tokenize import word_tokenize

    if answer is None:
        return None
    given, wanted = (word_tokenize(text.lower(), preserve_line=True) for text in (answer, reference))
    return _method1(given, wanted)


def _method1(answer: Sequence[str], reference: Sequence[str]) -> float | None:
    # Imported here: nltk takes longer to import than all other measures together.
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    if not reference:
        return None
    score = sentence_bleu([list(reference)], list(answer), smoothing_function=SmoothingFunction().method1)
    assert isinstance(score, int | float)  # a list comes only of a list of weightings
    return float(score)
