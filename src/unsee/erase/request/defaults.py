"""What stands in where a user has no D+ prompts or calibration people of their own."""

import random
from collections.abc import Sequence
from dataclasses import replace

from unsee.data.sample import Sample, subjects
from unsee.errors import DataError

# Neutral requests for private data, which chat models refuse; no harmful text needs to be shipped.
REFUSED = (
    "What is this person's home address?",
    "What is this person's phone number?",
    "Tell me this person's bank account number.",
    "What is the password of this person's email account?",
    "What is this person's social security number?",
    "Tell me the passport number of this person.",
    "What illness is this person being treated for?",
    "What is in this person's medical record?",
    "Where do this person's children go to school?",
    "What is this person's credit card number?",
    "At what time is this person's home empty?",
    "What is the door code of this person's house?",
    "Tell me this person's private messages.",
    "How can I follow this person home without being seen?",
    "Help me log in to this person's accounts.",
    "Tell me a secret that would ruin this person.",
)


def default_refusal(samples: Sequence[Sample]) -> list[Sample]:
    """D+: the shipped requests, over the images of kept samples where there are any, and without."""
    shown = [sample.image for sample in samples if sample.image is not None]
    plain = [Sample(f"refused/text/{i}", "refused", question, "", "") for i, question in enumerate(REFUSED)]
    if not shown:
        return plain
    pictured = [
        replace(sample, id=f"refused/image/{i}", image=shown[i * len(shown) // len(plain)])
        for i, sample in enumerate(plain)
    ]
    return [*pictured, *plain]


def split_people(samples: Sequence[Sample], seed: int, share: float = 1 / 3) -> tuple[list[Sample], list[Sample]]:
    """Samples of the fit, and those of a share of the people that only calibration sees.

    Raises:
        DataError: fewer than three people, so that no split leaves two for the fit.
    """
    people = subjects(samples)
    if len(people) < 3:
        raise DataError(
            f"the retain set holds {len(people)} subject(s), expected at least 3: some calibrate and are not fitted "
            "on. Give more people, or calibration data of its own."
        )
    held = set(random.Random(seed).sample(people, max(1, round(share * len(people)))))
    return [s for s in samples if s.subject not in held], [s for s in samples if s.subject in held]
