"""Two public subjects forgotten in SmolLM2, by the demo's own loop; needs `unsee models get smollm2`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from unsee.data.benchmarks.public_knowledge import public_knowledge
from unsee.errors import ModelError
from unsee.evals.answerers import Recorded
from unsee.experiments.natural import fit as fitting
from unsee.experiments.natural import run as running
from unsee.experiments.natural.conditions import conditions
from unsee.experiments.natural.public import Sizes, draw, what_it_knows
from unsee.models.names import located
from unsee.progress import silent

SIZES = Sizes(
    forget=2, selective=0, retain=8, calibration=6, unseen=4, neighbours=1, general=8, wordings=1, kept_wordings=1
)
ASKED = ("base", "erased", "published")


@pytest.mark.slow
def test_a_real_language_model_stops_telling_and_goes_on_with_everything_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    try:
        located("real:smollm2")
    except ModelError:  # `make test-slow` fetches it first, and ends if it cannot
        pytest.skip("real:smollm2 has not been fetched: unsee models get smollm2")

    def some(*args: Any) -> Any:
        return [one for one in conditions(*args) if one.name in ASKED]

    monkeypatch.setattr(running, "conditions", some)
    loaded, knowledge = running.load_quick("real:smollm2"), public_knowledge()
    split = draw(knowledge, what_it_knows(loaded, Recorded.of(loaded), knowledge, silent), 0, SIZES)
    # Some of what a whole demo fits on: minutes of a processor count here.
    monkeypatch.setattr(fitting, "DECLINED", 24)
    monkeypatch.setattr(fitting, "ACCEPTANCE", fitting.ACCEPTANCE.changed(prompts=12))
    monkeypatch.setattr(fitting, "SETTINGS", fitting.SETTINGS.changed(strengths=(0.45, 0.6), calibration_prompts=8))
    thin = {name: getattr(split, name)[::3] for name in ("general", "refusal", "unknown", "calibration")}
    metrics = running.run_natural(tmp_path, 0, silent, loaded, replace(split, **thin))
    at = {(row["condition"], row["split"]): row for row in metrics["rows"]}
    hidden = at["erased", "forget_heldout"]
    assert at["base", "forget_heldout"]["leaked"] == 1 and hidden["n_base_right"] >= 4
    assert hidden["leaked"] <= 0.2 and hidden["refused"] >= 0.8
    for split_name in ("retain_unseen", "neighbours", "general"):
        assert at["erased", split_name]["n"] and at["erased", split_name]["same"] >= 0.9
    # It is the gate and the direction that do it: what has no gate changes what is kept.
    assert at["published", "general"]["same"] < at["erased", "general"]["same"]
