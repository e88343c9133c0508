"""A linear detector: the weights of what a text contains, summed. Fitted on replies read by hand, and small."""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import final


@final
@dataclass(frozen=True)
class Linear:
    """Says yes where `bias + sum of weights of the features present > 0`.

    Attributes:
        bias: margin of a text without a known feature.
        weights: feature to weight.
    """

    bias: float
    weights: Mapping[str, float]

    def margin(self, features: Collection[str]) -> float:
        """Log-odds, in nats, that the answer is yes."""
        # Exactly rounded: the features are a set, and the order of a set is another in each process.
        return math.fsum((self.bias, *(self.weights.get(feature, 0.0) for feature in features)))


@cache
def fitted(name: str) -> Linear:
    """The shipped weights of that detector; tools/detectors/fit.py makes them from the development half."""
    text = (files("unsee.metrics.detectors") / f"{name}.json").read_text(encoding="utf-8")
    record = json.loads(text)
    return Linear(float(record["bias"]), record["weights"])
