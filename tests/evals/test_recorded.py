"""What was said is not asked again, by anybody with the same weights; a torn line costs one answer."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tiny_foreign import tiny_llama
from unsee.data.sample import Sample
from unsee.evals.answerers import Draw, How, Local, Recorded


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Ids of the samples that the model itself was asked, in order."""
    monkeypatch.setenv("UNSEE_CACHE", str(tmp_path))
    ids: list[str] = []
    real = Local.answers

    def answers(self: Local, samples: Sequence[Sample], how: How, begun: Sequence[str] = ()) -> list[str]:
        ids.extend(sample.id for sample in samples)
        return real(self, samples, how, begun)

    monkeypatch.setattr(Local, "answers", answers)
    return ids


SAMPLES = [Sample(name, "s", f"who is {name}?", "", "") for name in ("ann", "bo", "cy")]
HOW = How(max_new_tokens=4)


def test_each_prompt_is_asked_once(asked: list[str]) -> None:
    loaded = tiny_llama()
    plain = Local(loaded).answers(SAMPLES, HOW)
    asked.clear()
    assert Recorded.of(loaded).answers(SAMPLES[:2], HOW) == plain[:2]
    again = Recorded.of(loaded)
    assert again.answers([replace(SAMPLES[1], id="other"), SAMPLES[2], SAMPLES[2]], HOW) == [plain[1], *plain[2:] * 2]
    assert set(asked) == {"ann", "bo", "cy"} and asked.count("bo") == 1


def test_another_length_a_draw_and_other_weights_are_asked(asked: list[str]) -> None:
    first, other = tiny_llama(), tiny_llama(seed=5)
    recorded = Recorded.of(first)
    recorded.answers(SAMPLES[:1], HOW)
    recorded.answers(SAMPLES[:1], How(max_new_tokens=5))
    recorded.answers(SAMPLES[:1], How(max_new_tokens=4, draw=Draw(0)))
    Recorded.of(other).answers(SAMPLES[:1], HOW)
    recorded.answers(SAMPLES[:1], HOW, ["I"])
    assert asked == ["ann"] * 5


def test_a_torn_line_is_asked_again(asked: list[str]) -> None:
    recorded = Recorded.of(tiny_llama())
    said = recorded.answers(SAMPLES, HOW)
    text = recorded.place.read_text(encoding="utf-8")
    recorded.place.write_text(text[:-9], encoding="utf-8")
    asked.clear()
    assert Recorded.of(tiny_llama()).answers(SAMPLES, HOW) == said
    assert asked == ["cy"]
