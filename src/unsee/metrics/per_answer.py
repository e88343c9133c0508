"""All measures of one answer that need only its string: what a row of an evaluation file holds."""

from collections.abc import Sequence

from unsee.data.sample import Sample
from unsee.metrics.bleu import bleu_mllmu
from unsee.metrics.choice import PARSERS, choice_correct
from unsee.metrics.cloze import cloze_mllmu_substring, cloze_strict, cloze_umu_substring
from unsee.metrics.detectors import is_fluent, is_refusal
from unsee.metrics.keywords import keyword_match, keyword_match_fiubench
from unsee.metrics.leakage import leaked
from unsee.metrics.refusal import is_refusal_asru
from unsee.metrics.reward import forget_reward, retain_reward
from unsee.metrics.rouge import VARIANTS, rouge, rouge_recall_fiubench


def measure(sample: Sample, answer: str | None, keywords: Sequence[str] = ()) -> dict[str, float | None]:
    """Name of each measure that applies to the sample's form, to its value; None where unscored.

    The reference is `sample.answer` for a generation (what the model was taught to say) and `sample.gold` for a cloze.

    Args:
        sample: the question.
        answer: what the model said, or None when it failed to say anything; then every value is None.
        keywords: of the fact, where the benchmark gives any.
    """
    found: dict[str, float | None] = {
        "refusal": None if answer is None else is_refusal(answer),
        "refusal-asru-pattern": None if answer is None else is_refusal_asru(answer),
        "fluent": None if answer is None else is_fluent(answer),
        "leak": leaked(answer, sample.gold),
    }
    if sample.form == "classification":
        options = sample.options or {}
        found |= {f"accuracy-{name}": choice_correct(name, answer, options, sample.answer) for name in PARSERS}
        found["unparsed"] = None if answer is None else PARSERS["strict"](answer, options) is None
    elif sample.form == "cloze":
        found["cloze-mllmu-substring"] = cloze_mllmu_substring(answer, sample.gold)
        found["cloze-umu-substring"] = cloze_umu_substring(answer, sample.gold)
        found["cloze-strict"] = cloze_strict(answer, sample.gold)
    else:
        found |= {name: rouge(answer, sample.answer, name) for name in VARIANTS}
        found["rougeL-recall-fiubench"] = rouge_recall_fiubench(answer, sample.answer)
        found["bleu-mllmu"] = bleu_mllmu(answer, sample.answer)
        found["asru-reward-forget"] = forget_reward(answer, sample.answer)
        found["asru-reward-retain"] = retain_reward(answer, sample.answer)
    if keywords:
        found["keyword-em-fiubench"] = keyword_match_fiubench(answer, keywords)
        found["keyword-em"] = keyword_match(answer, keywords)
    return {name: None if value is None else float(value) for name, value in found.items()}
