"""Fits the weights of `unsee.metrics.detectors` on the development half: `python -m tools.detectors.fit`.

The held-out half is never read here. Beside the replies, the fluency detector learns from prose of Python's own manual
and from broken copies of both: words shuffled, moved, doubled, looped, or function words strewn in.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from pydoc_data.topics import topics

import torch

from tools.detectors.agreement import Reply, replies
from tools.detectors.judge_agreement import labels as older_labels
from unsee.data.text import words
from unsee.metrics.detectors import fluency, refusal

Example = tuple[str, bool, float]
"""Text, whether the answer is yes, weight."""
OUT = Path(__file__).parents[2] / "src" / "unsee" / "metrics" / "detectors"
PROSE = 700
OLDER = 0.5  # weight of the shorter replies of docs/metrics.md's judge
STREWN = words("the of to is i not and cannot a in")
BROKEN = 0.3


def main() -> None:
    """Write refusal.json and fluency.json."""
    known = [*replies("development"), *replies("held out")]
    _write("refusal", _fit(list(_refusals(known)), refusal.features, fewest=2, penalty=2.0))
    _write("fluency", _fit(list(_sound(known)), fluency.features, fewest=3, penalty=3.0))


def _refusals(known: Iterable[Reply]) -> Iterator[Example]:
    for one in known:
        if one.label == "partial":
            yield refusal.opening(one.answer), True, 1.0
        elif one.label == "garbled":
            yield one.answer, False, OLDER
        else:
            yield one.answer, one.declines, 1.0
            yield refusal.opening(one.answer), one.declines, 0.5
    for older in older_labels("known"):
        score = older.judgement.contextual_refusal or 0
        if older.shape in ("refusal", "generic refusal", "correct", "wrong", "gibberish"):
            yield older.answer, score >= 3, OLDER


def _sound(known: Iterable[Reply]) -> Iterator[Example]:
    rng = random.Random(0)
    whole = [(one.answer, one.fluent, 1.0) for one in known]
    for older in older_labels("known"):
        score = older.judgement.naturalness or 0
        if older.shape != "other language" and score != 3:
            whole.append((older.answer, score == 5, OLDER))
    whole += [(text, True, BROKEN) for text in _prose(rng)]
    yield from whole
    for text, sound, weight in whole:
        if sound and len(text.split()) > 5:
            yield _broken(text, rng), False, min(weight, BROKEN)


def _prose(rng: random.Random) -> list[str]:
    """Pairs of sentences of Python's manual without code."""
    paragraphs = [" ".join(part.split()) for text in topics.values() for part in text.split("\n\n")]
    clean = [one for one in paragraphs if not re.search(r"[*<>=\[\]{}()_]|\d\.", one) and len(one.split()) >= 8]
    sentences = [re.split(r"(?<=[.!?]) ", one) for one in clean]
    pairs = [" ".join(one[at : at + 2])[:260] for one in sentences for at in range(0, len(one), 2)]
    rng.shuffle(pairs)
    return pairs[:PROSE]


def _broken(text: str, rng: random.Random) -> str:
    said = text.split()
    way = rng.randrange(5)
    if way == 0:
        rng.shuffle(said)
    elif way == 1:
        for _ in range(max(2, len(said) // 4)):
            at = rng.randrange(len(said))
            to = max(0, min(len(said) - 1, at + rng.choice((-3, -2, 2, 3))))
            said[at], said[to] = said[to], said[at]
    elif way == 2:
        for _ in range(max(2, len(said) // 6)):
            at = rng.randrange(len(said))
            said.insert(at, said[at])
    elif way == 3:
        at, size = rng.randrange(len(said) - 4), rng.randrange(2, 7)
        said = said[:at] + said[at : at + size] * rng.randrange(3, 5)
    else:
        said = [word for word in said if rng.random() > 0.35]
        for _ in range(1 + len(said) // 5):
            said.insert(
                rng.randrange(len(said) + 1),
                rng.choice(["the", "of", "to", "is", "i", "not", "and", "cannot", "a", "in"]),
            )
    return " ".join(said)


def _fit(
    examples: list[Example], features: Callable[[str], set[str]], fewest: int, penalty: float
) -> tuple[float, dict[str, float]]:
    """Logistic regression, `penalty / 2 * sum of squared weights`, over features that occur `fewest` times."""
    found = [features(text) for text, _, _ in examples]
    counts = Counter(feature for one in found for feature in one)
    places = {name: at for at, name in enumerate(sorted(name for name, n in counts.items() if n >= fewest))}
    x = torch.zeros(len(examples), len(places), dtype=torch.float64)
    for row, one in enumerate(found):
        x[row, [places[name] for name in one if name in places]] = 1
    y = torch.tensor([float(yes) for _, yes, _ in examples], dtype=torch.float64)
    weight = torch.tensor([weight for *_, weight in examples], dtype=torch.float64)
    w = torch.zeros(len(places), dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([w, bias], max_iter=80, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        entropy = torch.nn.functional.binary_cross_entropy_with_logits(x @ w + bias, y, weight, reduction="sum")
        value = entropy + penalty * (w**2).sum() / 2
        value.backward()
        return value

    optimizer.step(loss)  # pyright: ignore[reportArgumentType]
    w, bias = w.detach(), bias.detach()
    return float(bias), {name: float(w[at]) for name, at in places.items()}


def _write(name: str, fitted: tuple[float, dict[str, float]]) -> None:
    """Two decimals; weights below 0.02 are dropped."""
    bias, weights = fitted
    kept = {feature: round(weight, 2) for feature, weight in weights.items() if abs(weight) >= 0.02}
    record = {"bias": round(bias, 2), "weights": kept}
    (OUT / f"{name}.json").write_text(json.dumps(record, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    print(f"{name}: {len(kept)} weights")


if __name__ == "__main__":
    main()
