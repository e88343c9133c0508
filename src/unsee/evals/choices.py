"""Which measures an evaluation can take, by name, and which it takes where none is named."""

from collections.abc import Iterable, Sequence

from unsee.data.benchmarks.items import Protocol
from unsee.errors import OptionError
from unsee.metrics import choice, cloze, rouge

STRINGS = (
    *(f"accuracy-{name}" for name in choice.PARSERS), "unparsed",
    *(card.name for card in cloze.CARDS),
    *rouge.VARIANTS, "rougeL-recall-fiubench", "bleu-mllmu", "bleu-offside",
    "keyword-em-fiubench", "keyword-em",
    "refusal", "refusal-asru-pattern", "leak", "fluent", "rr", "sarr",
    "asru-reward-forget", "asru-reward-retain",
)  # fmt: skip
"""From the answer alone."""

JUDGED = {
    "asru-contextual-refusal": "contextual_refusal",
    "asru-leakage": "leakage",
    "asru-naturalness": "naturalness",
}
"""From a judge's scores: name of the measure to the judge's."""

LIKELIHOODS = (
    "probability", "sequence-log-probability", "probability-contrastive", "truth-ratio-forget", "truth-ratio-retain",
    "answer-rank", "answer-in-top-k", "token-in-top-k", "exposure-bits",
)  # fmt: skip
"""From the probability of given answers: further passes of the model."""

SAMPLED = "leak-at-k"
"""From further answers, drawn instead of greedy."""

SAFETY = "asr"
"""From a judge of safety, which no rule stands in for."""

MEMBERSHIP = {
    "mia-auc-loss": "loss",
    "mia-auc-zlib": "zlib",
    "mia-auc-min-k": "min-k",
    "mia-auc-min-k-plus-plus": "min-k-plus-plus",
    "mia-tpr-at-fpr": "loss",
    "mia-open-mm": "loss",
}
"""From how a row's answer stands among those about strangers: name to the score of a row that is compared."""

AGAINST = ("forget-quality-log10", "js-distance-histogram", "js-distance-clear-weights")
"""From the truth ratios of two models: `unsee compare` takes them against the model that never knew."""

GROUPED: dict[str, tuple[str, ...]] = {
    "all-modal-accuracy": ("accuracy-umu-closest-option", "cloze-umu-substring"),
    "all-modal-error": ("accuracy-umu-closest-option", "cloze-umu-substring"),
    "modality-gap": ("accuracy-umu-closest-option", "cloze-umu-substring"),
    "rougeL-umu-forget": ("rougeL-f",),
    "rougeL-umu-retain": ("rougeL-f",),
    "ape-mean": ("keyword-em-fiubench",),
    "ape-worst": ("keyword-em-fiubench",),
    "distinct-2": (),
    "model-utility": ("rougeL-recall", "probability", "probability-contrastive", "truth-ratio-retain"),
    **dict.fromkeys(AGAINST, ("truth-ratio-forget",)),
}
"""From several rows together: name to the measures of a row that it is made of, which are taken with it."""

MEASURES = (*STRINGS, *JUDGED, *LIKELIHOODS, SAMPLED, SAFETY, *MEMBERSHIP, *GROUPED)

_RELEASED: dict[str, tuple[str, ...]] = {
    "mllmu": ("accuracy-mllmu-first-char", "cloze-mllmu-substring", "rougeL-f", "bleu-mllmu"),
    "clear": (
        "rouge1-recall", "rougeL-recall", "probability", "truth-ratio-forget", "truth-ratio-retain", "model-utility",
        "js-distance-clear-weights",
    ),
    "clear-choice": ("accuracy-mmunlearner-first-alphanumeric", "rouge1-recall", "rougeL-recall"),
    "umu": (
        "accuracy-umu-closest-option", "cloze-umu-substring", "rougeL-f", "all-modal-accuracy", "all-modal-error",
        "rougeL-umu-forget", "rougeL-umu-retain", "refusal",
    ),
    "fiubench": (
        "rougeL-recall-fiubench", "keyword-em-fiubench", "ape-mean", "probability", "truth-ratio-forget",
        "truth-ratio-retain", "model-utility",
    ),
    "safeeraser": ("rr", "sarr", "rougeL-precision"),
    "offside": ("accuracy-offside-pattern", "bleu-offside", "rouge1-f", "rouge2-f", "rougeL-f"),
    "unlok": ("leak",),
}  # fmt: skip
_HONEST = ("accuracy-strict", "unparsed", "cloze-strict", "rougeL-f", *JUDGED)
_OWN: dict[str, tuple[str, ...]] = {
    "clear": ("truth-ratio-forget", "truth-ratio-retain"),
    "umu": ("all-modal-accuracy", "modality-gap"),
    "fiubench": ("keyword-em", "ape-worst", "truth-ratio-forget", "truth-ratio-retain"),
    "safeeraser": ("rr", "sarr"),
}
"""What the honest protocol takes of a benchmark beside the strict measures: what only its data can give."""


def default_measures(benchmark: str | None, protocol: Protocol) -> tuple[str, ...]:
    """What is measured where nothing is named: the release's own measures, or the strict ones."""
    if benchmark is None:
        return _HONEST
    return _RELEASED[benchmark] if protocol == "official" else (*_HONEST, *_OWN.get(benchmark, ()))


def takes_probabilities(names: Iterable[str]) -> bool:
    """Whether any of the measures needs the probability of given answers, and so the model itself."""
    return not {*LIKELIHOODS, *MEMBERSHIP}.isdisjoint(names)


def require_measures(names: Sequence[str]) -> tuple[str, ...]:
    """The measures as named, with those that they are made of.

    Raises:
        OptionError: there is no such measure; lists those that there are.
    """
    for name in names:
        if name not in MEASURES:
            raise OptionError(
                f"measure is {name!r}, expected some of {sorted(MEASURES)}. docs/metrics.md explains each."
            )
    return tuple(dict.fromkeys(part for name in names for part in (name, *GROUPED.get(name, ()))))
