"""Both ways of asking at once: is a fact known with the image and as plain text, with neither, or with one only?

The gap is what unlearning with images alone leaves open. Source: UMU-Bench (NeurIPS 2025 D&B), eval.py of
github.com/QDRhhhh/UMU-bench.
"""

from collections.abc import Sequence

from unsee.metrics.estimate import Card, Estimate, mean_of, require_as_many

CARDS = (
    Card("all-modal-accuracy", forget="lower", keep="higher"),
    Card("all-modal-error", forget="higher", keep="lower"),
    Card("modality-gap", forget="same", keep="same", low=-1.0),
)


def all_modal_accuracy(image: Sequence[bool | None], text: Sequence[bool | None]) -> Estimate:
    """Share of questions answered rightly in both modalities: `mean[image and text]`, in [0, 1].

    A pair with one side unscored is unscored.

    Raises:
        DataError: the columns are of unequal length.
    """
    return mean_of(None if pair is None else all(pair) for pair in _pairs(image, text))


def all_modal_error(image: Sequence[bool | None], text: Sequence[bool | None]) -> Estimate:
    """Share of questions answered wrongly in both modalities: `mean[not image and not text]`, in [0, 1].

    Not 1 less the accuracy: pairs that are half right are in neither.

    Raises:
        DataError: the columns are of unequal length.
    """
    return mean_of(None if pair is None else not any(pair) for pair in _pairs(image, text))


def modality_gap(image: Sequence[bool | None], text: Sequence[bool | None]) -> Estimate:
    """Accuracy with images less accuracy as text, over questions scored in both, in [-1, 1].

    Raises:
        DataError: the columns are of unequal length.
    """
    return mean_of(None if pair is None else float(pair[0]) - float(pair[1]) for pair in _pairs(image, text))


def _pairs(image: Sequence[bool | None], text: Sequence[bool | None]) -> list[tuple[bool, bool] | None]:
    require_as_many("answers as text", text, len(image))
    return [None if a is None or b is None else (a, b) for a, b in zip(image, text, strict=True)]
