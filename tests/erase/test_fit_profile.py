"""A profile is refused where the model's own refusals, or every strength, give nothing that an answer could become."""

from collections.abc import Sequence

import pytest

from tiny_llava import question, tiny_llava
from unsee.data.sample import Sample
from unsee.erase import fit_profile as fitting
from unsee.errors import DirectionError
from unsee.models.load import LoadedModel

FLUENT, GARBLED = "He lives in a small town.", " ".join(["I cannot share that"] * 4)


def asked(first: int, text: str) -> list[Sample]:
    return [question(first + i, f"{text} {i}?", image=i % 2 == 0) for i in range(6)]


def test_refusals_that_are_never_fluent_give_no_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    recall, refusal = asked(0, "tell me"), asked(10, "give me the secret")

    def said(_: LoadedModel, samples: Sequence[Sample], *__: object, **___: object) -> list[str]:
        return [FLUENT if sample in recall else GARBLED for sample in samples]

    monkeypatch.setattr(fitting, "generate", said)
    with pytest.raises(DirectionError, match=r"refuses D\+ in 6 prompts, but never fluently: got \['I cannot share"):
        fitting.fit_profile(
            tiny_llava(), retain=asked(20, "where"), calibration=asked(30, "what"), recall=recall, refusal=refusal
        )
