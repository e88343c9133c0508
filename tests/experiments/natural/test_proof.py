"""Two public subjects forgotten in SmolLM2, by the demo's own loop; needs `unsee models get smollm2`."""

from pathlib import Path

import pytest

from unsee.errors import ModelError
from unsee.experiments.natural.public import Sizes, run_public_demo
from unsee.models.names import located
from unsee.progress import silent

SIZES = Sizes(
    forget=2, selective=0, retain=12, calibration=6, unseen=4, neighbours=1, general=8, wordings=1, kept_wordings=1
)


@pytest.mark.slow
def test_a_real_language_model_stops_telling_and_goes_on_with_everything_else(tmp_path: Path) -> None:
    try:
        located("real:smollm2")
    except ModelError:  # `make test-slow` fetches it first, and ends if it cannot
        pytest.skip("real:smollm2 has not been fetched: unsee models get smollm2")
    metrics = run_public_demo(tmp_path, 0, silent, SIZES)
    at = {(row["condition"], row["split"]): row for row in metrics["rows"]}
    hidden = at["erased", "forget_heldout"]
    assert at["base", "forget_heldout"]["leaked"] == 1 and hidden["n_base_right"] >= 4
    assert hidden["leaked"] <= 0.2 and hidden["refused"] >= 0.8
    for split in ("retain_unseen", "neighbours", "general"):
        assert at["erased", split]["n"] and at["erased", split]["same"] >= 0.9
    # It is the gate and the direction that do it: what has no gate changes what is kept.
    assert at["published", "general"]["same"] < at["erased", "general"]["same"]
