"""Both ways of asking one question: is a fact known with the image and as plain text, with neither, or with one only?

The gap is what unlearning with images alone leaves open. Source: UMU-Bench (NeurIPS 2025 D&B), eval.py of
github.com/QDRhhhh/UMU-bench.
"""

from unsee.metrics.estimate import Card

CARDS = (
    Card("all-modal-accuracy", forget="lower", keep="higher"),
    Card("all-modal-error", forget="higher", keep="lower"),
    Card("modality-gap", forget="same", keep="same", low=-1.0),
)


def all_modal_accuracy(image: bool, text: bool) -> float:
    """1 where it was answered rightly in both modalities."""
    return float(image and text)


def all_modal_error(image: bool, text: bool) -> float:
    """1 where it was answered wrongly in both; not 1 less the accuracy: pairs that are half right are in neither."""
    return float(not image and not text)


def modality_gap(image: bool, text: bool) -> float:
    """Accuracy with the image less accuracy as text: -1, 0 or 1."""
    return float(image) - float(text)
