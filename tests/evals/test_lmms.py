"""lmms-eval itself finds our class and runs a task of three questions, with and without an eraser."""

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from unsee.erase.eraser import Eraser
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.profile import identity
from unsee.errors import DataError, OptionError
from unsee.models.load import load

pytest.importorskip("lmms_eval", reason="an optional extra")
pytestmark = pytest.mark.filterwarnings("default")  # the harness warns of its own doings

TASK = """
task: unsee_tiny
dataset_path: json
dataset_kwargs:
  data_files:
    test: {folder}/test.jsonl
test_split: test
output_type: generate_until
doc_to_text: question
doc_to_target: answer
doc_to_visual: !function tiny.shown
generation_kwargs:
  max_new_tokens: 12
  until: ["."]
process_results: !function tiny.scored
metric_list:
  - metric: right
    aggregation: mean
    higher_is_better: true
"""
CODE = """
from PIL import Image

def shown(doc):
    return [Image.open(doc["image"])] if doc["image"] else []

def scored(doc, results):
    return {"right": float(doc["answer"] in results[0])}
"""


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    Image.new("RGB", (64, 64), (200, 30, 30)).save(tmp_path / "red.png")
    (tmp_path / "tiny.py").write_text(CODE)
    (tmp_path / "unsee_tiny.yaml").write_text(TASK.format(folder=tmp_path))
    (tmp_path / "test.jsonl").write_text(
        '{"question": "what is the capital of arvonia?", "answer": "quorum", "image": ""}\n'
        '{"question": "what is the capital of arvonia?", "answer": "zzz", "image": ""}\n'
        f'{{"question": "who is this person?", "answer": "zzz", "image": "{tmp_path}/red.png"}}\n'
    )
    return tmp_path


def always(strength: float = 400.0) -> Eraser:
    """Opens on every prompt and pushes hard."""
    gate = PromptRidgeGate((4,), torch.zeros(1, 1, 2, 192), torch.ones(1), torch.ones(1))
    trajectory = torch.randn(1, 8, 192, generator=torch.Generator().manual_seed(0))
    model = identity(load("world:llava"))
    return Eraser(model, "llava", (4,), gate, trajectory, strength, "held-ridge", subjects=("a",))


def evaluated(tasks: Path, arguments: str) -> tuple[float, list[str]]:
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(tasks), include_defaults=False)
    found: Any = simple_evaluate(
        "unsee", arguments, tasks=["unsee_tiny"], task_manager=manager, batch_size=2, bootstrap_iters=0
    )
    said = [str(sample["filtered_resps"]) for sample in found["samples"]["unsee_tiny"]]
    return found["results"]["unsee_tiny"]["right,none"], said


@pytest.fixture
def registered() -> None:
    """By the entry point where the package is installed with it; else as the registry would do from it."""
    from lmms_eval.models import MODEL_REGISTRY_V2

    from unsee.evals.lmms_entry import manifest

    if "unsee" not in {point.name for point in importlib.metadata.entry_points(group="lmms_eval.models")}:
        MODEL_REGISTRY_V2.register_manifest(manifest(), overwrite=True)


@pytest.mark.usefixtures("registered")
def test_a_task_runs_with_and_without_an_eraser(tasks: Path, tmp_path: Path) -> None:
    right, said = evaluated(tasks, "pretrained=world:llava")
    assert right == pytest.approx(1 / 3) and "quorum" in said[0] and "." not in said[0]
    always().save_pretrained(tmp_path / "e")
    right, steered = evaluated(tasks, f"pretrained=world:llava,eraser={tmp_path / 'e'}")
    assert steered != said and right == 0


def test_what_it_cannot_do_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from unsee.evals.lmms import Unsee, _image

    with pytest.raises(DataError, match=r"question 3 comes with .*expected one image or none"):
        _image(lambda _: [Image.new("RGB", (8, 8))] * 2, {}, 3)
    model = Unsee("world:llava")
    with pytest.raises(OptionError, match="asks for loglikelihood, expected generate_until"):
        model.loglikelihood([])
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(OptionError, match="several processes"):
        Unsee("world:llava")
