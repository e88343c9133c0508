"""A plan counts what the model really has, and reads no weight."""

from pathlib import Path

import pytest

from tiny_foreign import tiny_llama
from tiny_llava import tiny_llava
from unsee.errors import ModelError
from unsee.models import plan as planning
from unsee.models.load import LoadedModel
from unsee.models.plan import plan


@pytest.mark.parametrize("make", [tiny_llama, tiny_llava])
def test_parameters_and_bytes_are_those_of_the_model(make: type[LoadedModel], tmp_path: Path) -> None:
    loaded = make()
    loaded.model.save_pretrained(tmp_path)
    for weights in tmp_path.glob("*.safetensors"):
        weights.unlink()
    made = plan(tmp_path, prompts=100)
    assert made.parameters == sum(weight.numel() for weight in loaded.model.parameters())
    assert made.weights_mib == made.parameters * 4 // 2**20


def test_more_prompts_take_more_and_a_machine_can_be_too_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_llama().model.save_pretrained(tmp_path)
    monkeypatch.setattr(planning, "_operations_per_second", lambda: 1e9)
    monkeypatch.setattr(planning, "available_mib", lambda: 50)
    few, many = plan(tmp_path, prompts=10), plan(tmp_path, prompts=10**6)
    assert few.seconds is not None and many.seconds == pytest.approx(few.seconds * 1e5)
    assert few.seconds == pytest.approx(2 * few.parameters * planning.TOKENS * 10 / 1e9)
    assert few.fits and not many.fits


def test_what_has_no_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot plan for"):
        plan(tmp_path, prompts=1)
