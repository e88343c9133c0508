"""Which measures an evaluation can take, by name, and which it takes where none is named."""

from collections.abc import Iterable, Sequence

from unsee.data.benchmarks.items import Protocol
from unsee.errors import OptionError
from unsee.metrics import CARDS, choice, cloze, rouge
from unsee.registry import BENCHMARKS, METRICS

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
"""From how a row's answer stands among those about unknown people: name to the score of a row that is compared."""

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

MEASURES = (*STRINGS, *JUDGED, *LIKELIHOODS, SAFETY, *MEMBERSHIP, *GROUPED)

_HONEST = ("accuracy-strict", "unparsed", "cloze-strict", "rougeL-f", *JUDGED)


def default_measures(benchmark: str | None, protocol: Protocol) -> tuple[str, ...]:
    """What is measured where nothing is named: the release's own measures, or the strict ones."""
    if benchmark is None:
        return _HONEST
    facts = BENCHMARKS.named(benchmark).facts
    return facts["measures"] if protocol == "official" else (*_HONEST, *facts["own"])


def takes_probabilities(names: Iterable[str]) -> bool:
    """Whether any of the measures needs the probability of given answers, and so the model itself."""
    return not {*LIKELIHOODS, *MEMBERSHIP}.isdisjoint(names)


def require_measures(names: Sequence[str]) -> tuple[str, ...]:
    """The measures as named, with those that they are made of.

    Raises:
        OptionError: there is no such measure; lists those that there are.
    """
    for name in names:
        if name not in MEASURES and (name in CARDS or name not in METRICS):
            others = [other for other in METRICS.names() if other not in CARDS]
            raise OptionError(
                f"measure is {name!r}, expected some of {sorted((*MEASURES, *others))}. docs/metrics.md explains each."
            )
    return tuple(dict.fromkeys(part for name in names for part in (name, *GROUPED.get(name, ()))))
